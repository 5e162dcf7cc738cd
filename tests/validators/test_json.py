"""The validator of JSON says of a text what any other reader of it would say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal import validators
from tests.validators.samples import refusal

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=40,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES, st.sampled_from([None, 2]), st.booleans())
def test_it_accepts_whatever_a_writer_of_json_writes(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert refusal("json", text.encode("utf-8", "replace")) is None


@settings(deadline=None)
@given(st.text(alphabet='[]{},:"\\ \n0123456789.eE+-truefalsnu'))
def test_it_refuses_what_a_reader_of_json_refuses(text: str) -> None:
    try:
        json.loads(text, parse_constant=lambda _: 1 / 0)
        valid = True
    except (ValueError, ZeroDivisionError):
        valid = False
    assert (refusal("json", text.encode()) is None) == valid


@pytest.mark.parametrize(
    "text",
    [
        " [ ] ",
        "{}",
        '{"a": [1, 2.5e-3, {"b": {}}, [[]], "x"], "c": null}',
        '"\\ud83d\\ude00 \\" \\\\"',
        "-0",
        "[" * 500 + "]" * 500,
        json.dumps(["x" * 300_000, "\\\n" * 100_000, {"k" * 100_000: 1}]),
        json.dumps(list(range(100_000))),
        json.dumps([[list(range(300)), {str(at): at for at in range(300)}] for _ in range(100)], indent=1),
    ],
)
def test_it_accepts_json_of_any_length(text: str) -> None:
    assert refusal("json", text.encode()) is None


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "line 1: a value is expected, but here it ends."),
        (b"[1,\n2,\n]", "line 3: a value is expected, not “]”."),
        (b"[1\n2]", "line 2: a comma or ] is expected, not “2”."),
        (b'{"a": 1,\n b: 2}', "line 2: a name in double quotes is expected, not “b”."),
        (b'{"a" 1}', "line 1: a colon is expected, not “1”."),
        (b'{"a": 1]', "line 1: a comma or } is expected, not “]”."),
        (b'["a\nb"]', "line 1: the string must go on, or end with a double quote, not U+000A."),
        (b'["a', "line 1: the string must go on, or end with a double quote, but here it ends."),
        (b'["\\x"]', "line 1: the string must go on, or end with a double quote, not “\\”."),
        (b"[NaN]", "line 1: a value is expected, not “N”."),
        (b"[01]", "line 1: a comma or ] is expected, not “1”."),
        (b"{}\n{}", "line 2: nothing more is expected, not “{”."),
        (b"\xef\xbb\xbf[]", "line 1: a value is expected, not U+FEFF."),
        (b"[\n" * 501, "line 501 is nested deeper than 500 levels."),
        (b'{"a":' * 501, "line 1 is nested deeper than 500 levels."),
        (b"1" * 1001, "line 1 has a number of more than 1,000 characters."),
        (b'[1,\n"\xff"]', "line 2 is not UTF-8 text."),
        (b'"' + b"x\xc3\xa9" * 100_000 + b"\xc3", "line 1 is not UTF-8 text."),
        (b"[\n" + b"1,\n" * 100_000 + b"x]", "line 100002: a value is expected, not “x”."),
        (b"[\n" + b"[[1]],\n" * 100_000 + b"x]", "line 100002: a value is expected, not “x”."),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", "line 1 is not UTF-8 text."),
    ],
)
def test_it_says_which_line_is_wrong_and_why(data: bytes, sentence: str) -> None:
    assert refusal("json", data) == sentence


@pytest.mark.parametrize(("options", "data"), [("array", b" [1]"), ("object", b'\n{"a": 1}')])
def test_it_accepts_the_kind_of_value_that_is_asked_for(options: str, data: bytes) -> None:
    assert refusal(f"json {options}", data) is None


@pytest.mark.parametrize(("options", "data"), [("array", b"\n{}"), ("object", b"\n[]"), ("object", b"\n")])
def test_it_refuses_another_kind_of_value(options: str, data: bytes) -> None:
    assert str(refusal(f"json {options}", data)).endswith(f"must begin an {options}.")


def test_it_says_what_is_wrong_with_its_options() -> None:
    assert validators.check_options("json", "list") == "“list” is neither array nor object."
