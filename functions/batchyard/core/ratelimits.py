"""What providers say in headers about how much of a rate limit is left. Every vendor has its own names for it:

    OpenAI, Groq   x-ratelimit-{limit,remaining,reset}-{requests,tokens}, also -project-tokens; resets `6m0s`, `12ms`
    Cerebras       the same with -requests-day, -tokens-minute and the like; resets in seconds
    Mistral        x-ratelimit-{limit,remaining}-{req-minute,tokens-minute,tokens-month}; no resets
    Anthropic      anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}; RFC 3339
    Together       x-ratelimit-{limit,remaining,reset} and x-tokenlimit-{limit,remaining,reset}
    OpenRouter     x-ratelimit-{limit,remaining,reset}; resets in unix milliseconds

Of several windows for the same thing (minute and month, input and output) the one with the smallest share left counts.
A figure that makes no sense is ignored, so that no header stops a lane for a year.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

_REQUESTS, _TOKENS = "requests", "tokens"
_FIELDS = ("limit", "remaining", "reset")
_SCOPES: dict[str, tuple[str, ...]] = {
    _REQUESTS: ("requests", "project-requests", "req-minute", "requests-minute", "requests-hour", "requests-day"),
    _TOKENS: ("tokens", "project-tokens", "tokens-minute", "tokens-hour", "tokens-day", "tokens-month"),
}
_ANTHROPIC_SCOPES: dict[str, tuple[str, ...]] = {
    _REQUESTS: ("requests",),
    _TOKENS: ("tokens", "input-tokens", "output-tokens"),
}
"""All of them per minute (https://platform.claude.com/docs/en/api/rate-limits)."""


class Figures(NamedTuple):
    """Which limit headers are about. `scope`: as its vendor calls it; at Anthropic with `-minute` behind it."""

    kind: str
    scope: str

    @property
    def of_requests(self) -> bool:
        return self.kind == _REQUESTS


def _names() -> dict[str, tuple[Figures, int]]:
    names = {}
    for place, figure in enumerate(_FIELDS):
        names[f"x-ratelimit-{figure}"] = Figures(_REQUESTS, ""), place
        names[f"x-tokenlimit-{figure}"] = Figures(_TOKENS, ""), place
        for kind, scopes in _SCOPES.items():
            names |= {f"x-ratelimit-{figure}-{scope}": (Figures(kind, scope), place) for scope in scopes}
        for kind, scopes in _ANTHROPIC_SCOPES.items():
            found = {f"anthropic-ratelimit-{scope}-{figure}": Figures(kind, f"{scope}-minute") for scope in scopes}
            names |= {name: (figures, place) for name, figures in found.items()}
    return names


_NAMES = _names()
"""Header → the window it is about, and which of its figures it holds."""

RATE_LIMIT_HEADERS = frozenset(_NAMES)
"""In lower case."""

_LONGEST_RESET_SECONDS = 31 * 86_400.0
_UNIX_SECONDS, _UNIX_MILLISECONDS = 1e9, 1e12
"""A reset given as a number this large is a moment, not a duration."""
_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_LONGEST_FIGURE = 20
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(d|h|ms|m|us|µs|ns|s)")
_MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d(?:\.\d{1,9})?)(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Window:
    """How much of one limit is left, as far as the provider says so. `resets_in_seconds`: until all of it is there
    again, counted from the answer."""

    limit: int | None = None
    remaining: int | None = None
    resets_in_seconds: float | None = None

    @property
    def is_used_up(self) -> bool:
        return self.remaining == 0 and self.limit != 0

    @property
    def refill_per_second(self) -> float | None:
        """How fast the window fills, if it fills steadily, as those of OpenAI, Groq and Anthropic do. This is the rate
        that the provider allows. None if the figures do not say."""
        if self.limit is None or self.remaining is None or not self.resets_in_seconds or self.remaining >= self.limit:
            return None
        return (self.limit - self.remaining) / self.resets_in_seconds

    @property
    def share_left(self) -> float:
        """From 0 to 1; 1 if it is not known."""
        if self.is_used_up:
            return 0.0
        return 1.0 if self.remaining is None or not self.limit else min(1.0, self.remaining / self.limit)


@dataclass(frozen=True, slots=True)
class RateAdvice:
    """What a provider says about its rate limits with an answer: the tightest window of each kind, and all of them.
    None: it said nothing about this one."""

    requests: Window | None = None
    tokens: Window | None = None
    windows: Mapping[Figures, Window] = field(default_factory=dict, compare=False)

    @property
    def allows_nothing(self) -> bool:
        """Whether the limit itself is 0: time will not help."""
        return any(window is not None and window.limit == 0 for window in (self.requests, self.tokens))

    @property
    def wait_seconds(self) -> float:
        """Seconds until every limit that is used up resets; 0 if none is, or if the provider does not say when it
        resets."""
        used_up = [window for window in (self.requests, self.tokens) if window is not None and window.is_used_up]
        return max((window.resets_in_seconds or 0.0 for window in used_up), default=0.0)


def read_rate_advice(headers: Mapping[str, str], now: float) -> RateAdvice | None:
    """Reads those of `headers` that are RATE_LIMIT_HEADERS; None if none of them makes sense. Names in lower case,
    `now` in unix seconds."""
    texts: dict[Figures, list[str | None]] = {}
    for name, text in headers.items():
        known = _NAMES.get(name)
        if known is not None:
            figures, place = known
            texts.setdefault(figures, [None, None, None])[place] = text
    if not texts:
        return None
    windows: dict[Figures, Window] = {}
    by_kind: dict[str, list[Window]] = {_REQUESTS: [], _TOKENS: []}
    for figures, (limit, remaining, reset) in texts.items():
        window = Window(_count(limit), _count(remaining), _seconds(reset, now))
        if window.limit is not None or window.remaining is not None:
            windows[figures] = window
            by_kind[figures.kind].append(window)
    if not windows:
        return None
    return RateAdvice(_tightest(by_kind[_REQUESTS]), _tightest(by_kind[_TOKENS]), windows)


def _tightest(windows: list[Window]) -> Window | None:
    """The one with the smallest share left. A limit of 0 beside others only says that there is no such limit."""
    if len(windows) == 1:
        return windows[0]
    limiting = [window for window in windows if window.limit != 0] or windows
    return min(limiting, key=lambda window: window.share_left, default=None)


def _count(text: str | None) -> int | None:
    if text is None or len(text) > _LONGEST_FIGURE:
        return None
    if text.isdecimal() and text.isascii():
        return int(text)
    return int(float(text)) if _NUMBER.fullmatch(text) else None


def _seconds(text: str | None, now: float) -> float | None:
    """Seconds from now until a reset, in any of the forms above; 0 if it is over."""
    if text is None:
        return None
    seconds = _duration(text)
    if seconds is None and _NUMBER.fullmatch(text):
        seconds = _from_number(float(text), now)
    elif seconds is None and (moment := _unix_seconds(text)) is not None:
        seconds = moment - now
    if seconds is None or seconds > _LONGEST_RESET_SECONDS:
        return None
    return max(0.0, round(seconds, 6))


def _from_number(number: float, now: float) -> float:
    if number >= _UNIX_MILLISECONDS:
        return number / 1000 - now
    return number - now if number >= _UNIX_SECONDS else number


def _duration(text: str) -> float | None:
    """As Go writes it: `1h2m3.5s`."""
    seconds, end = 0.0, 0
    for part in _DURATION.finditer(text):
        if part.start() != end:
            return None
        seconds += float(part[1]) * _UNITS[part[2]]
        end = part.end()
    return seconds if end == len(text) and end else None


@lru_cache(maxsize=64)
def _unix_seconds(text: str) -> float | None:
    """A moment as RFC 3339 has it. Anthropic sends whole seconds, so that the same ones come again and again."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute = (int(found[number]) for number in range(1, 6))
    offset = 60 * (60 * int(found[8]) + int(found[9])) * (-1 if found[7] == "-" else 1) if found[7] else 0
    try:
        return timegm((year, month, day, hour, minute, 0)) + float(found[6]) - offset
    except ValueError:
        return None
