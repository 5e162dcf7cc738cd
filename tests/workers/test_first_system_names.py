"""Code of the first system finds its names: I1 and O1 as open files, P1 with its flag."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from portal.domain.drafts import ParameterDraft
from portal.domain.parameters import Kind
from portal.domain.states import State
from portal.models import Submission
from portal.services import logs
from tests.levels import ways

STRICTEST_WARM = [each for each in ways() if each.endswith("warm")][-1:]
pytestmark = [pytest.mark.usefixtures("level"), pytest.mark.parametrize("level", ["1", *STRICTEST_WARM], indirect=True)]

PARAMETERS = (
    ParameterDraft("size", flag="-t", kind=Kind.INTEGER, required=True),
    ParameterDraft("value", flag="VALUE", required=True),
    ParameterDraft("on", flag="-a", kind=Kind.BOOLEAN, required=True),
    ParameterDraft("off", flag="-b", kind=Kind.BOOLEAN, required=True),
    ParameterDraft("plain", required=True),
)
VALUES = {"t_size": "12", "t_value": "v", "t_on": "TRUE", "t_off": "FALSE", "t_plain": "x'}; Z={'a':'"}
ODD = (("ODD", "'odd'"),)
BINARY = b"\x89PNG\r\n\x1a\n\x00\xff"

Done = Callable[..., Submission]
Content = Callable[[Submission, str], bytes]


def names(submission: Submission) -> list[str]:
    return [result.name.removeprefix(submission.uuid) for result in submission.results]


def test_it_runs_python_code_of_the_first_system(done: Done, content: Content) -> None:
    code = (
        "def upper():\n    return I1.read().upper()\n"
        "O1.write(upper())\n"
        "print(P1, P2, P3, P4, sep='|')\n"
        "raise SystemExit(4)\n"
    )

    submission = done(
        "python", code, b"abc\r\n\xc3\xa9", VALUES, inputs=(".in",), outputs=(".upper",), stdout=".txt",
        exit_statuses=(4,), parameters=PARAMETERS,
    )  # fmt: skip

    assert (submission.state, submission.runs[0].exit_status) == (State.COMPLETE, 4)
    assert content(submission, ".upper").decode() == "ABC\nÉ"
    assert content(submission, ".txt").decode() == f"{{'-t': '12'}}|True|False|{ {'': VALUES['t_plain']}!r}\n"


def test_python_code_has_os_without_importing_it_as_the_first_systems_did(done: Done, content: Content) -> None:
    submission = done("python", "print(os.path.basename(os.getcwd()), os.environ['ODD'])", stdout=".txt", variables=ODD)

    assert submission.state is State.COMPLETE
    assert content(submission, ".txt").decode() == f"{submission.uuid} 'odd'\n"


def test_it_runs_r_code_of_the_first_system(done: Done, content: Content) -> None:
    code = (
        "upper <- function() toupper(readLines(I1))\n"
        "writeLines(upper(), O1)\n"
        "cat(names(P1), P1[['-t']], P2, P3, P4[[1]], sep = '|')\n"
        "quit(status = 4)\n"
    )

    submission = done(
        "r", code, b"abc\n\xc3\xa9\n", VALUES, inputs=(".in",), outputs=(".upper",), stdout=".txt",
        exit_statuses=(4,), parameters=PARAMETERS,
    )  # fmt: skip

    assert (submission.state, submission.runs[0].exit_status) == (State.COMPLETE, 4)
    assert content(submission, ".upper").decode() == "ABC\nÉ\n"
    assert content(submission, ".txt").decode() == f"-t|12|TRUE|FALSE|{VALUES['t_plain']}"


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "content = I1.read()\nassert isinstance(content, bytes)\nO1.write(content)\n"),
        ("r", "content <- readBin(I1, 'raw', 100)\nwriteBin(content, O1)\n"),
    ],
)
def test_it_hands_what_is_no_text_over_as_bytes(language: str, code: str, done: Done, content: Content) -> None:
    submission = done(language, code, BINARY, inputs=(".bin",), outputs=(".copy",))

    assert content(submission, ".copy") == BINARY


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "O1.write('so far')\nraise ValueError('no')\n"),
        ("r", "cat('so far', file = O1)\nstop('no')\n"),
    ],
)
def test_what_it_wrote_is_there_though_it_failed(language: str, code: str, done: Done, content: Content) -> None:
    submission = done(language, code, outputs=(".txt",))

    assert submission.state is State.ERROR
    assert content(submission, ".txt") == b"so far"


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "import os\nos.chdir('/')\nO2.write('two')\nO1\n"),
        ("r", "setwd('/')\ncat('two', file = O2)\nO1\n"),
        ("python", "open(outputs['.two'], 'w').write('two')\n"),
        ("r", "cat('two', file = outputs[['.two']])\n"),
        ("r", "close(O1)\ncat('two', file = O2)\n"),
    ],
)
def test_an_output_that_it_left_empty_or_never_named_is_not_kept(language: str, code: str, done: Done) -> None:
    submission = done(language, code, outputs=(".one", ".two"))

    assert names(submission) == [".two"]
    assert submission.runs[0].reason.endswith("No file with the ending .one was written")


@pytest.mark.parametrize(("language", "code"), [("python", "O1.write('x' y)"), ("r", "cat('x' y, file = O1)")])
def test_code_that_cannot_be_read_leaves_no_output(language: str, code: str, done: Done) -> None:
    assert names(done(language, code, outputs=(".txt",))) == []


def test_tables_are_read_from_and_written_to_open_files_in_r(done: Done, content: Content) -> None:
    code = "table <- read.csv(I1)\nwrite.csv(table, O1, row.names = FALSE)\ntable$n\n"

    submission = done("r", code, b"n,w\n1,a\n2,b c\n", inputs=(".csv",), outputs=(".copy",))

    assert content(submission, ".copy") == b'"n","w"\n1,"a"\n2,"b c"\n'


def test_several_inputs_and_outputs_are_open_side_by_side(done: Done, content: Content) -> None:
    code = "import csv, json\njson.dump(list(csv.reader(I1)), O1)\nO2.writelines(reversed(I1.name))\nO1.flush()\n"

    submission = done("python", code, b"a,b\n1,2\n", inputs=(".csv",), outputs=(".json", ".name"))

    assert json.loads(content(submission, ".json")) == [["a", "b"], ["1", "2"]]
    assert content(submission, ".name") == f"{submission.uuid}.csv"[::-1].encode()


def test_its_errors_show_only_the_analysts_own_lines(session: Session, done: Done) -> None:
    submission = done("python", "\nO1.write(3)\n", outputs=(".txt",))

    shown = logs.last_lines(session, submission.runs[0], "stderr", 200)
    assert 'File "task.py", line 2, in <module>' in shown


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("command", "head -c 1000000 /dev/zero | tr '\\0' x"),
        ("python", "print('x' * 1_000_000, end='')"),
        ("r", "cat(strrep('x', 1000000))"),
    ],
)
def test_it_prints_a_million_characters(language: str, code: str, done: Done, content: Content) -> None:
    submission = done(language, code, stdout=".txt")

    assert content(submission, ".txt") == b"x" * 1_000_000
