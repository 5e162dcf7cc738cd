"""How often somebody may ask: each address, and each account that is signed in, counted for all processes together."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any

import flask
from flask import Flask, Response, current_app, g, request
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, RateLimiter

from portal import counting
from portal.domain.addresses import home
from portal.domain.errors import TooMany
from portal.hosts import HEALTH
from portal.settings import Settings

View = Callable[..., Any]

ASKED = "asked"
SUBMITTED = "submitted"
MISSED = "missed"
TRIED = "tried"
SUBMITTING = frozenset({"contract.submit", "v1.submit", "v1.resume", "v1.rerun", "jobs.run", "submissions.resume"})
SENTENCES = {
    ASKED: "These are too many requests at once: ask again in {wait}, and less often.",
    SUBMITTED: "These are too many submissions at once: send the next one in {wait}.",
    MISSED: "Too many of your requests were for what is not here: ask again in {wait}.",
    TRIED: "There were too many attempts from your address: try again in {wait}.",
}
SILENCE = 10.0
BELIEVED = 1.0


class Counters:
    """Who asked how often."""

    def __init__(self, broker: str) -> None:
        shared, own = FixedWindowRateLimiter(counting.storage(broker)), FixedWindowRateLimiter(MemoryStorage())
        self.below: dict[tuple[str, ...], float] = {}
        self.counts: counting.Shared[RateLimiter] = counting.Shared(shared, own, SILENCE)

    def spend(self, limits: Sequence[RateLimitItem], *who: str) -> int:
        """Count one; the seconds until the next one is taken, or 0 where this one is."""
        return self.counts.ask(lambda each: _first_breach(each, each.hit, limits, who))

    def left(self, limits: Sequence[RateLimitItem], *who: str) -> int:
        """The same without counting."""
        return self.counts.ask(lambda each: _first_breach(each, each.test, limits, who))

    def believed(self, limits: Sequence[RateLimitItem], *who: str) -> int:
        """The same, of who was below all limits a moment ago, as far as this process knows, without asking again."""
        if time.monotonic() < self.below.get(who, 0.0):
            return 0
        wait = self.left(limits, *who)
        if not wait:
            self.below = {**self._still_below(), who: time.monotonic() + BELIEVED}
        return wait

    def doubt(self, *who: str) -> None:
        self.below.pop(who, None)

    def _still_below(self) -> dict[tuple[str, ...], float]:
        present = time.monotonic()
        return {who: until for who, until in self.below.items() if until > present}


def _first_breach(
    counting: RateLimiter, may: Callable[..., bool], limits: Sequence[RateLimitItem], who: tuple[str, ...]
) -> int:
    for limit in limits:
        if not may(limit, *who):
            return max(1, round(counting.get_window_stats(limit, *who).reset_time - time.time()))
    return 0


def install(app: Flask, settings: Settings) -> None:
    """Count every request but those for the portal's own static files and for its health."""
    app.extensions["rates"] = Counters(settings.broker)
    app.before_request(_check)
    app.after_request(_count_miss)


def _check() -> None:
    if request.endpoint == "static" or request.path == HEALTH:
        return
    g.counted = True
    _check_for(*_who())


def count_account(session_key: str) -> None:
    """The request is also that of an account which its header names. Raises TooMany."""
    g.named = session_key
    _check_for(_account(session_key))


def _check_for(*who: str) -> None:
    _refuse_beyond(ASKED, _counters().spend, who)
    if request.view_args or request.routing_exception:
        _refuse_beyond(MISSED, _counters().believed, who)
    if request.method == "POST" and request.endpoint in SUBMITTING:
        _refuse_beyond(SUBMITTED, _counters().spend, who)


def _count_miss(response: Response) -> Response:
    """What is not there, and what is there for others: to whoever guesses these are the same."""
    if response.status_code == 404 and g.pop("counted", False):
        for who in _who():
            _counters().spend(_limits(MISSED), MISSED, who)
            _counters().doubt(MISSED, who)
    return response


def no_guess() -> None:
    """What is asked for belongs to something that whoever asks may see: if it is not there yet, that is no miss."""
    g.counted = False


def only_so_often(*methods: str) -> Callable[[View], View]:
    """A view that an address may try so often by these methods, whatever comes of it."""

    def give(view: View) -> View:
        @wraps(view)
        def counted(**parts: Any) -> Any:
            if request.method in methods:
                count_attempt(request.endpoint or "")
            return view(**parts)

        return counted

    return give


def count_attempt(way: str) -> None:
    """Note that somebody tries to get in this way. Raises TooMany."""
    _refuse(TRIED, _counters().spend(_limits(TRIED), TRIED, way, _address()))


def check_attempts(way: str) -> None:
    """Raises TooMany where this address has tried this way too often."""
    _refuse(TRIED, _counters().left(_limits(TRIED), TRIED, way, _address()))


def _refuse_beyond(what: str, ask: Callable[..., int], who: Sequence[str]) -> None:
    """Raises TooMany."""
    for each in who:
        _refuse(what, ask(_limits(what), what, each))


def _refuse(what: str, wait: int) -> None:
    """Raises TooMany, if there is anything to wait for."""
    if wait:
        g.counted = False
        seconds = "a second" if wait == 1 else f"{wait} seconds"
        raise TooMany(SENTENCES[what].format(wait=seconds), wait)


def _who() -> list[str]:
    """The address, and the account of a header, or of a session, which nobody can make up as we sign it."""
    session_key = str(g.get("named") or flask.session.get("_user_id", ""))
    return [_address(), *([_account(session_key)] if session_key else [])]


def _account(session_key: str) -> str:
    return f"account {hashlib.sha256(session_key.encode()).hexdigest()}"


def _address() -> str:
    return f"address {home(request.remote_addr or '')}"


def _limits(what: str) -> list[RateLimitItem]:
    settings: Settings = current_app.config["PORTAL"]
    text = {
        ASKED: settings.portal_rate_limit,
        SUBMITTED: settings.portal_submit_limit,
        MISSED: settings.portal_miss_limit,
        TRIED: settings.portal_sign_in_limit,
    }[what]
    return _parsed(text)


@cache
def _parsed(text: str) -> list[RateLimitItem]:
    return parse_many(text)


def _counters() -> Counters:
    counters: Counters = current_app.extensions["rates"]
    return counters
