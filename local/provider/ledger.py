"""What the simulated provider received and answered."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson


def request_hash(body: bytes | dict[str, Any]) -> str:
    """The name of a request body in the ledger. Whitespace and the order of keys make no difference."""
    return hash_request(orjson.loads(body) if isinstance(body, bytes) else body).hex()


def hash_request(body: Any) -> bytes:
    """16 bytes. `body` is parsed JSON."""
    return hashlib.blake2b(orjson.dumps(body, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


class Served(NamedTuple):
    """How often a body was received, and how often it was answered with a good 2xx that reached the connection."""

    received: int
    succeeded: int


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

    def begun(self, tags: tuple[str, ...]) -> None:
        for tag in tags:
            count = self._in_flight[tag] + 1
            self._in_flight[tag] = count
            if count > self._most_in_flight[tag]:
                self._most_in_flight[tag] = count

    def ended(self, tags: tuple[str, ...], request: bytes, answer: str, good: bool) -> None:
        """`answer`: the status that went out, or the kind of fault that sent none."""
        for tag in tags:
            self._in_flight[tag] -= 1
        self._answers[answer] += 1
        if good and request in self._bodies:
            self._bodies[request] += 1

    def stats(self) -> dict[str, Any]:
        """`requests` are those of items, without `witnesses`. `max_in_flight` is overall, `max_in_flight_by_tag` per
        model and per `metadata.tag`."""
        counts = self._bodies.values()
        return {
            "requests": self.requests,
            "witnesses": self.witnesses,
            "bodies": len(self._bodies),
            "succeeded": sum(booked % _ONE_RECEIVED for booked in counts),
            "answered_twice": sum(booked % _ONE_RECEIVED > 1 for booked in counts),
            "answers": dict(self._answers),
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

    def counts(self) -> dict[str, list[int]]:
        """Hash of a body -> [received, succeeded]."""
        return {name.hex(): [booked >> 32, booked % _ONE_RECEIVED] for name, booked in self._bodies.items()}
