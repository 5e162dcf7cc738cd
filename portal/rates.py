"""How often somebody may ask: each address, and each account that is signed in, counted for all processes together."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any

import flask
from flask import Flask, Response, current_app, g, request
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter

from portal import counting
from portal.domain.addresses import home
from portal.domain.errors import TooMany
from portal.hosts import HEALTH
from portal.settings import Settings

View = Callable[..., Any]
Window = tuple[RateLimitItem, tuple[str, ...]]

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
SPEND = """
for at, key in ipairs(KEYS) do
    local count = redis.call('incr', key)
    if count == 1 then
        redis.call('expire', key, ARGV[2 * at])
    end
    if count > tonumber(ARGV[2 * at - 1]) then
        return {at, redis.call('ttl', key)}
    end
end
return {0, 0}
"""


@dataclass(frozen=True)
class Full:
    """A window that takes no more: what it counts, and the seconds until the next one."""

    what: str
    wait: int


class Counters:
    """Who asked how often."""

    def __init__(self, broker: str) -> None:
        self.below: dict[tuple[str, ...], float] = {}
        shared, own = InRedis(counting.storage(broker)), Windows(MemoryStorage())
        self.counts: counting.Shared[Windows] = counting.Shared(shared, own, SILENCE)

    def spend(self, windows: Sequence[Window]) -> Full | None:
        """Count one in each, until one is full."""
        return self.counts.ask(lambda each: each.spend(windows))

    def left(self, windows: Sequence[Window]) -> Full | None:
        """The first that is full, without counting."""
        return self.counts.ask(lambda each: each.first_full(windows))

    def believed(self, windows: Sequence[Window]) -> Full | None:
        """The same, of who was below all limits a moment ago, as far as this process knows, without asking again."""
        whose = {who for _, who in windows}
        if all(time.monotonic() < self.below.get(who, 0.0) for who in whose):
            return None
        full = self.left(windows)
        if not full:
            self.below = self._still_below() | dict.fromkeys(whose, time.monotonic() + BELIEVED)
        return full

    def doubt(self, who: tuple[str, ...]) -> None:
        self.below.pop(who, None)

    def _still_below(self) -> dict[tuple[str, ...], float]:
        present = time.monotonic()
        return {who: until for who, until in self.below.items() if until > present}


class Windows(FixedWindowRateLimiter):
    """Limits, and what each counts of whom: the first word of a window says what."""

    def spend(self, windows: Sequence[Window]) -> Full | None:
        return next((self._full(each) for each in windows if not self.hit(each[0], *each[1])), None)

    def first_full(self, windows: Sequence[Window]) -> Full | None:
        return next((self._full(each) for each in windows if not self.test(each[0], *each[1])), None)

    def _full(self, window: Window) -> Full:
        limit, who = window
        return _full(window, self.get_window_stats(limit, *who).reset_time - time.time())


class InRedis(Windows):
    """The same, spent in one message, however many they are."""

    def __init__(self, storage: RedisStorage) -> None:
        super().__init__(storage)
        self.key = storage.prefixed_key
        self.script = storage.get_connection().register_script(SPEND)

    def spend(self, windows: Sequence[Window]) -> Full | None:
        keys = [self.key(limit.key_for(*who)) for limit, who in windows]
        place, seconds = self.script(
            keys, [each for limit, _ in windows for each in (limit.amount, limit.get_expiry())]
        )
        return _full(windows[place - 1], seconds) if place else None


def _full(window: Window, seconds: float) -> Full:
    return Full(window[1][0], max(1, round(seconds)))


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
    """What may not be guessed at is asked between the two counts, which else are one."""
    submits = request.method == "POST" and request.endpoint in SUBMITTING
    submitted = _windows(SUBMITTED, who) if submits else []
    if not (request.view_args or request.routing_exception):
        _refuse(_counters().spend([*_windows(ASKED, who), *submitted]))
        return
    _refuse(_counters().spend(_windows(ASKED, who)))
    for each in who:
        _refuse(_counters().believed(_windows(MISSED, [each])))
    if submitted:
        _refuse(_counters().spend(submitted))


def _count_miss(response: Response) -> Response:
    """What is not there, and what is there for others: to whoever guesses these are the same."""
    if response.status_code == 404 and g.pop("counted", False):
        for who in _who():
            _counters().spend(_windows(MISSED, [who]))
            _counters().doubt((MISSED, who))
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
    _refuse(_counters().spend(_tried(way)))


def check_attempts(way: str) -> None:
    """Raises TooMany where this address has tried this way too often."""
    _refuse(_counters().left(_tried(way)))


def _refuse(full: Full | None) -> None:
    """Raises TooMany, if there is anything to wait for."""
    if full:
        g.counted = False
        seconds = "a second" if full.wait == 1 else f"{full.wait} seconds"
        raise TooMany(SENTENCES[full.what].format(wait=seconds), full.wait)


def _windows(what: str, who: Sequence[str]) -> list[Window]:
    limits = _limits(what)
    return [(limit, (what, each)) for each in who for limit in limits]


def _tried(way: str) -> list[Window]:
    return [(limit, (TRIED, way, _address())) for limit in _limits(TRIED)]


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
