"""Makes AWS calls fail on demand: "the Nth call that function F makes (of operation O), K times in a row, with this
error". Tests increase N until a run completes without meeting the fault.

`when="before"`: the call does not happen. `when="after"`: it happens, but its caller is told that it failed; only
idempotent code survives that. `when="late"`: it happens `hold_seconds` later, even if its caller has ended by then, and
is answered as usual. `kill=True`: the process that made the call is killed instead of being answered.

`about` (ids, separated by spaces): the fault is for calls that concern these ids only: calls that name one of them, or
something that an earlier call named together with one (an account's batch, a batch's task token). With it, tests can
run side by side, each with faults of its own.
"""

from __future__ import annotations

import itertools
import re
import threading
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from local.http_server import Request
from local.simulated_aws.calls import Call

_IDS = re.compile(rb'\b(?:acct|batch|upload)_[0-9a-z]{26}|\bfile-[0-9a-z]{26}|(?<="taskToken": ")[^"]+')
_TOKEN_SET = re.compile(rb'":task_token": \{"S": "([^"]+)"')


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault as the module's docstring describes it. None for `function`, `service` or `operation` means any of them.
    `seen` counts the calls that matched, `fired` those that met the fault."""

    function: str | None = None
    service: str | None = None
    operation: str | None = None
    nth: int = 1
    times: int = 1
    status: int = 500
    code: str = "InternalServerError"
    message: str = "injected by the local cloud"
    when: Literal["before", "after", "late"] = "before"
    hold_seconds: float = 0.0
    about: str | None = None
    kill: bool = False
    id: int = 0
    seen: int = 0
    fired: int = 0
    landed: int = 0
    """How many of the late calls have happened."""

    def matches(self, function: str, call: Call) -> bool:
        return (
            self.function in (None, function)
            and self.service in (None, call.service)
            and self.operation in (None, call.operation)
        )


@dataclass(slots=True)
class Faults:
    _faults: dict[int, Fault] = field(default_factory=dict)
    _names: dict[int, set[bytes]] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            fault = replace(fault, id=next(self._ids), seen=0, fired=0)
            self._faults[fault.id] = fault
            if fault.about is not None:
                self._names[fault.id] = set(fault.about.encode().split())
            return fault

    def remove(self, id: int) -> Fault:
        """The fault as it was. Raises KeyError."""
        with self._lock:
            self._names.pop(id, None)
            return self._faults.pop(id)

    def land(self, id: int) -> None:
        """Counts a late call that has happened."""
        with self._lock:
            if id in self._faults:
                self._faults[id] = replace(self._faults[id], landed=self._faults[id].landed + 1)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()
            self._names.clear()

    def to_json(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults.values()]

    def strike(self, function: str, call: Call, request: Request) -> Fault | None:
        """Counts the call; returns the fault that it meets, if any."""
        if not self._faults:
            return None
        met = None
        with self._lock:
            named = _named(request) if self._names else frozenset()
            for fault in self._faults.values():
                if not self._concerns(fault, named) or not fault.matches(function, call):
                    continue
                seen = fault.seen + 1
                hit = met is None and fault.nth <= seen < fault.nth + fault.times
                self._faults[fault.id] = replace(fault, seen=seen, fired=fault.fired + hit)
                if hit:
                    met = fault
        return met

    def _concerns(self, fault: Fault, named: frozenset[bytes]) -> bool:
        names = self._names.get(fault.id)
        if names is None:
            return True
        if names.isdisjoint(named):
            return False
        names |= named
        return True


def _named(request: Request) -> frozenset[bytes]:
    """The ids and task tokens in a request."""
    text = request.target.encode() + b" " + request.body
    return frozenset(_IDS.findall(text)) | frozenset(_TOKEN_SET.findall(text))
