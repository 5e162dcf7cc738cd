"""Names that leave the portal or enter it: file names, endings, queue forms, public parameter names."""

from __future__ import annotations

import re
from enum import IntEnum

ENDING = re.compile(r"^[A-Za-z0-9._+=@-]{1,60}$")
PLAIN = frozenset("._+=@ -")
LONGEST_ENDING = 150
OUT = "_out"


class Priority(IntEnum):
    """Which form of a queue a run waits in."""

    LOW = 0
    PLAIN = 1
    HIGH = 2


def queue_form(queue: str, priority: Priority) -> str:
    """The queue's name at this priority: low_x, x or high_x."""
    return {Priority.LOW: f"low_{queue}", Priority.PLAIN: queue, Priority.HIGH: f"high_{queue}"}[priority]


def queue_forms(queue: str) -> list[str]:
    return [queue_form(queue, priority) for priority in reversed(Priority)]


def normal_ending(ending: str) -> str:
    """An ending as it is kept: '.csv' for both 'csv' and '.csv'; 'graph.out' stays a file name."""
    ending = ending.strip()
    return ending if "." in ending else f".{ending}"


def fits(name: str, ending: str) -> bool:
    """Whether a file counts for an ending: a whole suffix ('.tar.gz') or a whole file name ('graph.out')."""
    return name.endswith(ending) if ending.startswith(".") else name == ending or name.endswith(f".{ending}")


def file_for(identity: str, ending: str) -> str:
    """The name a file of this ending gets: '<submission>.csv'; '<submission>.graph.out'."""
    return identity + ending if ending.startswith(".") else f"{identity}.{ending}"


def public_name(task: str, alias: str) -> str:
    """A parameter's name in forms and in the REST API."""
    return f"{task}_{alias}"


def last_segment(name: str) -> str:
    """A client's file name as text to show: its last segment, blanks as '_', no control characters."""
    segment = re.split(r"[/\\]", name)[-1]
    printable = "".join(char for char in segment if char.isprintable())
    return re.sub(r"\s", "_", printable)[:200] or "upload"


RESERVED = frozenset({"new", "preview", "graph"})


def check_name(name: str) -> str | None:
    """Why a task, job or backend cannot bear this name, or None."""
    if not name.strip() or name != name.strip():
        return "Give it a name, without blanks at its ends."
    if len(name) > 80:
        return f"A name has at most 80 characters, this has {len(name)}."
    if bad := next((char for char in name if char in '/\\,?#&%<>"' or not char.isprintable()), None):
        return f"A name cannot hold {bad!r}: use letters, digits, blanks, _ - . and '."
    return f"The name {name} is the portal's own: choose another." if name in RESERVED or set(name) <= {"."} else None


def output_for(identity: str, ending: str) -> str:
    """The name for an output of an ending that is an input's too: '<submission>_out.csv'."""
    return file_for(f"{identity}{OUT}", ending)


def public_file(identity: str, name: str) -> str:
    """The public name of a kept file: it begins with the submission's UUID and ends as the file does.

    Letters and digits of any script stay; what an address, a header or a shell could take for something else is `_`.
    """
    own = name.startswith(identity)
    clean = "".join(char if char.isalnum() or char in PLAIN else "_" for char in name.removeprefix(identity))
    ending = clean.removeprefix(OUT)[-LONGEST_ENDING:]
    return identity + ending if own else f"{identity}.{ending.lstrip('.')}"


def marked(identity: str, name: str, mark: str) -> str:
    """Another public name for a file whose own an earlier step's file bears: '<submission>_2-1.csv'."""
    return f"{identity}_{mark}{name.removeprefix(identity)}"


def unmarked(identity: str, name: str) -> str:
    """The name that a file would bear if no other had it."""
    return re.sub(rf"^{re.escape(identity)}_\d+(-\d+)+", identity, name)
