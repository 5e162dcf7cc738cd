"""What the load consists of, in plain data: the checker computes from it what every step must have given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

LINES = 200
LOG = b"begun\nover\n"


class Fate(StrEnum):
    """What the user's own code does by its own fault."""

    WELL = "well"
    FAILS = "fails"  # exit status 3, always
    FAILS_ONCE = "fails once"  # exit status 75, which its retries cover
    NEVER_WORKS = "never works"  # exit status 75, more often than its retries cover
    STURDY = "sturdy"  # works, and its retries cover a crash


@dataclass(frozen=True)
class Step:
    """One task of one job; no two jobs share a task, so that its name is its place."""

    task: str
    stage: int
    language: str
    seconds: float
    inputs: tuple[str, ...]
    output: str
    fate: Fate = Fate.WELL

    @property
    def fails(self) -> bool:
        return self.fate in (Fate.FAILS, Fate.NEVER_WORKS)


@dataclass(frozen=True)
class Job:
    """A job and how many parts of a hundred it has in the load."""

    name: str
    share: int
    steps: tuple[Step, ...]


def single(name: str, share: int, language: str, seconds: float, fate: Fate = Fate.WELL) -> Job:
    return Job(name, share, (Step(name, 1, language, seconds, (".txt",), f".{name}", fate),))


def chain(name: str, share: int, *steps: tuple[str, float, Fate]) -> Job:
    """Steps after each other: each takes what the one before gave."""
    endings = [".txt", *(f".{name}{number}" for number in range(1, len(steps) + 1))]
    made = (
        Step(f"{name}{at}", at, language, seconds, (endings[at - 1],), endings[at], fate)
        for at, (language, seconds, fate) in enumerate(steps, 1)
    )
    return Job(name, share, tuple(made))


def diamond(name: str, share: int, seconds: float) -> Job:
    """One step, two side by side of the same length so that they end at one instant, and one that joins them."""
    return Job(
        name,
        share,
        (
            Step(f"{name}1", 1, "command", 0.1, (".txt",), f".{name}1"),
            Step(f"{name}2", 2, "command", seconds, (f".{name}1",), f".{name}2"),
            Step(f"{name}3", 2, "python", seconds, (f".{name}1",), f".{name}3"),
            Step(f"{name}4", 3, "command", 0.1, (f".{name}2", f".{name}3"), f".{name}4"),
        ),
    )


def jobs(lease: float) -> tuple[Job, ...]:
    """The long ones outlive four leases."""
    long = 4 * lease + 1
    return (
        single("quick", 28, "command", 0.1),
        single("quick2", 6, "command", 0.1),
        single("pythonic", 10, "python", 0.3),
        chain("chain", 18, ("python", 0.1, Fate.WELL), ("command", 0.5, Fate.WELL), ("command", 1.0, Fate.WELL)),
        diamond("diamond", 16, 0.6),
        chain("faulty", 6, ("command", 0.1, Fate.WELL), ("python", 0.2, Fate.FAILS), ("command", 0.1, Fate.WELL)),
        single("again", 5, "command", 0.5, Fate.FAILS_ONCE),
        single("hopeless", 3, "python", 0.2, Fate.NEVER_WORKS),
        single("sturdy", 4, "command", 2.5, Fate.STURDY),
        single("long", 3, "command", long),
        single("longer", 1, "command", 7 * lease),
        chain("longchain", 1, ("command", 0.1, Fate.WELL), ("python", long, Fate.WELL), ("command", 0.1, Fate.WELL)),
    )


def output(step: Step, inputs: Sequence[bytes]) -> bytes:
    """The bytes that a step gives for the bytes it takes."""
    digest = sha256(step.task.encode() + b"\n" + b"".join(inputs)).hexdigest()
    return f"{digest}\n".encode() * LINES


def outputs(job: Job, upload: bytes) -> Mapping[str, bytes]:
    """What each task of a job gives, by its name."""
    files = {".txt": upload}
    for step in job.steps:
        files[step.output] = output(step, [files[each] for each in step.inputs])
    return {step.task: files[step.output] for step in job.steps}
