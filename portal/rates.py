"""How often somebody may ask: each address, and each account that is signed in, counted for all processes together."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import cache

import flask
from flask import Flask, Response, current_app, g, request
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, RateLimiter

from portal import counting
from portal.domain.errors import TooMany
from portal.hosts import HEALTH
from portal.settings import Settings

ASKED = "asked"
SUBMITTED = "submitted"
MISSED = "missed"
SUBMITTING = frozenset({"contract.submit", "v1.submit", "v1.resume", "v1.rerun", "jobs.run", "submissions.resume"})
SENTENCES = {
    ASKED: "These are too many requests at once: ask again in {wait}, and less often.",
    SUBMITTED: "These are too many submissions at once: send the next one in {wait}.",
    MISSED: "Too many of your requests were for what is not here: ask again in {wait}.",
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
    _refuse_beyond(ASKED, _counters().spend)
    if request.view_args or request.routing_exception:
        _refuse_beyond(MISSED, _counters().believed)
    if request.method == "POST" and request.endpoint in SUBMITTING:
        _refuse_beyond(SUBMITTED, _counters().spend)


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


def _refuse_beyond(what: str, ask: Callable[..., int]) -> None:
    """Raises TooMany."""
    for who in _who():
        if wait := ask(_limits(what), what, who):
            g.counted = False
            seconds = "a second" if wait == 1 else f"{wait} seconds"
            raise TooMany(SENTENCES[what].format(wait=seconds), wait)


def _who() -> list[str]:
    """The address, and the account of a session, which nobody can make up as we sign it."""
    account = str(flask.session.get("_user_id", ""))
    named = [f"account {hashlib.sha256(account.encode()).hexdigest()}"] if account else []
    return [f"address {request.remote_addr}", *named]


def _limits(what: str) -> list[RateLimitItem]:
    settings: Settings = current_app.config["PORTAL"]
    text = {
        ASKED: settings.portal_rate_limit,
        SUBMITTED: settings.portal_submit_limit,
        MISSED: settings.portal_miss_limit,
    }[what]
    return _parsed(text)


@cache
def _parsed(text: str) -> list[RateLimitItem]:
    return parse_many(text)


def _counters() -> Counters:
    counters: Counters = current_app.extensions["rates"]
    return counters
