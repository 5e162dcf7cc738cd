"""How soon a password is guessed: zxcvbn looks in it for what people use, such as the 30,000 usual ones of leaks."""

from __future__ import annotations

HARD_ENOUGH = 3
LOOKED_AT = 72  # more takes it long; what is hard to guess by then stays so
OUR_WORDS = ("analytics", "automated", "analyticsautomated", "portal", "administrator", "analyst", "submitter")


def is_soon(password: str, name: str) -> bool:
    """Whether usual passwords, words, names, dates and runs of keys, the account's name and ours are all there is."""
    from zxcvbn import zxcvbn  # large, and most processes never see a password

    return int(zxcvbn(password[:LOOKED_AT], user_inputs=[name, *OUR_WORDS])["score"]) < HARD_ENOUGH
