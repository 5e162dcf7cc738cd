"""How a task is written: one file a language, its name the language's name.

A file here states LABEL, EDITOR (the editor's mode), HINT (what the code finds) and, if it has parameters, PLACE (how
the code has one: by its {number}, its {name}, or its name as a {word}), SHELL if a shell's exit status ends it,
ADDRESS_ROOM (the bytes that a process of it may reserve beyond its memory limit; without it there is no such limit,
for some programs reserve what they never use), and has
`unavailable(options) -> str | None`: why this machine cannot run it;
`prepare(work, space) -> list[str]`: write all files that are needed into the run's directory, and give the command to
start; the inputs may not lie there yet;
`tell_of_inputs(work, space)`, if what the code finds depends on what its inputs are: write those files again that say
so, when the inputs lie there;
`warm(work) -> tuple[str, ...] | None`, if a warm parent can run it: the parent's interpreter, language and modules, or
None where this very work must start fresh;
`usual() -> list[tuple[str, ...]]`, with it: the parents that a worker has ready before its first run;
`readable(options) -> list[str]`, if its programs may lie elsewhere than the system's: the directories they lie in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol

from portal.domain.errors import Unavailable
from portal.domain.plugins import plugins
from portal.domain.work import Work


class Language(Protocol):
    def unavailable(self, options: Mapping[str, str]) -> str | None: ...

    def prepare(self, work: Work, space: Path) -> list[str]: ...


def write(file: str, text: str) -> None:
    """Without pathlib, which takes longer than all the rest."""
    with open(file, "w", encoding="utf-8") as opened:  # noqa: PTH123
        opened.write(text)


def tell_of_inputs(spoken: Language, work: Work, space: Path) -> None:
    own: Callable[[Work, Path], None] | None = getattr(spoken, "tell_of_inputs", None)
    if own:
        own(work, space)


def readable(spoken: Language, options: Mapping[str, str]) -> list[str]:
    """The directories beside the system's that programs of this language lie in."""
    own: Callable[[Mapping[str, str]], list[str]] | None = getattr(spoken, "readable", None)
    return own(options) if own else []


def warm(spoken: Language, work: Work) -> tuple[str, ...] | None:
    """The warm parent that runs it best; None: it starts fresh."""
    own: Callable[[Work], tuple[str, ...] | None] | None = getattr(spoken, "warm", None)
    return own(work) if own else None


def usual() -> list[tuple[str, ...]]:
    """The warm parents of all languages that a worker has ready before its first run."""
    spoken = (language(name) for name in plugins("languages"))
    return [key for each in spoken if hasattr(each, "usual") for key in each.usual()]


def address_space(spoken: Language, memory: int | None) -> int | None:
    """How many bytes one process of it may reserve that may use so many; None: any."""
    room: int | None = getattr(spoken, "ADDRESS_ROOM", None)
    return None if memory is None or room is None else memory + room


def language(name: str) -> Language:
    """The language of this name. Raises Unavailable if it is not installed."""
    if name not in plugins("languages"):
        raise Unavailable(f"The language {name} is not installed.")
    module: Language = import_module(f"workers.languages.{name}")
    return module
