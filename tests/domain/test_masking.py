"""Masking secrets in a stream that comes in pieces."""

from __future__ import annotations

import base64
from itertools import pairwise

import pytest

from portal.domain.masking import Mask

VALUES = ("s3cr3t-value", "s3cr3t-value-longer", "value-and-more")


def masked(text: bytes, *cuts: int, values: tuple[str, ...] = VALUES) -> bytes:
    """The text as it comes out when it is cut at these places."""
    mask = Mask(values)
    pieces = [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]
    return b"".join(mask.fed(piece) for piece in pieces) + mask.fed(b"", last=True)


TEXTS = [
    (b"a s3cr3t-value b", b"a *** b"),
    (b"s3cr3t-value-longerX", b"***X"),
    (b"s3cr3t-value-longeX", b"***-longeX"),
    (b"s3cr3t-value-and-more", b"***-and-more"),
    (b"s3cr3t-s3cr3t-value", b"s3cr3t-***"),
    (b"it ends s3cr3t-val", b"it ends s3cr3t-val"),
    (b"it ends s3cr3t-value", b"it ends ***"),
    (b"", b""),
]


@pytest.mark.parametrize(("text", "shown"), TEXTS)
def test_it_masks_the_longest_wherever_the_stream_is_cut(text: bytes, shown: bytes) -> None:
    assert masked(text) == shown
    assert {masked(text, cut) for cut in range(len(text))} <= {shown}
    assert masked(text, *range(len(text))) == shown


@pytest.mark.parametrize("before", [b"", b"u", b"us", b"user:"])
@pytest.mark.parametrize("after", [b"", b":", b":x"])
def test_it_masks_a_value_in_base64_with_anything_around_it(before: bytes, after: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        told = masked(encode(before + "pässword/+?".encode() + after), values=("pässword/+?",))

        assert b"***" in told
        assert len(told) < len(encode(before + after)) + 10


def test_it_holds_back_nothing_that_cannot_be_a_value() -> None:
    assert Mask(VALUES).fed(b"password: ") == b"password: "
    assert Mask(VALUES).fed(b"password: s3") == b"password: "


def test_it_leaves_a_stream_alone_that_has_no_secrets() -> None:
    mask = Mask(())

    assert not mask
    assert mask.fed(b"anything\xff") == b"anything\xff"


def test_it_takes_no_longer_for_a_value_that_is_nearly_everywhere() -> None:
    value = "a" * 9_999 + "b"
    mask = Mask((value, "aaaaaaaaab"))

    told = b"".join(mask.fed(b"a" * 250_000) for _ in range(8)) + mask.fed(b"b", last=True)

    assert told == b"a" * (2_000_000 - 9_999) + b"***"
    assert Mask(("abcdef",)).fed(b"abcdef" * 40_000) == b"***" * 40_000
