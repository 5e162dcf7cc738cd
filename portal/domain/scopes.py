"""Scopes: what a token may be used for. Who signs in with a password may do all that the account may."""

from __future__ import annotations

from dataclasses import dataclass

SCOPES = {
    "read": "See what the account may see",
    "run": "Submit, stop, resume and delete runs, and see",
    "edit": "Change jobs and tasks, and see",
}
ONE_JOB = "job:"


@dataclass(frozen=True)
class Grant:
    """What may be done in an account's name; `scopes` None: all of it."""

    scopes: frozenset[str] | None = None

    @property
    def whole(self) -> bool:
        return self.scopes is None

    @property
    def reads(self) -> bool:
        """Every scope but one for a single job lets its holder see."""
        return self.scopes is None or bool(self.scopes & SCOPES.keys())

    @property
    def edits(self) -> bool:
        return self.scopes is None or "edit" in self.scopes

    def runs(self, job: str) -> bool:
        """Whether this job, and what it has run, may be dealt with."""
        return self.scopes is None or bool(self.scopes & {"run", ONE_JOB + job})

    def sees(self, job: str) -> bool:
        return self.reads or self.runs(job)


WHOLE = Grant()
