"""Jobs whose steps name what they need, done by real launchers and real programs."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.states import State
from portal.models import Submission
from portal.services import jobs, results
from portal.services.jobs import JobDraft, StepDraft
from tests.making import make_task, submitted


def text_of(session: Session, submission: Submission, step: str) -> str:
    [found] = [each for each in results.of_submission(submission) if each.run.label == step]
    with results.open_file(results.find(session, found.name)) as stream:
        return stream.read().decode().strip()


def test_a_step_finds_what_comes_before_it_and_its_condition_sees_what_the_programs_did(
    session: Session, work: Callable[[], None]
) -> None:
    make_task(session, "split", "command", 'grep -v bad $I1 > $O1; grep -q bad $I1 && exit 3; true', inputs=(".txt",),
              outputs=(".part",), exit_statuses=(3,))  # fmt: skip
    make_task(session, "aside", "command", "echo aside > $O1", outputs=(".side.part",))
    make_task(session, "count", "command", "cat *.part | wc -l | tr -d ' '", inputs=(".part",), stdout=".count")
    steps = (
        StepDraft(1, "split"),
        StepDraft(1, "aside"),
        StepDraft(2, "count", "one", needs=("split",)),
        StepDraft(2, "count", "both", needs=("split", "aside")),
        StepDraft(3, "count", "repair", condition={"exit_status_of": "split", "is": [3]}),
        StepDraft(4, "count", "praise", needs=("repair",)),
    )
    with transaction(session):
        jobs.save(session, JobDraft("job", public=True, steps=steps), None)
    good, bad = submitted(session, "job", b"a\nb\n"), submitted(session, "job", b"a\nbad\n")

    work()

    session.expire_all()
    assert (good.state, bad.state) == (State.COMPLETE, State.COMPLETE)
    assert (text_of(session, good, "one"), text_of(session, good, "both")) == ("2", "3")
    assert [run.label for run in good.runs if run.state is State.SKIPPED] == ["repair", "praise"]
    assert [run.label for run in bad.runs if run.state is State.SKIPPED] == []
    assert good.messages[-1].sentence == "Completed job at step #2"
    assert bad.messages[-1].sentence == "Completed job at step #4"
