"""Names that leave the portal or enter it: file names, endings, queue forms, public parameter names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from enum import IntEnum

ENDING = re.compile(r"[A-Za-z0-9._+=@-]+")
LONGEST_ENDING = 60
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
OWN_FIELDS = ("job", "submission_name", "email", "input_data")
PLAIN = frozenset("._+=@ -")
LONGEST_SEGMENT = 200
LONGEST_TAIL = 150
OUT = "_out"
MARK = re.compile(r"_\d+(-\d+)+")
WHOLE = "="


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


def check_ending(ending: str) -> str | None:
    """Why files cannot be known by this ending, or None."""
    if not ENDING.fullmatch(ending):
        return f"“{ending[:40]}” is not an ending such as .csv or a file name such as graph.out."
    kept = normal_ending(ending)
    if len(kept) > LONGEST_ENDING:
        return f"An ending has at most {LONGEST_ENDING} characters with its dot, “{kept[:20]}…” has {len(kept)}."
    return None


def fits(name: str, ending: str) -> bool:
    """Whether a file counts for an ending: a whole suffix ('.tar.gz') or a whole file name ('graph.out')."""
    return name.endswith(ending) if ending.startswith(".") else name == ending or name.endswith(f".{ending}")


def file_for(identity: str, ending: str) -> str:
    """The name a file of this ending gets: '<submission>.csv'; '<submission>.graph.out'."""
    return identity + ending if ending.startswith(".") else f"{identity}.{ending}"


def public_name(task: str, alias: str) -> str:
    """A parameter's name in forms and in the REST API. An alias that begins with `=` says the whole of it."""
    return alias.removeprefix(WHOLE) if alias.startswith(WHOLE) else f"{task}_{alias}"


def own_alias(task: str, public: str) -> str:
    """The alias under which a task's parameter has this public name."""
    alias = public.removeprefix(f"{task}_")
    return alias if alias not in ("", public) else WHOLE + public


def namesakes(aliases: Mapping[str, Iterable[str]]) -> str | None:
    """What to say of parameters of two tasks that would bear one public name: {task: its parameters' names}."""
    bearers: dict[str, tuple[str, str]] = {}
    for task in aliases:
        for alias in aliases[task]:
            name = public_name(task, alias)
            other_task, other = bearers.setdefault(name, (task, alias))
            if other_task != task:
                both = f"“{other}” of {other_task} and “{alias}” of {task}"
                return f"{both} would both be called {name}: give one of them another name."
    return None


def last_segment(name: str) -> str:
    """A client's file name as text to show: its last segment, blanks as '_', no control characters."""
    segment = re.split(r"[/\\]", name)[-1]
    printable = "".join(char for char in segment if char.isprintable())
    return _shortened(re.sub(r"\s", "_", printable)) or "upload"


def _shortened(name: str) -> str:
    """A name of at most so many characters that ends as the long one does: endings say what a file is."""
    return name if len(name) <= LONGEST_SEGMENT else name[: LONGEST_SEGMENT - LONGEST_ENDING] + name[-LONGEST_ENDING:]


RESERVED = frozenset({"new", "preview", "graph"})


def normal_name(name: str) -> str:
    """A name as it is kept: an é is one character, however it was typed."""
    return unicodedata.normalize("NFC", name)


def as_read(name: str) -> str:
    """What two names have in common that people would take for one: Count and count, ﬁt and fit."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


def check_name(name: str) -> str | None:
    """Why a task, job or backend cannot bear this name, or None."""
    if not name.strip() or name != name.strip():
        return "Give it a name, without blanks at its ends."
    if len(name) > 80:
        return f"A name has at most 80 characters, this has {len(name)}."
    if bad := next((char for char in name if not _plain(char)), None):
        return f"A name cannot hold {bad!a}: use letters, digits, blanks, _ - . and '."
    return f"The name {name} is the portal's own: choose another." if name in RESERVED or set(name) <= {"."} else None


def _plain(char: str) -> bool:
    """Whether a character can be seen, and means nothing in an address or a list."""
    return char.isprintable() and char not in '/\\,?#&%<>"' and not INVISIBLE.match(char)


def output_for(identity: str, ending: str) -> str:
    """The name for an output of an ending that is an input's too: '<submission>_out.csv'."""
    return file_for(f"{identity}{OUT}", ending)


def public_file(identity: str, name: str) -> str:
    """The public name of a kept file: it begins with the submission's UUID and ends as the file does.

    Letters and digits of any script stay; what an address, a header or a shell could take for something else is `_`.
    """
    own = name.startswith(identity)
    clean = "".join(char if char.isalnum() or char in PLAIN else "_" for char in name.removeprefix(identity))
    ending = clean.removeprefix(OUT)[-LONGEST_TAIL:]
    return identity + ending if own else f"{identity}.{ending.lstrip('.')}"


def marked(identity: str, name: str, mark: str) -> str:
    """Another public name for a file whose own an earlier step's file bears: '<submission>_2-1.csv'."""
    return f"{identity}_{mark}{name.removeprefix(identity)}"


def unmarked(identity: str, name: str) -> str:
    """The name that a file would bear if no other had it."""
    marked_tail = MARK.match(name, len(identity)) if name.startswith(identity) else None
    return identity + name[marked_tail.end() :] if marked_tail else name
