"""What a password, and the key that signs sessions, must be: hard to guess, whatever letters they have."""

from __future__ import annotations

import re

from portal.domain import guessing

SHORTEST = 12
LONGEST = 1000
SHORTEST_KEY = 32
FEWEST_IN_A_KEY = 8
SHORTEST_OWN = 8
GUESSED_FIRST = """
    abc abcd abcdef abcdefgh abcdefghijkl access admin administrator adminadmin analytics analyticsautomated
    baseball batman changeit changeme changemenow computer default dragon football guest hello hunter iloveyou
    letmein login master michael monkey mypassword newpassword ninja pass passw passwd password passwordpassword
    passwort passphrase portal princess qazwsx qwert qwerty qwertyui qwertyuiop qwertyuiopasdf root secret shadow
    starwars sunshine superman supersecret temporary test testing testtest trustno user welcome zxcvbnm
"""
GUESSED = "This is one of the passwords that are guessed first: use another, such as four words of your own."
COMMON = frozenset(GUESSED_FIRST.split())
TELLTALE = ("changeme", "change-me", "change_me", "secret", "password", "insecure", "example", "default", "dev-key")
SPELT = str.maketrans("@$0134578!", "asoieastbi")


def fault(password: str, name: str = "") -> str | None:
    """Why this is no password for the account of this name; None where it is one."""
    if not SHORTEST <= len(password) <= LONGEST:
        return f"Use a password of {SHORTEST} to {LONGEST} characters."
    if _is_common(password):
        return GUESSED
    if name and len(password.casefold().replace(name.casefold(), "")) < SHORTEST_OWN:
        return "Use more than your name with a little added to it."
    return GUESSED if guessing.is_soon(password, name) else None


def key_fault(key: str) -> str | None:
    """Why this key could be guessed; None where it could not."""
    if len(key) < SHORTEST_KEY:
        return f"it must have at least {SHORTEST_KEY} characters"
    if len(set(key)) < FEWEST_IN_A_KEY or key in (key + key)[1:-1] or any(each in key.lower() for each in TELLTALE):
        return "it can be guessed: make one with “openssl rand -hex 32”"
    return None


def _is_common(password: str) -> bool:
    """Whether a common word, perhaps oddly spelt, is all there is beside digits and signs."""
    plain = password.casefold()
    spelt = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", plain).translate(SPELT)
    return any(re.sub(r"[\W\d_]", "", each) in COMMON for each in (plain, spelt))
