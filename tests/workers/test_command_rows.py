"""The lines of the first system's table that only a shell can answer, run by one; and what surrounds a command."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from portal.domain.drafts import ParameterDraft
from portal.domain.states import State
from portal.models import Submission

Done = Callable[..., Submission]
Content = Callable[[Submission, str], bytes]

TABLE = b"3 b\n1 a\n2 a/c\n"
T = (ParameterDraft("one", flag="-t"), ParameterDraft("two", flag="-t"))
PRINT = "printf '<%s>'"


@pytest.mark.parametrize(
    ("code", "values", "printed"),
    [
        pytest.param(f"{PRINT} $P1 x", {"t_one": ""}, "<-t><><x>", id="9 an empty value is one empty word"),
        pytest.param('echo  "a   b"\t$ID', {}, "a   b {id}\n", id="20 quoted blanks stay"),
        pytest.param("echo a\necho b", {}, "a\nb\n", id="21 two lines are two commands"),
        pytest.param("echo a ; echo b", {}, "a\nb\n", id="22 both are captured"),
        pytest.param("cat $I1 | sort | head -n 1", {}, "1 a\n", id="23 a pipe"),
        pytest.param('/usr/bin/grep "/" $I1 || :', {}, "2 a/c\n", id="24 what comes before || is captured"),
        pytest.param("awk '$1>2' $I1", {}, "3 b\n", id="26 > inside quotes"),
        pytest.param("echo lost > gone.txt; echo kept", {}, "kept\n", id="26 a redirection of one's own"),
        pytest.param("ls no.such.file $I1 2>/dev/null || :", {}, "{id}.in\n", id="27 2>"),
        pytest.param("sort < $I1", {}, "1 a\n2 a/c\n3 b\n", id="28 <"),
        pytest.param('test -d "$HOME" && cd "$HOME" && echo *.in', {}, "{id}.in\n", id="29 the shell's own variables"),
        pytest.param(f"{PRINT} $P1 $P2", {"t_one": "1", "t_two": "2"}, "<-t><1><-t><2>", id="33 one flag twice"),
        pytest.param(f"{PRINT} $P1", {"t_one": "x;id"}, "<-t><x;id>", id="34 one argument"),
        pytest.param("true && (echo a; echo b) | tail -n 1 && echo c", {}, "b\nc\n", id="&& and a subshell"),
    ],
)
def test_it_prints(code: str, values: dict[str, str], printed: str, done: Done, content: Content) -> None:
    submission = done("command", code, TABLE, values, inputs=(".in",), stdout=".txt", parameters=T)

    assert submission.state is State.COMPLETE
    assert content(submission, ".txt").decode() == printed.format(id=submission.uuid)


def test_its_variables_stand_beside_a_clean_environment(
    done: Done, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_WORKER", "secret")

    submission = done("command", "env -0", stdout=".env", variables=(("ODD", "a 'b'\n$HOME 😀"), ("EMPTY", "")))

    found = dict(each.split("=", 1) for each in content(submission, ".env").decode().split("\0") if each)
    assert (found["ODD"], found["EMPTY"]) == ("a 'b'\n$HOME 😀", "")
    assert found["HOME"] == f"{found['TMPDIR']}/{submission.uuid}"
    assert found["PATH"].split(":")[-2:] == ["/usr/bin", "/bin"]
    assert set(found) - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "HOME", "TMPDIR", "LANG", "ODD", "EMPTY"}


def test_it_copies_any_bytes(done: Done, content: Content) -> None:
    data = bytes(range(256)) * 300

    submission = done("command", "cat < $I1 > $O1; cat $I1", data, inputs=(".bin",), outputs=(".copy",), stdout=".same")

    assert content(submission, ".copy") == data == content(submission, ".same")


def test_it_keeps_every_file_of_an_ending_and_compares_whole_endings(done: Done) -> None:
    code = "touch a.tar.gz b.tar.gz c.gz tar.gz atar.gz graph.out my.graph.out mygraph.out graph.out.txt"

    submission = done("command", code, outputs=(".tar.gz", "graph.out"))

    kept = sorted(result.name.removeprefix(f"{submission.uuid}.") for result in submission.results)
    assert kept == ["a.tar.gz", "b.tar.gz", "graph.out", "my.graph.out"]
