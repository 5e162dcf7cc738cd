"""A parameter's file lies in the working directory, and later steps find it by its ending."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from portal import storage
from portal.domain.drafts import ParameterDraft
from portal.domain.parameters import Kind
from portal.domain.states import State
from portal.models import Submission
from tests.making import make_job, make_task, submitted

Done = Callable[..., Submission]
Content = Callable[[Submission, str], bytes]

TABLE = ParameterDraft("look up", flag="--with", kind=Kind.FILE, choices=(".tsv", ".csv"), required=True)
MASK = ParameterDraft("mask", flag="--mask", kind=Kind.FILE)
SENT = {"t_look up": ("Table.TSV", b"\x00one\ttwo")}
CODES = {
    "command": "printf '%s\\n' $P1 $P2 > $O1; cat $I1 *.look_up.tsv > $O2",
    "python": "import shutil\n"
    "print('--with', params['look up'], sep='\\n', file=O1)\n"
    "assert params['mask'] is None\n"
    "O2.write(I1.read().encode() + open(params['look up'], 'rb').read())\n",
    "r": "writeLines(c('--with', params[['look up']]), O1)\n"
    "stopifnot('mask' %in% names(params), is.null(params$mask))\n"
    "invisible(file.copy(inputs[['.csv']], outputs[['.both']]))\n"
    "invisible(file.append(outputs[['.both']], params[['look up']]))\n",
}


@pytest.mark.parametrize(("language", "code"), CODES.items())
def test_it_finds_its_file_by_the_parameter(language: str, code: str, done: Done, content: Content) -> None:
    submission = done(
        language, code, b"main\n", files=SENT, inputs=(".csv",), outputs=(".words", ".both"), parameters=(TABLE, MASK)
    )

    assert submission.state is State.COMPLETE, submission.runs[0].reason
    assert content(submission, ".words").decode() == f"--with\n{submission.uuid}.look_up.tsv\n"
    assert content(submission, ".both") == b"main\n\x00one\ttwo"
    assert [upload.ending for upload in submission.batch.uploads] == ["", ".look_up.tsv"]


@pytest.fixture
def finding(session: Session, work: Callable[[], None]) -> Callable[..., str]:
    """What a second step finds in its directory, after one of two tasks that take a file each."""

    def run(*inputs: str, **files: tuple[str, bytes]) -> str:
        for name in ("a", "b"):
            parameter = ParameterDraft("ref", kind=Kind.FILE)
            make_task(session, name, "command", "true", inputs=(".csv",), parameters=(parameter,))
        make_task(session, "c", "command", "grep -H . *", inputs=inputs, stdout=".txt")
        make_job(session, "job", [(1, "a"), (1, "b"), (2, "c")])
        submission = submitted(session, "job", b"main\n", files=files)
        work()
        session.expire_all()
        [result] = submission.results
        with storage.open_blob(result.key) as stream:
            return stream.read().decode().replace(submission.uuid, "id")

    return run


def test_a_later_step_finds_it_by_its_ending(finding: Callable[..., str]) -> None:
    assert finding(".tsv", a_ref=("x.tsv", b"1\n")) == "id.ref.tsv:1\nid.tsv:1\n"


def test_a_later_step_can_ask_for_the_file_of_one_parameter(finding: Callable[..., str]) -> None:
    assert finding(".ref.tsv", a_ref=("x.tsv", b"1\n")) == "id.ref.tsv:1\n"


def test_the_jobs_input_stays_the_one_of_its_own_name(finding: Callable[..., str]) -> None:
    assert finding(".csv", a_ref=("x.csv", b"1\n")) == "id.csv:main\nid.ref.csv:1\n"


def test_two_files_of_one_name_are_both_there(finding: Callable[..., str]) -> None:
    found = finding(".tsv", a_ref=("x.tsv", b"1\n"), b_ref=("y.tsv", b"2\n"))

    assert found == "id.b_ref.ref.tsv:2\nid.ref.tsv:1\nid.tsv:2\n"


def test_a_step_that_asks_for_no_such_ending_does_not_find_it(finding: Callable[..., str]) -> None:
    assert finding(".csv", a_ref=("x.tsv", b"1\n")) == "id.csv:main\n"
