"""One call of a vendor's batch API: which vendor's, what goes wrong with it, what it does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from local.provider.answering import Caller
from local.provider.dialects import Address
from local.provider.faults import Dice, Fault, parse_call_fault
from local.provider.jobs.runs import Runs
from local.provider.wire import CLOSE, RESET, SILENT, Refused, Reply, Request

_EVERYBODY = "*"


class Call(NamedTuple):
    """A call as a vendor's module gets it. `ids` are what its path names."""

    request: Request
    caller: Caller
    vendor: str
    ids: tuple[str, ...]


class Route(NamedTuple):
    """`operation` is the call's name in the setting `call_faults`; empty: nothing goes wrong with it."""

    method: str
    path: re.Pattern[str]
    operation: str
    act: Callable[[Runs, Call], Reply]
    needs_key: bool = True


def route(
    method: str, path: str, operation: str, act: Callable[[Runs, Call], Reply], *, needs_key: bool = True
) -> Route:
    """`path` has a `{}` for each id."""
    return Route(method, re.compile(re.escape(path).replace(r"\{\}", "([^/:]+)")), operation, act, needs_key)


class JobCalls:
    def __init__(self, runs: Runs, routes: dict[str, list[Route]]) -> None:
        """`routes`: vendor -> what its batch API has."""
        self._runs = runs
        self._routes = routes
        self._made: Counter[str] = Counter()
        self.made: Counter[tuple[str, str]] = Counter()
        """(provider, operation) -> how many of these calls were received."""

    def reset(self) -> None:
        self.made.clear()
        self._made.clear()

    def forget_faults(self) -> None:
        """Faults for the first N calls begin anew."""
        self._made.clear()

    def find(self, request: Request, address: Address) -> tuple[Route, tuple[str, ...]] | None:
        """None unless this is a call of the batch API of a provider that has one."""
        without = self._runs.answering.config.without_jobs
        if address.provider in without or _EVERYBODY in without:
            return None
        for candidate in self._routes.get(address.vendor, ()):
            match = candidate.path.fullmatch(address.path) if candidate.method == request.method else None
            if match is not None:
                return candidate, match.groups()
        return None

    def receive(self, found: Route, call: Call) -> Reply:
        """Raises Refused."""
        self.made[call.caller.provider, found.operation] += 1
        fault = self._fault(found.operation)
        if fault is not None and fault.kind in ("status", "insufficient_quota"):
            raise Refused(fault.status or 429, "Simulated failure of a call.", code="simulated")
        reply = found.act(self._runs, call)
        if fault is not None and fault.kind == "late_status":
            raise Refused(fault.status, "Simulated failure of what answers a call.", code="simulated")
        return reply if fault is None else _lost(reply, fault)

    def _fault(self, operation: str) -> Fault | None:
        config = self._runs.answering.config
        if operation not in config.call_faults:
            return None
        self._made[operation] += 1
        number = self._made[operation]
        probabilities = {}
        for word, probability in config.call_faults[operation].items():
            _, times = parse_call_fault(word)
            if times is None or number <= times:
                probabilities[word] = probability
        drawn = Dice(config.seed, operation.encode(), number).draw(probabilities)
        return None if drawn is None else parse_call_fault(drawn)[0]


def _lost(reply: Reply, fault: Fault) -> Reply:
    """The call has had its effect; its answer does not arrive."""
    if fault.kind in ("hang", "stall"):
        return Reply(b"", ending=SILENT, answer=fault.kind)
    if fault.kind == "disconnect_mid_body":
        return Reply(reply.data[: len(reply.data) // 2], ending=CLOSE, answer=fault.kind)
    return Reply(b"", ending=RESET if fault.kind == "reset" else CLOSE, answer=fault.kind)
