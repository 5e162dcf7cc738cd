"""A run, from submission to its end, done by real launchers and real programs."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from portal.domain.states import State
from portal.services import results
from tests.making import make_job, make_task, submitted


def test_it_runs_a_command_and_keeps_its_standard_output(session: Session, work: Callable[[], None]) -> None:
    make_task(session, "count", "command", "wc -l < $I1", inputs=(".txt",), stdout=".count")
    make_job(session, "lines", [(1, "count")])
    submission = submitted(session, "lines", b"a\nb\n")
    work()
    session.expire_all()
    assert submission.state is State.COMPLETE
    [kept] = results.of_submission(submission)
    assert kept.name == f"{submission.uuid}.count"
    with results.open_file(results.find(session, kept.name)) as stream:
        assert stream.read().strip() == b"2"
