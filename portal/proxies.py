"""Proxies in front of the portal: what they say of a client is believed of trusted ones only.

They are trusted by their addresses, which holds whoever else reaches the portal; or by their number, where nobody does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import takewhile
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

Network = IPv4Network | IPv6Network

PREFIX = "HTTP_X_FORWARDED_PREFIX"
PATHS = re.compile(r"(?:(?:/[\w~-][\w.~-]*)+/?(?:, *|$))+", re.ASCII)


class TrustedProxies:
    """Takes the client's address, and the portal's scheme, host and path, from the headers of trusted proxies."""

    def __init__(self, app: Callable[..., Iterable[bytes]], trusted: str) -> None:
        self.app = app
        self.number = int(trusted) if trusted.isdecimal() else 0
        self.networks = [] if trusted.isdecimal() else _networks(trusted)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        passed = self.number or self._passed(environ)
        if not PATHS.fullmatch(environ.get(PREFIX, "")):
            environ.pop(PREFIX, None)  # a proxy that sets none passes on its client's, and all links begin with it
        app = ProxyFix(self.app, passed, passed, passed, x_prefix=passed) if passed else self.app
        return app(environ, start_response)

    def _passed(self, environ: dict[str, Any]) -> int:
        """How many trusted proxies the request came through, from the nearest on; a client stands before them."""
        said = [each.strip() for each in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
        way = [environ.get("REMOTE_ADDR", ""), *reversed(said)]
        trusted = takewhile(lambda address: _among(address, self.networks), way)
        return min(len(list(trusted)), len(said))


def _networks(text: str) -> list[Network]:
    """Addresses and networks with commas between, as the settings have checked them."""
    return [ip_network(each.strip(), strict=False) for each in text.split(",")]


def _among(text: str, known: Sequence[Network]) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in known)
