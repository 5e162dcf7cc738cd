"""What is kept for somebody: uploads and results, as long as they are kept."""

from __future__ import annotations

import io

import pytest
from sqlalchemy.orm import Session

from portal import storage
from portal.database import transaction
from portal.domain.errors import TooMany
from portal.domain.verdict import Outcome
from portal.models import Account, Submission
from portal.services import keeping, progress, quotas, resuming
from portal.settings import settings
from tests.making import make_job, make_task, submitted


@pytest.fixture(autouse=True)
def job(session: Session) -> None:
    make_task(session, "t", "command", "true", outputs=(".out",))
    make_job(session, "job", [(1, "t")])


def ended(session: Session, submission: Submission, content: bytes, exit_status: int = 0) -> None:
    """As if a worker had run it, and this had come of it."""
    with transaction(session):
        claim = progress.claim(session, ["here", "high_here", "low_here"], "test", "here")
    assert claim is not None
    with transaction(session):
        progress.started(session, claim, {"host": "here"})
    blob = storage.put(f"results/{claim.uuid}/{claim.attempt}", io.BytesIO(content))
    with transaction(session):
        found = progress.Found([progress.Kept(f"{submission.uuid}.out", blob)])
        progress.finish(session, claim, Outcome("exited", exit_status), found)


def test_it_counts_what_was_sent_and_what_came_of_it(session: Session) -> None:
    ended(session, submitted(session, "job", b"x" * 100), b"y" * 1000)

    assert quotas.used(session, None, "127.0.0.1") == 1100


def test_it_counts_an_account_s_files_apart_from_its_address_s(session: Session, admin: Account) -> None:
    submitted(session, "job", b"x" * 100)
    submitted(session, "job", b"x" * 10, account=admin)

    assert (quotas.used(session, None, "127.0.0.1"), quotas.used(session, admin, "127.0.0.1")) == (100, 10)
    assert quotas.used(session, None, "192.0.2.7") == 0


def test_what_is_removed_makes_room(session: Session) -> None:
    submission = submitted(session, "job", b"x" * 100)
    ended(session, submission, b"y" * 1000)
    with transaction(session):
        keeping.delete(session, submission)

    keeping.remove(submission.id)
    session.rollback()

    assert quotas.used(session, None, "127.0.0.1") == 0


def test_it_refuses_by_what_results_take_too(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    ended(session, submitted(session, "job", b"x" * 100), b"y" * 2_000_000)
    monkeypatch.setenv("PORTAL_QUOTA_BYTES", "2000000")
    settings.cache_clear()

    with pytest.raises(TooMany, match=r"files take 2\.0 MB of the 2\.0 MB that may be kept.*10 bytes more: sign in"):
        submitted(session, "job", b"x" * 10)


def test_what_is_resumed_counts_again(session: Session, admin: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    submission = submitted(session, "job", b"x" * 100, account=admin)
    ended(session, submission, b"y" * 1000, exit_status=1)
    monkeypatch.setenv("PORTAL_QUOTA_BYTES", "1500")
    settings.cache_clear()

    with pytest.raises(TooMany, match="delete runs that you do not need"):
        resuming.resume(session, resuming.Resumption(submission.uuid, admin))


def test_without_a_quota_everything_is_taken(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_QUOTA_BYTES", "")
    settings.cache_clear()

    assert submitted(session, "job", b"x" * 100).batch.uploads[0].size == 100
