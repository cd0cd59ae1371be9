"""What one worker invocation did, added up for its metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from batchyard.core.retry import FailureReason
from batchyard.core.usage import Tally

_LATENCY_SAMPLES = 99
"""One EMF metric holds 100 values; Powertools prints a record of its own as soon as it has so many."""


@dataclass(slots=True)
class Meter:
    """`provider`: whose calls these are; an invocation has records of one. `failures`: calls that did not succeed, by
    reason. `usages_refused`: successes whose token counts cannot be true. `tally`: what was flushed, so
    nothing counts twice. `shards`: runs by how they ended."""

    provider: str | None = None
    calls: int = 0
    failures: Counter[FailureReason] = field(default_factory=Counter)
    retries: int = 0
    usages_refused: int = 0
    tally: Tally = field(default_factory=Tally)
    shards: Counter[str] = field(default_factory=Counter)
    latencies_seconds: list[float] = field(default_factory=list)

    def called(self, failure: FailureReason | None, seconds: float) -> None:
        self.calls += 1
        if failure is not None:
            self.failures[failure] += 1
        elif len(self.latencies_seconds) < _LATENCY_SAMPLES:
            self.latencies_seconds.append(seconds)
        else:
            self.latencies_seconds[self.calls % _LATENCY_SAMPLES] = seconds
