"""What others wrote is pinned, summed and licensed; no static file loads anything from another host."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[2] / "portal" / "static"
VENDOR = STATIC / "vendor"
MANIFEST: list[dict[str, str]] = json.loads((VENDOR / "manifest.json").read_text())
SERVED = sorted(
    path
    for path in STATIC.rglob("*")
    if path.suffix in {".js", ".mjs", ".css", ".svg", ".html"} and "node_modules" not in path.parts
)
REMOTE = r"""["'`]?\s*(?:https?:)?//\w"""
LOADS_REMOTE = re.compile(
    rf"""import\s*\(?\s*{REMOTE}|from\s*["']\s*(?:https?:)?//|importScripts\(\s*{REMOTE}"""
    rf"""|\b(?:src|href)\s*=\s*["']?\s*(?:https?:)?//\w|@import\s+(?:url\()?{REMOTE}|url\(\s*{REMOTE}"""
)


def scripts() -> list[str]:
    found = (path.relative_to(VENDOR) for path in VENDOR.rglob("*.js"))
    return sorted(path.as_posix() for path in found if "node_modules" not in path.parts)


def sum_of(file: str) -> str:
    return hashlib.sha256((VENDOR / file).read_bytes()).hexdigest()


def test_it_lists_every_vendored_script() -> None:
    listed = {entry["file"] for entry in MANIFEST}

    assert set(scripts()) <= listed


@pytest.mark.parametrize("entry", MANIFEST, ids=lambda entry: entry["name"])
def test_it_holds_what_the_manifest_says(entry: dict[str, str]) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", entry["version"])
    assert entry["sha256"] == sum_of(entry["file"])


@pytest.mark.parametrize("entry", MANIFEST, ids=lambda entry: entry["name"])
def test_it_carries_the_licence_of(entry: dict[str, str]) -> None:
    words = {"MIT": "Permission is hereby granted", "ISC": "ISC License", "0BSD": "Zero-Clause BSD"}

    assert words[entry["licence"]] in (VENDOR / entry["text"]).read_text()


def test_it_bundles_the_versions_its_source_pins() -> None:
    pinned = json.loads((VENDOR / "codemirror" / "source" / "package.json").read_text())["dependencies"]
    bundled = {entry["name"]: entry["version"] for entry in MANIFEST}

    assert pinned.items() <= bundled.items()


@pytest.mark.parametrize("path", SERVED, ids=lambda path: path.name)
def test_it_loads_nothing_from_another_host(path: Path) -> None:
    assert LOADS_REMOTE.findall(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        'import "https://cdn.example/x.js"',
        'import x from "//cdn.example/x.js"',
        'import("http://cdn.example/x.js")',
        '<script src="http://cdn.example/x.js">',
        '@import url("https://cdn.example/x.css")',
    ],
)
def test_it_would_notice_a_remote_load(line: str) -> None:
    assert LOADS_REMOTE.search(line)


def test_it_draws_every_icon_in_the_colour_of_its_text() -> None:
    symbols = re.findall(r"<symbol ([^>]*)>", (STATIC / "icons.svg").read_text())

    assert symbols
    assert all('viewBox="0 0 24 24" fill="none" stroke="currentColor"' in each for each in symbols)
