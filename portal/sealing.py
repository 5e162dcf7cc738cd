"""Sealing: how a secret lies in the database. The first key seals, every key opens, so that keys can be renewed."""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from portal.domain.errors import NoKey
from portal.settings import settings


def seal(text: str) -> str:
    """Makes a key where there is none yet."""
    return _keys(make=True).encrypt(text.encode()).decode()


def opened(sealed: str) -> str:
    """Raises NoKey."""
    try:
        return _keys().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise _no_key() from None


def sealed_anew(sealed: str) -> str:
    """The same text under the first key. Raises NoKey."""
    try:
        return _keys().rotate(sealed.encode()).decode()
    except InvalidToken:
        raise _no_key() from None


def _keys(make: bool = False) -> MultiFernet:
    keys = settings().secrets_keys(make)
    if not keys:
        raise _no_key()
    return MultiFernet([Fernet(key) for key in keys])


def _no_key() -> NoKey:
    return NoKey("A secret was encrypted with a key that this machine does not have: look at PORTAL_SECRETS_KEY.")
