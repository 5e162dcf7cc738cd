"""The one way in: what is accepted, what is refused, and that a refusal leaves nothing behind."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session, sessionmaker

from portal import database
from portal.database import transaction
from portal.domain.drafts import ParameterDraft
from portal.domain.errors import Conflict, Invalid, NotAllowed, NotFound, TooMany, Unavailable
from portal.domain.parameters import Kind
from portal.domain.policy import Action, Role
from portal.domain.states import State
from portal.domain.work import Work
from portal.models import Account, Batch, Submission, Worker
from portal.services import access, backends, groups, jobs, submissions
from portal.services.groups import GroupDraft
from portal.services.submissions import Incoming, Wanted
from portal.settings import settings
from tests.making import make_job, make_task, order

ALPHA = ParameterDraft("alpha", flag="--alpha", kind=Kind.DECIMAL, default="0.05", minimum=0, maximum=1)
WHO = ParameterDraft("who", flag="--who", required=True)


@pytest.fixture
def service(session: Session) -> None:
    """A job of two stages with an optional and a required parameter."""
    make_task(session, "fit", "command", "true $P1 $P2", inputs=(".csv",), parameters=(ALPHA, WHO))
    make_task(session, "tell", "command", "true")
    make_job(session, "service", [(1, "fit"), (2, "tell")], validators=("csv",))


ANN = {"fit_who": "ann"}


def asked(*names: str, **changes: Any) -> submissions.Order:
    return replace(order(*(names or ("service",)), content=b"a,b\n1,2\n", values=ANN), **changes)


def batches(session: Session) -> int:
    return session.scalars(select(func.count(Batch.id))).one()


def files(data: Path) -> list[Path]:
    return [path for path in (data / "files").rglob("*") if path.is_file()]


def account(session: Session, name: str, role: Role) -> Account:
    with transaction(session):
        made = Account(name=name, role=role, password_hash="", session_key=name)
        session.add(made)
    return made


def set_limit(monkeypatch: pytest.MonkeyPatch, **limits: str) -> None:
    for name, value in limits.items():
        monkeypatch.setenv(f"PORTAL_QUEUE_{name}", value)
    settings.cache_clear()


def test_it_accepts_an_order_and_queues_its_first_stage_only(session: Session, data: Path, service: None) -> None:
    batch = submissions.submit(session, asked())

    [submission] = batch.submissions
    assert [(run.stage, run.state) for run in submission.runs] == [(1, State.QUEUED), (2, State.WAITING)]
    assert (batch.state, submission.state, submission.job_revision) == (State.QUEUED, State.QUEUED, 1)
    assert [message.sentence for message in submission.messages] == ["Submitted"]
    assert (batch.uploads[0].name, batch.uploads[0].size) == ("in.txt", 8)
    assert [path.read_bytes() for path in files(data)] == [b"a,b\n1,2\n"]
    assert submissions.get(session, submission.uuid) is submission
    assert submissions.batch(session, batch.uuid) is batch


def test_it_freezes_values_and_defaults_into_the_work(session: Session, service: None) -> None:
    [submission] = submissions.submit(session, asked()).submissions

    work = Work.from_json(submission.runs[0].work)

    assert work.identity == submission.uuid
    assert [(each.name, each.text, each.value) for each in work.arguments] == [
        ("alpha", "0.05", 0.05),
        ("who", "ann", "ann"),
    ]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": " "}, "submission_name"),
    ({"name": "x" * 65}, "submission_name"),
    ({"name": "a\0b"}, "submission_name"),
    ({"email": ""}, "email"),
    ({"email": "ann"}, "email"),
    ({"email": "\ufffd@example.org"}, "email"),
    ({"email": "ann@example.org\nBcc: x@example.org"}, "email"),
    ({"email": "x" * 60 + "@" + ".".join(["y" * 60] * 4) + ".org"}, "email"),
    ({"inputs": ()}, "input_data"),
    ({"inputs": (Incoming("empty.csv", io.BytesIO(b"")),)}, "input_data"),
    ({"inputs": (Incoming("wrong.csv", io.BytesIO(b"a,b\n1\n")),)}, "input_data"),
    ({"values": {}}, "fit_who"),
    ({"values": {"fit_who": ""}}, "fit_who"),
    ({"values": {**ANN, "fit_alpha": "2"}}, "fit_alpha"),
    ({"values": {**ANN, "fit_alpha": "NaN"}}, "fit_alpha"),
]


@pytest.mark.parametrize(("changes", "field"), REFUSED)
def test_it_names_the_field_that_is_wrong_and_keeps_nothing(
    session: Session, data: Path, service: None, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        submissions.submit(session, asked(**changes))

    assert list(refusal.value.fields) == [field]
    assert (batches(session), files(data)) == (0, [])


def test_it_names_every_field_that_is_wrong_at_once(session: Session, service: None) -> None:
    with pytest.raises(Invalid) as refusal:
        submissions.submit(session, asked(name="", email="", values={"fit_alpha": "x"}, inputs=()))

    assert refusal.value.fields.keys() == {"submission_name", "email", "input_data", "fit_alpha", "fit_who"}


def test_it_says_which_line_of_the_data_is_not_of_its_kind(session: Session, service: None) -> None:
    with pytest.raises(Invalid, match="line 2 has 1 fields where the header has 2"):
        submissions.submit(session, asked(inputs=(Incoming("x", io.BytesIO(b"a,b\n1\n")),)))


def test_it_refuses_a_file_past_the_limit(
    session: Session, data: Path, service: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_MAX_UPLOAD_BYTES", "7")
    settings.cache_clear()

    with pytest.raises(Invalid, match="larger than the 7 bytes"):
        submissions.submit(session, asked())

    assert (batches(session), files(data)) == (0, [])


def test_it_refuses_no_job_and_a_job_that_does_not_exist(session: Session, data: Path, service: None) -> None:
    with pytest.raises(NotFound, match="There is no job nothing"):
        submissions.submit(session, asked("service", "nothing"))
    with pytest.raises(Invalid):
        submissions.submit(session, asked(jobs=()))

    assert (batches(session), files(data)) == (0, [])


def test_it_hides_a_private_job_from_strangers(session: Session, service: None) -> None:
    ann, bob = (account(session, name, Role.SUBMITTER) for name in ("ann", "bob"))
    with transaction(session):
        groups.save(session, GroupDraft("friends", ("ann",)), bob)
        draft = replace(jobs.draft_of(jobs.get(session, "service")), name="private", public=False, groups=("friends",))
        jobs.save(session, draft, None)

    for stranger in (None, bob):
        with pytest.raises(NotFound, match="There is no job private"):
            submissions.submit(session, asked("private", account=stranger))
    assert submissions.submit(session, asked("private", account=ann))


def test_it_refuses_a_job_that_is_switched_off(session: Session, data: Path, service: None) -> None:
    job = jobs.get(session, "service")
    with transaction(session):
        jobs.save(session, replace(jobs.draft_of(job), enabled=False), None, job)

    with pytest.raises(NotAllowed, match="service is present but currently disabled"):
        submissions.submit(session, asked())
    assert (batches(session), files(data)) == (0, [])


def test_it_refuses_what_no_worker_can_run(session: Session, data: Path, service: None) -> None:
    with transaction(session):
        backends.report(session, Worker(name="w", queues=["here"], obstacles={"here": {"command": "no sh"}}))

    with pytest.raises(Unavailable, match="Step fit: The backend here cannot run it: no sh"):
        submissions.submit(session, asked())
    assert (batches(session), files(data)) == (0, [])


def test_it_makes_one_batch_of_several_jobs_in_their_order(session: Session, data: Path, service: None) -> None:
    make_job(session, "another", [(1, "tell")])

    batch = submissions.submit(session, asked("service", "another", "service"))

    assert [each.job_name for each in batch.submissions] == ["service", "another", "service"]
    assert len({each.uuid for each in batch.submissions}) == 3
    assert len(files(data)) == 1


def test_it_makes_one_batch_of_a_request_that_comes_twice(session: Session, data: Path, service: None) -> None:
    first = submissions.submit(session, asked(idempotency_key="k1"))
    again = submissions.submit(session, asked(idempotency_key="k1"))

    assert again is first
    assert (batches(session), len(files(data))) == (1, 1)


def test_it_makes_one_batch_of_a_request_that_comes_twice_at_one_time(
    session: Session, data: Path, service: None
) -> None:
    gate = threading.Barrier(8)

    def send(_: int) -> str:
        with sessionmaker(database.engine())() as own:
            gate.wait()
            return submissions.submit(own, asked(idempotency_key="k1")).uuid

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(send, range(8)))) == 1
    assert (batches(session), len(files(data))) == (1, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "another"},
        {"email": "bob@example.org"},
        {"values": {"fit_who": "bob"}},
        {"jobs": ("service", "service")},
        {"inputs": (Incoming("in.txt", io.BytesIO(b"a,b\n1,3\n")),)},
    ],
)
def test_it_refuses_another_order_under_a_key_that_was_used(
    session: Session, data: Path, service: None, change: dict[str, Any]
) -> None:
    submissions.submit(session, asked(idempotency_key="k1"))

    with pytest.raises(Conflict, match="key was used for another request"):
        submissions.submit(session, asked(idempotency_key="k1", **change))

    assert (batches(session), len(files(data))) == (1, 1)


def test_it_gives_each_sender_keys_of_their_own(session: Session, service: None) -> None:
    ann, bob = (account(session, name, Role.SUBMITTER) for name in ("ann", "bob"))
    senders: list[dict[str, Any]] = [{"account": ann}, {"account": bob}, {}, {"address": "192.0.2.7"}]

    made = [submissions.submit(session, asked(idempotency_key="k1", **sender)).uuid for sender in senders]
    again = [submissions.submit(session, asked(idempotency_key="k1", **sender)).uuid for sender in senders]

    assert len(set(made)) == 4
    assert again == made


def test_it_knows_an_account_by_its_key_wherever_it_is(session: Session, service: None) -> None:
    ann = account(session, "ann", Role.SUBMITTER)

    first = submissions.submit(session, asked(idempotency_key="k1", account=ann))

    assert submissions.submit(session, asked(idempotency_key="k1", account=ann, address="192.0.2.7")) is first


@pytest.mark.parametrize(
    ("sent", "kept"), [("../../etc/passwd", "passwd"), ("C:\\my data.csv", "my_data.csv"), ("a\0\x1b.csv", "a.csv")]
)
def test_it_keeps_a_files_name_to_be_read_and_not_as_a_path(
    session: Session, data: Path, service: None, sent: str, kept: str
) -> None:
    batch = submissions.submit(session, asked(inputs=(Incoming(sent, io.BytesIO(b"a\n")),)))

    assert batch.uploads[0].name == kept
    assert [path.parent for path in files(data)] == [data / "files" / "uploads"]


def test_it_serves_later_who_asks_much_and_refuses_who_asks_too_much(
    session: Session, data: Path, service: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_limit(monkeypatch, HOG_SIZE="1", HARD_LIMIT="2")

    queues = [submissions.submit(session, asked()).submissions[0].runs[0].queue for _ in range(2)]

    assert queues == ["here", "low_here"]
    with pytest.raises(TooMany):
        submissions.submit(session, asked())
    assert (batches(session), len(files(data))) == (2, 2)
    assert submissions.submit(session, asked(address="192.0.2.7"))


def test_it_serves_who_is_signed_in_first_and_counts_by_account(
    session: Session, service: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_limit(monkeypatch, HOG_SIZE="5", HARD_LIMIT="1")
    ann = account(session, "ann", Role.SUBMITTER)
    submissions.submit(session, asked())

    batch = submissions.submit(session, asked(account=ann))

    assert batch.submissions[0].runs[0].queue == "high_here"
    with pytest.raises(TooMany):
        submissions.submit(session, asked(account=ann, address="192.0.2.7"))


@pytest.mark.parametrize(
    ("validators", "content", "sentence"),
    [
        (("png",), b"a text", "it is no PNG image: it does not begin like one."),
        (("text",), b"a\n\xff", "line 2 is not UTF-8 text."),
        (("csv a:integer",), b"a\n1\nx\n", "line 3: “x” in the column a is not a whole number."),
        (("text", "size 3 B"), b"long", "it has more than 3 B."),
    ],
)
def test_it_says_what_a_validator_says_and_keeps_nothing(
    session: Session, data: Path, validators: tuple[str, ...], content: bytes, sentence: str
) -> None:
    make_task(session, "tell", "command", "true")
    make_job(session, "strict", [(1, "tell")], validators=validators)

    with pytest.raises(Invalid) as refusal:
        submissions.submit(session, order("strict", content=content))

    assert refusal.value.fields == {"input_data": f"Input data could not be validated: {sentence}"}
    assert (batches(session), files(data)) == (0, [])


def test_it_applies_no_limit_that_is_empty(session: Session, service: None, monkeypatch: pytest.MonkeyPatch) -> None:
    set_limit(monkeypatch, HOG_SIZE="", HARD_LIMIT="")
    ann = account(session, "ann", Role.SUBMITTER)

    for who, queue in ((None, "here"), (ann, "high_here")):
        made = [submissions.submit(session, asked(account=who)).submissions[0].runs[0].queue for _ in range(17)]
        assert set(made) == {queue}


def test_it_serves_an_account_that_asks_much_later_and_refuses_who_is_at_the_end_of_the_line(
    session: Session, service: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_limit(monkeypatch, HOG_SIZE="1", HARD_LIMIT="")
    monkeypatch.setenv("PORTAL_DEFAULT_JOB_PRIORITY", "0")
    settings.cache_clear()
    ann = account(session, "ann", Role.SUBMITTER)

    queues = [submissions.submit(session, asked(account=ann)).submissions[0].runs[0].queue for _ in range(3)]
    assert queues == ["high_here", "here", "here"]
    assert submissions.submit(session, asked()).submissions[0].runs[0].queue == "low_here"
    with pytest.raises(TooMany) as refusal:
        submissions.submit(session, asked())
    assert refusal.value.retry_after > 0


def test_it_takes_another_order_when_an_earlier_one_has_ended(
    session: Session, service: None, monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]
) -> None:
    set_limit(monkeypatch, HARD_LIMIT="1")
    submissions.submit(session, asked())

    work()

    assert submissions.submit(session, asked())


def test_it_lists_an_accounts_own_submissions_newest_first(session: Session, service: None) -> None:
    ann, bob = account(session, "ann", Role.ANALYST), account(session, "bob", Role.ADMINISTRATOR)
    made = [
        submissions.submit(session, asked(account=who, name=name)).submissions[0]
        for who, name in ((ann, "one 100%"), (bob, "two"), (ann, "three"))
    ]

    def listed(who: Account, **wanted: Any) -> list[Submission]:
        return list(submissions.listing(session, who, Wanted(**wanted)))

    assert listed(ann) == [made[2], made[0]]
    assert listed(bob) == [made[2], made[1], made[0]]
    assert listed(bob, own=True) == [made[1]]
    assert listed(bob, text="100%") == listed(bob, text="%") == [made[0]]
    assert listed(bob, before=made[1].id) == [made[0]]
    assert listed(bob, state=State.COMPLETE) == []
    assert listed(bob, job="service", limit=2) == [made[2], made[1]]


def test_it_lets_its_owner_and_an_administrator_stop_a_submission(session: Session, service: None) -> None:
    ann, bob = account(session, "ann", Role.SUBMITTER), account(session, "bob", Role.ANALYST)
    chief = account(session, "chief", Role.ADMINISTRATOR)
    [submission] = submissions.submit(session, asked(account=ann)).submissions

    allowed = [who.name for who in (ann, bob, chief) if access.may(who, Action.CHANGE_RUN, submission)]

    assert allowed == ["ann", "chief"]
    assert not access.may(None, Action.CHANGE_RUN, submission)


def test_it_keeps_the_upload_of_a_commit_that_may_land_yet(session: Session, data: Path, service: None) -> None:
    """The first answer is lost, and the second try is refused: nobody knows what becomes of the first."""
    answers = [OperationalError("COMMIT", {}, Exception("gone")), ProgrammingError("COMMIT", {}, Exception("no"))]

    def lose(_: Session) -> None:
        raise answers.pop(0)

    event.listen(session, "before_commit", lose)
    with pytest.raises(ProgrammingError):
        submissions.submit(session, asked())

    assert (len(files(data)), answers) == (1, [])
