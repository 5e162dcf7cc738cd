"""Plug-ins: a folder is the registry. What a page must know of one is read from its source, without importing it."""

from __future__ import annotations

import ast
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    "languages": ROOT / "workers" / "languages",
    "runners": ROOT / "workers" / "runners",
    "validators": ROOT / "portal" / "validators",
}

_parsing = threading.Lock()  # two threads that parse at once can fail each other in Python 3.11


@dataclass(frozen=True)
class Plugin:
    """A plug-in's name (its file's), its label, and the constants that its file states."""

    name: str
    label: str
    constants: dict[str, str]


@cache
def plugins(folder: str) -> dict[str, Plugin]:
    """The plug-ins of 'languages', 'runners' or 'validators', by name."""
    files = sorted(FOLDERS[folder].glob("[a-z]*.py"))
    with _parsing:
        return {file.stem: _described(file) for file in files}


def _described(file: Path) -> Plugin:
    constants = dict(_text_constants(ast.parse(file.read_text("utf-8"))))
    return Plugin(file.stem, constants.get("LABEL", file.stem), constants)


def _text_constants(module: ast.Module) -> list[tuple[str, str]]:
    return [
        (target.id, node.value.value)
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
