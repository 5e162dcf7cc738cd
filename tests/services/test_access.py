"""Who may see and do what: own, shared and public things, and runs by their links."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.drafts import TaskDraft
from portal.domain.errors import Conflict, Invalid, NotAllowed, NotFound
from portal.domain.policy import Action, Role
from portal.models import Account, Audit, Job, Share, Submission, Task
from portal.services import access, accounts, groups, jobs, sharing, submissions, tasks
from portal.services.groups import GroupDraft
from portal.services.jobs import JobDraft, StepDraft
from portal.services.submissions import Wanted
from portal.settings import settings
from tests.conftest import PASSWORD
from tests.making import make_backend, order


@pytest.fixture
def people(session: Session) -> dict[str, Account]:
    """ann and eve write services, sam and tim run them, sam is in the group of friends with eve; chief is chief."""
    make_backend(session)
    roles = {"ann": Role.ANALYST, "eve": Role.ANALYST, "sam": Role.SUBMITTER, "tim": Role.SUBMITTER}
    with transaction(session):
        found = {name: accounts.create(session, name, PASSWORD, role) for name, role in roles.items()}
        found["chief"] = accounts.create(session, "chief", PASSWORD, Role.ADMINISTRATOR)
        groups.save(session, GroupDraft("friends", ("sam", "eve")), found["chief"])
    return found


def write(session: Session, author: Account | None, name: str, **more: Any) -> Task:
    with transaction(session):
        return tasks.save(session, TaskDraft(name, "command", "here", "true", **more), author).task


def compose(session: Session, author: Account | None, name: str, *names: str, **more: Any) -> Job:
    steps = tuple(StepDraft(at, each) for at, each in enumerate(names, 1))
    with transaction(session):
        return jobs.save(session, JobDraft(name, steps=steps, **more), author, jobs.named(session, name)).job


def run(session: Session, sender: Account | None, job: str) -> Submission:
    if sender:
        session.refresh(sender)
    return submissions.submit(session, order(job, account=sender)).submissions[0]


def who(people: dict[str, Account], action: Action, thing: Any) -> set[str]:
    return {name for name, each in {"nobody": None, **people}.items() if access.may(each, action, thing)}


def test_it_shows_a_task_to_its_owner_to_groups_and_to_analysts_where_it_is_public(
    session: Session, people: dict[str, Account]
) -> None:
    private = write(session, people["ann"], "private", public=False)
    shared = write(session, people["ann"], "shared", public=False, groups=("friends",))
    public = write(session, people["ann"], "public")

    assert who(people, Action.USE_TASK, private) == {"ann", "chief"}
    assert who(people, Action.USE_TASK, shared) == {"ann", "eve", "chief"}
    assert who(people, Action.USE_TASK, public) == {"ann", "eve", "chief"}
    assert who(people, Action.CHANGE_TASK, public) == {"ann", "chief"}
    assert [each.name for each in tasks.seen_by(session, people["eve"])] == ["public", "shared"]


def test_it_lets_a_job_be_run_by_whom_it_is_for(session: Session, people: dict[str, Account]) -> None:
    write(session, people["ann"], "work")
    private, shared, public = (
        compose(session, people["ann"], name, "work", **more)
        for name, more in (
            ("private", {}),
            ("shared", {"groups": ("friends",)}),
            ("public", {"public": True}),
        )
    )

    assert who(people, Action.RUN_JOB, private) == {"ann", "chief"}
    assert who(people, Action.RUN_JOB, shared) == {"ann", "eve", "sam", "chief"}
    assert who(people, Action.RUN_JOB, public) == {"nobody", *people}
    assert who(people, Action.CHANGE_JOB, public) == {"ann", "chief"}
    assert [each.name for each in jobs.seen_by(session, people["sam"])] == ["public", "shared"]
    assert [each.name for each in jobs.seen_by(session, None)] == ["public"]


def test_it_keeps_public_jobs_for_accounts_where_the_administrator_says_so(
    session: Session, people: dict[str, Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(session, people["ann"], "work")
    public = compose(session, people["ann"], "public", "work", public=True)
    monkeypatch.setenv("PORTAL_ANONYMOUS_RUNS", "false")
    settings.cache_clear()

    assert who(people, Action.RUN_JOB, public) == set(people)
    with pytest.raises(NotFound):
        run(session, None, "public")


def test_it_needs_an_account_for_a_job_whose_runs_no_link_opens(session: Session, people: dict[str, Account]) -> None:
    write(session, people["ann"], "work")
    job = compose(session, people["ann"], "public", "work", public=True, open_links=False)

    assert who(people, Action.RUN_JOB, job) == set(people)


def test_it_shows_a_run_to_its_owner_and_to_those_it_is_shared_with(
    session: Session, people: dict[str, Account]
) -> None:
    write(session, people["ann"], "work")
    compose(session, people["ann"], "closed", "work", groups=("friends",))
    submission = run(session, people["sam"], "closed")
    assert who(people, Action.SEE_RUN, submission) == {"sam", "chief"}

    with transaction(session):
        sharing.share_run(session, submission, "tim", "", people["sam"])
    assert who(people, Action.SEE_RUN, submission) == {"sam", "tim", "chief"}

    with transaction(session):
        sharing.share_run(session, submission, "", "friends", people["sam"])
    assert who(people, Action.SEE_RUN, submission) == {"sam", "tim", "eve", "chief"}
    assert who(people, Action.CHANGE_RUN, submission) == {"sam", "chief"}
    assert submissions.listing(session, people["tim"], Wanted()) == [submission]
    assert submissions.listing(session, people["tim"], Wanted(own=True)) == []
    assert submissions.listing(session, people["ann"], Wanted()) == []


def test_it_opens_a_run_by_its_link_as_its_job_says_and_lists_it_for_nobody_else(
    session: Session, people: dict[str, Account]
) -> None:
    write(session, people["ann"], "work")
    compose(session, people["ann"], "open", "work", public=True)
    submission = run(session, people["sam"], "open")
    assert who(people, Action.SEE_RUN, submission) == {"nobody", *people}
    assert submissions.listing(session, people["tim"], Wanted()) == []

    compose(session, people["ann"], "open", "work", public=True, open_links=False)
    assert who(people, Action.SEE_RUN, submission) == {"sam", "chief"}


@pytest.mark.parametrize("open_links", [True, False])
def test_it_leaves_the_links_of_a_deleted_job_as_they_were(
    session: Session, people: dict[str, Account], open_links: bool
) -> None:
    write(session, people["ann"], "work")
    compose(session, people["ann"], "gone", "work", public=True)
    submission = run(session, people["sam"], "gone")
    compose(session, people["ann"], "gone", "work", public=True, open_links=open_links)
    with transaction(session):
        jobs.delete(session, jobs.get(session, "gone"))

    session.refresh(submission)
    assert submission.job is None
    assert ("nobody" in who(people, Action.SEE_RUN, submission)) == open_links


def test_it_lets_nobody_in_with_an_account_that_is_switched_off(session: Session, people: dict[str, Account]) -> None:
    task = write(session, people["ann"], "mine", public=False)
    with transaction(session):
        people["ann"].active = False

    assert who(people, Action.USE_TASK, task) == {"chief"}


def test_it_refuses_a_task_or_a_job_in_a_job_that_its_author_may_not_use(
    session: Session, people: dict[str, Account]
) -> None:
    write(session, people["ann"], "secret", public=False)
    write(session, people["ann"], "work")
    compose(session, people["ann"], "hidden", "work")

    for step in (StepDraft(1, "secret"), StepDraft(1, job="hidden")):
        with pytest.raises(Invalid, match=r"there is no secret|There is no job hidden"), transaction(session):
            jobs.save(session, JobDraft("outer", steps=(step,)), people["eve"])


def test_it_keeps_a_job_whose_author_lost_a_task(session: Session, people: dict[str, Account]) -> None:
    task = write(session, people["ann"], "work")
    job = compose(session, people["eve"], "service", "work", groups=("friends",))
    with transaction(session):
        tasks.save(session, replace(tasks.draft_of(task.current), public=False), people["ann"], task)

    again = replace(jobs.draft_of(job), description="Still here.")
    with transaction(session):
        jobs.save(session, again, people["eve"], job)
    assert run(session, people["sam"], "service")
    with pytest.raises(Invalid), transaction(session):
        jobs.save(session, replace(again, name="another"), people["eve"])


def test_it_draws_nothing_of_a_task_that_the_author_may_not_see(session: Session, people: dict[str, Account]) -> None:
    write(session, people["ann"], "secret", public=False)
    draft = JobDraft("probe", steps=(StepDraft(1, "secret"),))

    [hidden], [missing] = (
        jobs.picture(session, replace(draft, steps=(StepDraft(1, name),)), people["eve"]).drawing.boxes
        for name in ("secret", "absent")
    )

    assert hidden.node.word == missing.node.word == ""
    assert jobs.picture(session, draft, people["ann"]).drawing.boxes[0].node.word


def test_it_leaves_the_groups_of_a_draft_that_names_none(session: Session, people: dict[str, Account]) -> None:
    task = write(session, people["ann"], "shared", public=False, groups=("friends",))

    write_again = replace(tasks.draft_of(task.current), code="false")
    with transaction(session):
        tasks.save(session, write_again, people["ann"], task)

    assert sharing.groups_of(session, task) == ("friends",)


def test_it_refuses_a_group_that_is_not_there(session: Session, people: dict[str, Account]) -> None:
    for name in ("strangers", "a\0b"):
        with pytest.raises(Invalid, match="There is no group"), transaction(session):
            tasks.save(session, TaskDraft("t", "command", "here", "true", groups=(name,)), people["ann"])


def test_it_offers_a_submitter_their_own_groups_only(session: Session, people: dict[str, Account]) -> None:
    names = {name: [group.name for group in sharing.groups_for(session, each)] for name, each in people.items()}

    assert names == {"ann": ["friends"], "eve": ["friends"], "sam": ["friends"], "tim": [], "chief": ["friends"]}


def test_it_shares_a_run_with_no_group_that_its_owner_is_not_in(session: Session, people: dict[str, Account]) -> None:
    write(session, people["ann"], "work")
    compose(session, people["ann"], "open", "work", public=True)
    submission = run(session, people["tim"], "open")

    for account, group in (("", "friends"), ("nobody at all", ""), ("x\0y", ""), ("", "")):
        with pytest.raises(Invalid), transaction(session):
            sharing.share_run(session, submission, account, group, people["tim"])


def test_it_takes_a_share_back(session: Session, people: dict[str, Account]) -> None:
    write(session, people["ann"], "work")
    compose(session, people["ann"], "closed", "work", groups=("friends",))
    submission = run(session, people["sam"], "closed")
    with transaction(session):
        sharing.share_run(session, submission, "tim", "", people["sam"])
        sharing.share_run(session, submission, "tim", "", people["sam"])
    [share] = sharing.of_run(session, submission)

    with transaction(session):
        sharing.unshare_run(session, submission, share.id, people["sam"])

    assert who(people, Action.SEE_RUN, submission) == {"sam", "chief"}
    with pytest.raises(NotFound):
        sharing.unshare_run(session, submission, share.id, people["sam"])


def test_it_writes_who_shared_what_with_whom_into_the_audit_trail(session: Session, people: dict[str, Account]) -> None:
    task = write(session, people["ann"], "work", public=False)
    write(session, people["ann"], "other", public=False, groups=("friends",))
    with transaction(session):
        tasks.save(session, replace(tasks.draft_of(task.current), public=True), people["ann"], task)
    compose(session, people["ann"], "open", "work", public=True)
    submission = run(session, people["sam"], "open")
    with transaction(session):
        sharing.share_run(session, submission, "tim", "", people["sam"])

    said = session.execute(select(Audit.actor, Audit.kind, Audit.object, Audit.detail).where(Audit.action == "shared"))
    assert [tuple(each) for each in said] == [
        ("ann", "task", "other", {"public": False, "groups": ["friends"]}),
        ("ann", "task", "work", {"public": True, "groups": []}),
        ("ann", "job", "open", {"public": True, "open_links": True, "groups": []}),
        ("sam", "run", submission.uuid, {"with_account": "tim"}),
    ]


def test_it_names_no_job_of_others_that_has_a_task(session: Session, people: dict[str, Account]) -> None:
    task = write(session, people["ann"], "work")
    compose(session, people["ann"], "mine", "work")
    compose(session, people["eve"], "hers", "work")

    with pytest.raises(Conflict, match="is a step of mine, jobs of others: take it out"):
        tasks.delete(session, task, people["ann"])


def test_it_says_who_may_change_what_somebody_only_sees(session: Session, people: dict[str, Account]) -> None:
    write(session, people["ann"], "public")

    with pytest.raises(NotAllowed, match="Only its owner, or an administrator, may change"):
        tasks.to_change(session, "public", people["eve"])


def test_it_forgets_the_shares_of_a_group_that_is_deleted(session: Session, people: dict[str, Account]) -> None:
    task = write(session, people["ann"], "shared", public=False, groups=("friends",))
    with transaction(session):
        groups.delete(session, groups.every(session)[0], people["chief"])

    assert who(people, Action.USE_TASK, task) == {"ann", "chief"}
    assert session.scalars(select(Share)).all() == []


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        (GroupDraft(""), "name"),
        (GroupDraft("a,b"), "name"),
        (GroupDraft("x" * 81), "name"),
        (GroupDraft("friends"), "name"),
        (GroupDraft("new", ("stranger",)), "name"),
        (GroupDraft("others", ("stranger",)), "members"),
        (GroupDraft("others", ("a\0b",)), "members"),
    ],
)
def test_it_refuses_a_group_that_cannot_be(
    session: Session, people: dict[str, Account], draft: GroupDraft, field: str
) -> None:
    with pytest.raises(Invalid) as refusal, transaction(session):
        groups.save(session, draft, people["chief"])

    assert field in refusal.value.fields


def test_it_renames_a_group_and_changes_its_members(session: Session, people: dict[str, Account]) -> None:
    [group] = groups.every(session)
    with transaction(session):
        groups.save(session, GroupDraft("pals", ("tim",)), people["chief"], group)

    assert [(each.name, [member.name for member in each.members]) for each in groups.every(session)] == [
        ("pals", ["tim"])
    ]
    said = session.scalars(select(Audit.detail).where(Audit.kind == "group", Audit.action == "changed")).one()
    assert said == {
        "now": {"group": "pals", "members": ["tim"]},
        "before": {"group": "friends", "members": ["eve", "sam"]},
    }
