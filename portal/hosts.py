"""The names that the portal answers to. Whoever asks for another is told so, and no page links to that name.

Only the health page answers to any name: what asks for it knows a machine and no name, and it says one word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from portal.settings import ANYWHERE, Settings

ASKED = re.compile(r"([a-z0-9._-]+|\[[a-f0-9:.]+\])(?::[0-9]{1,5})?")
ANY_NAME = "*"
HEALTH = "/healthz"
REFUSAL = b"The portal does not go by this name: its administrator may add it to PORTAL_ALLOWED_HOSTS.\n"
HEADERS = [
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Content-Length", str(len(REFUSAL))),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
]


class AllowedHosts:
    """Lets through what asks for the portal by a name of its own."""

    def __init__(self, app: Callable[..., Iterable[bytes]], settings: Settings) -> None:
        self.app = app
        self.names = names(settings)
        self.any_address = settings.host in ANYWHERE

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == HEALTH or self._known(environ.get("HTTP_HOST", "")):
            return self.app(environ, start_response)
        start_response("400 Bad Request", HEADERS)
        return [REFUSAL]

    def _known(self, asked: str) -> bool:
        found = ASKED.fullmatch(asked.lower())
        return found is not None and (
            any(_matches(found[1], name) for name in self.names) or (self.any_address and _is_address(found[1]))
        )


def names(settings: Settings) -> list[str]:
    """As the settings say; else that of PORTAL_URL, this machine's own, and that of HOST."""
    if settings.allowed_hosts:
        return [name.lower() for name in settings.allowed_hosts]
    return [_bare(urlsplit(settings.address).hostname or ""), "localhost", "127.0.0.1", "[::1]", _bare(settings.host)]


def _bare(host: str) -> str:
    return f"[{host}]" if ":" in host else host.lower()


def _matches(asked: str, name: str) -> bool:
    """`.example.org` stands for every name below example.org."""
    return name in (asked, ANY_NAME) or (name.startswith(".") and asked.endswith(name))


def _is_address(asked: str) -> bool:
    """An address cannot be made to lead elsewhere, as a name can."""
    try:
        ip_address(asked.strip("[]"))
    except ValueError:
        return False
    return True
