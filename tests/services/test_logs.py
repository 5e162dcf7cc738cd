"""The end of a log as a page shows it, whatever a program writes."""

from __future__ import annotations

import pytest

from portal.services.logs import BYTES, LONGEST_LINE, Tail, shown


def of(data: bytes, lines: int = 200) -> Tail:
    return shown(data[-BYTES:], len(data), lines)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (b"one\ntwo\n", "one\ntwo"),
        (b"no end", "no end"),
        (b"\n\nafter two empty lines\n", "\n\nafter two empty lines"),
        (b"\x1b[31mred\x07\0", "\\x1b[31mred\\x07\\x00"),
        (b"latin \xe9", "latin \\xe9"),
        ("\té \u2028 \u202e".encode(), "\té \\x2028 \\x202e"),
        (b"one\r\ntwo\r\n", "one\ntwo"),
        (b" 1%\r 2%\r100%\ndone\n", "100%\ndone"),
        (b" 1%\r 2%\r", " 2%"),
        (b"", ""),
    ],
)
def test_it_shows_all_of_a_short_log_and_makes_noise_visible(written: bytes, text: str) -> None:
    assert of(written) == Tail(text)


def test_it_says_how_many_lines_it_shows() -> None:
    assert of(b"a\nb\nc\n", lines=2) == Tail("b\nc", "the last 2 lines of 6 B")


def test_it_shows_the_end_of_a_line_without_end() -> None:
    tail = of(b"a" * 1_000_000 + b"z")

    assert tail == Tail("…" + "a" * (LONGEST_LINE - 1) + "z", "the end of 1.0 MB")


def test_it_does_not_show_half_a_character() -> None:
    tail = of(b"x" + "é".encode() * BYTES)

    assert "\\x" not in tail.text


def test_it_shows_whole_lines_as_far_as_its_bytes_go() -> None:
    tail = of(b"".join(b"%0999d\n" % number for number in range(1000)))

    assert tail.part == f"the last {len(tail.text.splitlines())} lines of 1.0 MB"
    assert tail.text.endswith("999") and len(tail.text) <= BYTES
