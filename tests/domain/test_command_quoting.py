"""A value is one word of the command and never syntax, wherever its place stands: seen by letting sh run the script."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.domain import command
from portal.domain.command import Binding
from portal.domain.errors import Invalid

VALUES = [
    "x;id", "$(id)", "`id`", "$I1", "$HOME", "'", '"', "'\"'", "a b  c", "line\nline\n", "\n", "😀 é", "-1", "*",
    "[a-z]?", "~", "\\", "\\n", "a\\", "!", "{a,b}", "#", "", "&& rm", "<in", ">out", "E", "%s%d", "\t",
]  # fmt: skip

PRINT = "printf '<%s>'"
CONTEXTS = {
    "bare": (f"{PRINT} $P1", "<{}>"),
    "braced": (f"{PRINT} ${{P1}}", "<{}>"),
    "inside a word": (f"{PRINT} --x=$P1,y", "<--x={},y>"),
    "double-quoted": (f'{PRINT} "a $P1 b"', "<a {} b>"),
    "single-quoted": (f"{PRINT} 'a $P1 b'", "<a {} b>"),
    "after an escaped quote": (f"{PRINT} \\'$P1", "<'{}>"),
    "after a comment with a quote behind a subshell": (f"(true)#it's\n{PRINT} $P1", "<{}>"),
    "after a word that begins with a command": (f"x=$(true)#it's'; {PRINT} $P1", "<{}>"),
    "after a word that begins with an escape": (f"x=\\ #it's'; {PRINT} $P1", "<{}>"),
    "after a quote in braces": (f"x=${{y:-'}}'}}; {PRINT} $P1", "<{}>"),
    "after a comment with a quote": (f"# it's\n{PRINT} $P1", "<{}>"),
    "in a command substitution": (f'{PRINT} "$(printf %s. $P1)"', "<{}.>"),
    "in a quoted word of a command substitution": (f'{PRINT} "$(printf %s. "$P1")"', "<{}.>"),
    "in a subshell": (f"({PRINT} $P1)", "<{}>"),
    "in a here-document": ("cat <<E\n<$P1>\nE\n", "<{}>\n"),
    "in a here-document with tabs": ("cat <<-E\n\t<$P1>\n\tE\n", "<{}>\n"),
    "in a command of a here-document": (f"cat <<E\n$({PRINT} $P1)\nE\n", "<{}>\n"),
    "after a here-document": (f"cat <<E >/dev/null\nit's\nE\n{PRINT} $P1", "<{}>"),
    "after a quoted here-document": (f"cat <<'E' >/dev/null\nit's\nE\n{PRINT} $P1", "<{}>"),
    "after a double-quoted here-document": (f'cat <<"A B" >/dev/null\nit\'s "\nA B\n{PRINT} $P1', "<{}>"),
    "after a dotted here-document": (f"cat <<E.O >/dev/null\nit's\nE.O\n{PRINT} $P1", "<{}>"),
    "after two here-documents": (f"cat <<A <<B >/dev/null\n'\nA\n'\nB\n{PRINT} $P1", "<{}>"),
    "after a shift in arithmetic": (f"n=$((1<<2))\n{PRINT} $P1", "<{}>"),
    "as an assignment": (f'x=$P1; {PRINT} "$x"', "<{}>"),
}


def run(line: str, directory: Path | None = None, **bindings: Binding) -> str:
    done = subprocess.run(
        ["/bin/sh"],
        input=command.script(line, bindings).encode(),
        capture_output=True,
        check=False,
        cwd=directory,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


@pytest.mark.parametrize(("line", "expected"), CONTEXTS.values(), ids=CONTEXTS)
def test_it_hands_every_value_over_as_one_word(line: str, expected: str, tmp_path: Path) -> None:
    for name in ("a", "b", "in"):
        (tmp_path / name).touch()

    found = {value: run(line, tmp_path, P1=Binding(value=value)) for value in VALUES}

    assert found == {value: expected.format(value) for value in VALUES}
    command.check(line, {"P1"})


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@settings(max_examples=120, deadline=None)
def test_it_hands_any_text_over_byte_for_byte(value: str) -> None:
    script = command.script("printf '%s\\0' $P1", {"P1": Binding(("-t",), value)})

    done = subprocess.run(["/bin/sh"], input=script.encode(), capture_output=True, check=True)

    assert done.stdout == b"-t\0" + value.encode() + b"\0"


def test_it_puts_a_flag_before_the_value_as_a_word_of_its_own_or_in_one_word_with_it() -> None:
    apart, joined = Binding(("-t",), "a b"), Binding(("--db=",), "a b", spacing=False)

    assert run(f"{PRINT} $P1 $P2", P1=apart, P2=joined) == "<-t><a b><--db=a b>"


def test_it_gives_no_word_at_all_for_a_flag_that_is_off() -> None:
    assert run(f"{PRINT} a $P1 b", P1=Binding()) == "<a><b>"


def test_it_takes_a_flag_as_words_and_not_as_syntax() -> None:
    assert run(f"{PRINT} $P1", P1=Binding(("-x;id", "*"), "v")) == "<-x;id><*><v>"


def test_it_leaves_variables_pipes_and_redirections_to_the_shell() -> None:
    line = "x=$P1; for i in 1 2; do echo $x$i; done 2>/dev/null | sort -r"

    assert run(line, P1=Binding(value="v")) == "v2\nv1\n"


def test_it_takes_an_escaped_dollar_sign_as_text() -> None:
    assert run(f'{PRINT} \\$P1 "\\$P1"', P1=Binding(value="v")) == "<$P1><$P1>"
    assert run("cat <<E\n\\$P1\nE\n", P1=Binding(value="v")) == "$P1\n"


def test_it_reads_the_longest_number_and_lets_an_underscore_follow_an_identity() -> None:
    bound = {"P1": Binding(value="one"), "P10": Binding(value="ten"), "ID": Binding(value="id")}

    assert run(f"{PRINT} $P10 $P1 $ID_1", **bound) == "<ten><one><id_1>"


def test_it_reads_lines_that_end_as_windows_ends_them() -> None:
    assert run(f"{PRINT} $P1\r\n{PRINT} b\r\n", P1=Binding(value="a")) == "<a><b>"


@pytest.mark.parametrize(
    ("line", "where", "why"),
    [
        ("a\necho `echo $P1`", "Line 2: $P1", "backticks"),
        ("a\nb\necho ${x:-$P1}", "Line 3: $P1", "${ }"),
        ("cat <<'E'\n$P1\nE", "Line 2: $P1", "here-document"),
        ('cat <<"E"\n$P1\nE', "Line 2: $P1", "here-document"),
        ("cat <<\\E\n$P1\nE", "Line 2: $P1", "here-document"),
        ("echo $(( ($P1) + 1 ))", "Line 1: $P1", "$(( ))"),
        ("a\necho $I3", "Line 2: $I3", "input ending"),
        ("echo $O1", "Line 1: $O1", "output ending"),
        ("echo $P2", "Line 1: $P2", "parameter"),
        ("echo $VALUE", "Line 1: $VALUE", "flag is VALUE"),
        ("a\ncat <<E\n$P1\n", "Line 2: the here-document", "E alone"),
    ],
)
def test_it_refuses_a_place_where_no_value_can_stand_and_names_its_line(line: str, where: str, why: str) -> None:
    with pytest.raises(Invalid) as refusal:
        command.check(line, {"P1"})

    assert refusal.value.fields["code"].startswith(where)
    assert why in refusal.value.fields["code"]


UNCLOSED = [
    ('echo "unbalanced', 1, '"', '"'),
    ("true\necho it's", 2, "'", "'"),
    ("echo `date", 1, "`", "`"),
    ("true\n\necho $(date", 3, "$(", ")"),
    ("echo $( (a)", 1, "$(", ")"),
    ("echo ${x:-1", 1, "${", "}"),
    ('echo "a $(date "b")', 1, '"', '"'),
    ("echo 'a\nb\nc", 1, "'", "'"),
    ("cat <<E\n`\nE\n", 2, "`", "`"),
]


@pytest.mark.parametrize(("line", "number", "mark", "end"), UNCLOSED)
def test_it_refuses_what_is_opened_and_never_closed_and_says_where(line: str, number: int, mark: str, end: str) -> None:
    with pytest.raises(Invalid) as refusal:
        command.check(line, set())

    sentence = refusal.value.fields["code"]
    assert sentence.startswith(f"Line {number}: {mark} opens here and is never closed: write {end} where it ends")
    assert not understood_by_sh(line)


@pytest.mark.parametrize(
    "line",
    [
        "case $1 in a) echo;; esac",
        "case $1 in a) echo 'x';; (b) echo \"y\";; esac",
        'x="$(case $1 in a) echo \'it"s\';; esac)"',
        "(case $1 in a) echo;; esac)",
        "echo a # it's \" ` ${ $(",
        "(true)#it's",
        "echo \\' \\\" \\` \\${ '\"`${$('",
        'echo "it\'s ok"',
        'echo ${x:-\'}\'} ${x:-"}"} "${x#\'"\'}" ${#x} $#',
        'echo "${x:-it\'s}"',
        "cat <<E\nit's \"${x:-it's}\nE\n",
        "cat <<'E'\n` $( ${ \"\nE\n",
        "true \\\n# it's\n",
        "echo $${ $$",
        'echo $((1 << 2)) "$( (true) )"',
        'f() { echo "$1"; }; f x',
    ],
)
def test_it_accepts_what_the_shell_understands(line: str) -> None:
    assert understood_by_sh(line)

    command.check(line, set())


SYNTAX = [
    "'", '"', "`", "$(", "${x}", "${x:-", "}", "(", ")", "\\", "#", " ", "\n", ";", "a", "case x in b)", "esac", "$((",
]  # fmt: skip


@given(st.lists(st.sampled_from(SYNTAX), max_size=12).map("".join))
@settings(max_examples=150, deadline=None)
def test_it_refuses_no_quoting_that_the_shell_understands(line: str) -> None:
    try:
        command.check(line, set())
    except Invalid:
        assert not understood_by_sh(line)


def understood_by_sh(line: str) -> bool:
    """Whether sh could read the line, without running it."""
    return subprocess.run(["/bin/sh", "-n"], input=line.encode(), capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("line", ["echo a # not $I3", "echo \\$I3", "echo $HOME $1 $$ ${x}", "echo $(( 1 + 2 ))"])
def test_it_accepts_what_is_no_place(line: str) -> None:
    command.check(line, set())

    assert command.shown(line, {}) == line


def test_it_shows_a_value_quoted_where_it_must_be() -> None:
    bound = {"P1": Binding(value="a b"), "I1": Binding(value="in.csv")}

    assert command.shown("t $P1 $I1", bound) == "t 'a b' in.csv"
