"""Where a run happens: one file a runner, its name the runner's name.

A file here states LABEL and has
`unavailable(options) -> str | None`: why this machine cannot use it;
`handle(space) -> dict`: what will find the run again, known before it is started;
`start(handle, until, secrets)`: start what the space describes, with these variables too, which may stand in no file
and no argument; never after `until` of the monotonic clock; twice is harmless;
`wait(handle, seconds) -> Outcome | None`: the outcome, or None when it still runs after so long. Raises Lost;
`stop(handle)`: ask for its end, with all its descendants. The outcome is still waited for.
It may have `make_ready(handle, until)`: do all that `start` needs but the beginning itself, while the run may still be
taken back; and `call_off(handle)`: undo that, if it was not started.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from portal.domain.errors import Unavailable
from portal.domain.plugins import plugins
from portal.domain.verdict import Outcome

Handle = dict[str, Any]
NONE: Mapping[str, str] = MappingProxyType({})


class Runner(Protocol):
    def unavailable(self, options: Mapping[str, str]) -> str | None: ...

    def handle(self, space: Path) -> Handle: ...

    def start(self, handle: Handle, until: float | None = None, secrets: Mapping[str, str] = NONE) -> None: ...

    def wait(self, handle: Handle, seconds: float) -> Outcome | None: ...

    def stop(self, handle: Handle) -> None: ...


def runner(name: str) -> Runner:
    """The runner of this name. Raises Unavailable if it is not installed."""
    if name not in plugins("runners"):
        raise Unavailable(f"The runner {name} is not installed.")
    module: Runner = import_module(f"workers.runners.{name}")
    return module


def make_ready(where: Runner, handle: Handle, until: float) -> None:
    if own := getattr(where, "make_ready", None):
        own(handle, until)


def call_off(where: Runner, handle: Handle) -> None:
    if own := getattr(where, "call_off", None):
        own(handle)
