"""The three dialects of the first system's commands."""

from __future__ import annotations

import pytest

from portal.services.dumps.dialects import LOST, UNUSED, Flag, rewrite

ALL = Flag(1, "-lah", True)
NUMBER = Flag(2, "-n", False)
DEPTH = Flag(3, "-d", False)


@pytest.mark.parametrize(
    ("line", "flags", "ours"),
    [
        ("ls", [ALL], "ls $P1"),
        ('/usr/bin/grep "/" $INPUT || :', [Flag(1, "-a", False)], '/usr/bin/grep $P1 "/" $I1 || :'),
        ("tool -x $INPUT $OUTPUT", [], "tool -x $I1 $O1"),
        ("tool x", [DEPTH, ALL, NUMBER], "tool $P1 $P3 $P2 x"),
        ("gs -sOutputFile=$ID_%d.png $INPUT", [], "gs -sOutputFile=$ID_%d.png $I1"),
        ("tool $INPUTS", [], "tool $INPUTS"),
    ],
)
def test_it_puts_the_parameters_of_2016_after_the_first_word(line: str, flags: list[Flag], ours: str) -> None:
    assert rewrite(line, flags, current=False).line == ours


@pytest.mark.parametrize(
    ("line", "flags", "ours", "redirected"),
    [
        ("tool $FLAGS $OPTIONS $INPUT > $OUTPUT", [DEPTH, ALL, NUMBER], "tool $P1 $P3 $P2 $I1", True),
        ("tool $FLAGS -x $INPUT", [], "tool -x $I1", False),
        ("tool $OPTIONS $INPUT $OUTPUT", [NUMBER], "tool $P2 $I1 $O1", False),
        ("sort $INPUT > $OUTPUT ", [], "sort $I1", True),
    ],
)
def test_it_reads_the_placeholders_of_2015(line: str, flags: list[Flag], ours: str, redirected: bool) -> None:
    found = rewrite(line, flags, current=False)

    assert (found.line, found.redirected) == (ours, redirected)


@pytest.mark.parametrize("line", ["tool $P2 $I1 -o $O1", "sort < $I1 2>/dev/null", "echo $VALUE $ID $TMP $HOME"])
def test_it_leaves_the_dialect_of_today(line: str) -> None:
    assert rewrite(line, [], current=True).line == line


@pytest.mark.parametrize(
    ("line", "flags", "current", "doubt"),
    [
        ("tool $INPUT $I1", [], False, "its command mixes $INPUT and $I1"),
        ("tool $FLAGS $P1", [ALL], True, "its command mixes $FLAGS and $P1"),
        ("tool $INPUT", [ALL], True, "its command has $INPUT, but its parameters are of a later time"),
    ],
)
def test_it_leaves_and_names_what_mixes_dialects(line: str, flags: list[Flag], current: bool, doubt: str) -> None:
    found = rewrite(line, flags, current)

    assert found.line == line
    assert found.doubt.startswith(doubt)


def test_it_says_that_parameters_are_on_no_command_line() -> None:
    found = rewrite("tool $I1", [ALL], current=True)

    assert (found.line, found.remarks) == ("tool $I1", (UNUSED,))


@pytest.mark.parametrize("line", ["a; b", "a && b", "a || :", "a & b"])
def test_it_says_where_the_first_system_lost_output(line: str) -> None:
    assert LOST in rewrite(line, [], current=True).remarks


@pytest.mark.parametrize("line", ["a | b", "a ';' b", 'grep "a && b" $I1', "a 2>&1"])
def test_it_says_nothing_of_one_command(line: str) -> None:
    assert rewrite(line, [], current=True).remarks == ()


def test_it_joins_lines_as_the_first_system_did() -> None:
    assert rewrite("tool -a\r\n  -b $I1\n", [], current=True).line == "tool -a   -b $I1"


@pytest.mark.parametrize("line", ["# sorted\nsort $I1", "sort $I1 > x\ncat x", "cat << END\n$I1\nEND"])
def test_it_keeps_lines_that_cannot_have_run_there(line: str) -> None:
    assert rewrite(line, [], current=True).line == line
