"""Counts what AWS would bill: calls by function, service and operation, with their sizes and their units.

Units: DynamoDB write units of 1 KB (twice in a transaction) and read units of 4 KB (half when eventually consistent),
SQS requests of 64 KB, elsewhere one per call. A row counts with the size of the request or of the answer, whichever is
larger (an update may return the row). bench/cost.py knows the prices.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from local.simulated_aws.calls import Call

_READS = {"GetItem", "Query", "Scan", "BatchGetItem", "TransactGetItems"}


@dataclass(slots=True)
class Count:
    """Sums over the calls of one kind."""

    calls: int = 0
    units: float = 0.0
    errors: int = 0


@dataclass(slots=True)
class Usage:
    """Sums over the invocations of one function. `throttles`: those that were refused for want of concurrency and never
    ran. `peak_rss_bytes`: the largest of all its processes."""

    invocations: int = 0
    errors: int = 0
    """Invocations that raised, timed out or were killed, as CloudWatch's `Errors` counts them."""
    throttles: int = 0
    timeouts: int = 0
    init_seconds: float = 0.0
    billed_seconds: float = 0.0
    gigabyte_seconds: float = 0.0
    peak_rss_bytes: int = 0


@dataclass(slots=True)
class Meter:
    """Safe to use from many threads."""

    _calls: dict[tuple[str, str, str], Count] = field(default_factory=dict)
    _functions: dict[str, Usage] = field(default_factory=dict)
    _requests: int = 0
    _server_errors: int = 0
    _failed_deliveries: Counter[str] = field(default_factory=Counter)
    """By rule: events that could not be given to its target, as EventBridge's `FailedInvocations` counts them."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count_call(self, caller: str, call: Call, request_bytes: int, response_bytes: int, *, failed: bool) -> None:
        units = _units(call, request_bytes, response_bytes)
        self.count(caller, call.service, call.operation, units=units, failed=failed)

    def count(self, caller: str, service: str, operation: str, *, units: float = 1, failed: bool = False) -> None:
        with self._lock:
            count = self._calls.setdefault((caller, service, operation), Count())
            count.calls += 1
            count.units += units
            count.errors += failed

    def count_request(self, status: int) -> None:
        """One request to the API, answered with `status`."""
        with self._lock:
            self._requests += 1
            self._server_errors += status >= 500

    def count_failed_delivery(self, rule: str) -> None:
        with self._lock:
            self._failed_deliveries[rule] += 1

    def count_throttle(self, function: str) -> None:
        """One invocation for which there was no concurrency."""
        with self._lock:
            self._functions.setdefault(function, Usage()).throttles += 1

    def count_cold_start(self, function: str, seconds: float) -> None:
        with self._lock:
            usage = self._functions.setdefault(function, Usage())
            usage.init_seconds += seconds

    def count_invocation(
        self, function: str, seconds: float, memory_megabytes: int, rss_bytes: int, *, timed_out: bool, failed: bool
    ) -> None:
        billed = -(-seconds * 1000 // 1) / 1000
        with self._lock:
            usage = self._functions.setdefault(function, Usage())
            usage.invocations += 1
            usage.timeouts += timed_out
            usage.errors += failed
            usage.billed_seconds += billed
            usage.gigabyte_seconds += billed * memory_megabytes / 1024
            usage.peak_rss_bytes = max(usage.peak_rss_bytes, rss_bytes)

    def to_json(self, state_transitions: int) -> dict[str, Any]:
        with self._lock:
            return {
                "calls": [
                    {"function": caller, "service": service, "operation": operation} | asdict(count)
                    for (caller, service, operation), count in sorted(self._calls.items())
                ],
                "functions": {name: asdict(usage) for name, usage in sorted(self._functions.items())},
                "api_requests": self._requests,
                "api_server_errors": self._server_errors,
                "failed_deliveries": dict(self._failed_deliveries),
                "state_transitions": state_transitions,
            }

    def reset(self) -> None:
        with self._lock:
            self._calls.clear()
            self._functions.clear()
            self._failed_deliveries.clear()
            self._requests = self._server_errors = 0


def _units(call: Call, request_bytes: int, response_bytes: int) -> float:
    if call.service == "dynamodb":
        if call.operation in _READS:
            halves = 2 if call.parameters.get("ConsistentRead") or call.operation == "TransactGetItems" else 1
            return max(call.items, -(-response_bytes // 4096)) * halves / 2
        size = max(request_bytes, response_bytes) / call.items
        return -(-size // 1024) * call.items * (2 if "TransactItems" in call.parameters else 1)
    if call.service == "sqs":
        return max(1, -(-max(request_bytes, response_bytes) // 65_536))
    return 1
