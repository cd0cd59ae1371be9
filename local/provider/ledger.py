"""What the simulated provider received and answered."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from local.provider.item_text import hash_text, item_text


def request_hash(body: bytes | dict[str, Any]) -> str:
    """The name of a request body in the ledger. Whitespace and the order of keys make no difference."""
    return hash_request(orjson.loads(body) if isinstance(body, bytes) else body).hex()


def hash_request(body: Any) -> bytes:
    """16 bytes. `body` is parsed JSON."""
    return hashlib.blake2b(orjson.dumps(body, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def text_hash(body: bytes | dict[str, Any]) -> str:
    """The name of an item by what its user says: the same in whatever dialect, model or mode it is sent."""
    return hash_text(item_text(orjson.loads(body) if isinstance(body, bytes) else body)).hex()


class Bill(NamedTuple):
    """What a good answer costs its client. `text` is the hash of what the item's user says."""

    text: bytes
    provider: str
    model: str
    mode: str
    """realtime, flex or native"""
    prompt: int
    cached: int
    written: int
    output: int


class Billed(NamedTuple):
    """How often an item was billed in each mode."""

    realtime: int = 0
    flex: int = 0
    native: int = 0


class Served(NamedTuple):
    """How often a body was received, and how often it was answered with a good 2xx that reached the connection."""

    received: int
    succeeded: int


_MODES = Billed._fields
_ONE_BILLED = {mode: 1 << 20 * place for place, mode in enumerate(_MODES)}
_USAGE_FIELDS = ("provider", "model", "mode", "items", "prompt", "cached", "written", "output")
_ONE_RECEIVED = 1 << 32
"""Both counts share one integer per body, so that a million bodies stay small."""


class Ledger:
    def __init__(self) -> None:
        self._in_flight: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forgets everything; requests in flight stay in flight."""
        self._bodies: dict[bytes, int] = {}
        self._by_minute: Counter[int] = Counter()
        self._answers: Counter[str] = Counter()
        self._keys: Counter[tuple[str, str]] = Counter()
        self._most_in_flight: Counter[str] = Counter()
        self._bills: dict[bytes, int] = {}
        self._usage: dict[tuple[str, str, str], list[int]] = {}
        self.requests = 0
        self.witnesses = 0

    def received(self, request: bytes, provider: str, key: str, now: float) -> int:
        """Notes a request by its hash. Returns the number of this attempt, from 1."""
        self.requests += 1
        self._by_minute[int(now) // 60] += 1
        self._keys[provider, key] += 1
        booked = self._bodies.get(request, 0) + _ONE_RECEIVED
        self._bodies[request] = booked
        return booked >> 32

    def witnessed(self) -> int:
        """Books a witness (`batchyard.core.witness`), which is no item's request; returns which one it is, from 1."""
        self.witnesses += 1
        return self.witnesses

    def attempts(self, request: bytes) -> int:
        """How often this body was received so far."""
        return self._bodies.get(request, 0) >> 32

    def begun(self, tags: tuple[str, ...]) -> None:
        for tag in tags:
            count = self._in_flight[tag] + 1
            self._in_flight[tag] = count
            if count > self._most_in_flight[tag]:
                self._most_in_flight[tag] = count

    def ended(self, tags: tuple[str, ...], request: bytes, answer: str, bill: Bill | None) -> None:
        """`answer`: the status that went out, or the kind of fault that sent none; `bill` if it was a good answer."""
        for tag in tags:
            self._in_flight[tag] -= 1
        self._answers[answer] += 1
        if bill is not None:
            self.billed(request, bill)

    def billed(self, request: bytes, bill: Bill) -> None:
        """Books a good answer that was delivered, by a connection or as a result of a job."""
        if request not in self._bodies:
            return
        self._bodies[request] += 1
        self._bills[bill.text] = self._bills.get(bill.text, 0) + _ONE_BILLED[bill.mode]
        lane = bill[1:4]
        usage = self._usage.get(lane)
        if usage is None:
            usage = self._usage[lane] = [0, 0, 0, 0, 0]
        usage[0] += 1
        usage[1] += bill.prompt
        usage[2] += bill.cached
        usage[3] += bill.written
        usage[4] += bill.output

    def stats(self) -> dict[str, Any]:
        """`requests` are those of items, without `witnesses`. `max_in_flight` is overall, `max_in_flight_by_tag` per
        model and per `metadata.tag`. `usage`: what was billed per provider, model and mode: items and tokens."""
        counts = self._bodies.values()
        return {
            "requests": self.requests,
            "witnesses": self.witnesses,
            "bodies": len(self._bodies),
            "succeeded": sum(booked % _ONE_RECEIVED for booked in counts),
            "answered_twice": sum(booked % _ONE_RECEIVED > 1 for booked in counts),
            "answers": dict(self._answers),
            "usage": [
                dict(zip(_USAGE_FIELDS, (*lane, *figures), strict=True)) for lane, figures in self._usage.items()
            ],
            "in_flight": self._in_flight["all"],
            "max_in_flight": self._most_in_flight["all"],
            "max_in_flight_by_tag": {tag: most for tag, most in self._most_in_flight.items() if tag != "all"},
            "by_minute": {
                datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%MZ"): count
                for minute, count in sorted(self._by_minute.items())
            },
            "keys": [
                {"provider": provider, "sha256": hashlib.sha256(key.encode()).hexdigest(), "requests": count}
                for (provider, key), count in self._keys.items()
            ],
        }

    def bills(self) -> dict[str, list[int]]:
        """Hash of an item's text -> how often it was billed in realtime, flex and native mode."""
        return {
            name.hex(): [booked >> 20 * place & 0xFFFFF for place in range(len(_MODES))]
            for name, booked in self._bills.items()
        }

    def counts(self) -> dict[str, list[int]]:
        """Hash of a body -> [received, succeeded]."""
        return {name.hex(): [booked >> 32, booked % _ONE_RECEIVED] for name, booked in self._bodies.items()}
