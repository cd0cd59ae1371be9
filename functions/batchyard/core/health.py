"""The health of a lane: whether a failed call was its item's fault or its lane's trouble.

    closed ── most replies of the last seconds are 5xx, broken connections, timeouts ──▶ open
      ▲ │                                                                                │ │
      │ └──── the deployment's key is refused or missing, its account has no money ──▶ blocked
      │                                                                                  │
      └──────────────── a probe got through: one leased call at a time ──────────────────┘

Closed, as with a circuit: calls pass. While a lane is open or blocked no item loses a try; what failed in the trouble
is as if it had never been tried. A blocked lane needs people, an open one only time; both come back by a probe: some
witnesses (`core.witness`), sent under a lease, less often the longer it lasts. Times are unix seconds, passed in.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass

from batchyard.core.json_types import Row

WITNESS_SECONDS = 20.0
"""How long the smallest request of a lane may take."""
PROBE_LEASE_SECONDS = 60
"""Longer than a probe takes: two witnesses one after the other, and the writes."""

_WINDOW_SECONDS = 10
_LAST_REPLIES = 20
_LAST_REPLIES_SECONDS = 120
_LEAST_TROUBLES = 8
_SHARE_OF_TROUBLE = 0.5
"""Half of all calls failing has to count. A fifth failing must not: each of the last replies is a new chance to be
unlucky."""

_FIRST_PROBE_SECONDS = 2
_LONGEST_PROBE_SECONDS = {"open": 15, "blocked": 60}
"""A lane is at full speed within half a minute of its provider's return, so no wait may be longer than half of that. A
key that was rotated is found at once, one that people have to mend takes them longer."""

_PROBE_USUALLY_TAKES_SECONDS = 3.0
"""Its lease lasts much longer, for the case that the prober dies."""
_COMES_AND_GOES_SECONDS = 60


class LaneState(enum.StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class LaneHealth:
    """What a lane's row says. `since`: when it entered `state`. `reason`: a FailureReason's value, or
    `secret_missing`. `probes`: failed ones since then. `probe_at`: when the next one is due. `prober` holds the probe's
    lease until `probe_until`."""

    state: LaneState = LaneState.CLOSED
    reason: str | None = None
    since: int = 0
    probes: int = 0
    probe_at: int = 0
    prober: str | None = None
    probe_until: int = 0

    @classmethod
    def from_row(cls, row: Row) -> LaneHealth:
        """What a newer version wrote beside these fields is left alone."""
        known = {name: value for name, value in row.items() if name in cls.__dataclass_fields__}
        return cls(**known | {"state": LaneState(row.get("state", "closed"))})

    def probe_is_due(self, now: float) -> bool:
        return now >= self.probe_at and now >= self.probe_until

    def wait_seconds(self, now: float, random: float) -> float:
        """How long to leave alone a shard of a lane that is not closed. `random` in [0, 1) spreads those who ask."""
        until_probe = float(self.probe_at) - now
        if now < self.probe_until:
            until_probe = max(until_probe, _PROBE_USUALLY_TAKES_SECONDS)
        longest = float(_LONGEST_PROBE_SECONDS[self.state])
        return min(max(1.0, until_probe), longest) * (0.7 + 0.6 * random)


def probe_wait_seconds(state: LaneState, probes: int) -> int:
    """Until the next probe of a lane that is open or blocked, after so many failed ones."""
    return min(_LONGEST_PROBE_SECONDS[state], _FIRST_PROBE_SECONDS << min(probes, 8))


def failed_probes_before(health: LaneHealth, now: float) -> int:
    """What a lane that gets into trouble starts with: 0, unless it had just come back. One that comes and goes is
    probed ever less often."""
    comes_and_goes = health.since > 0 and now < health.since + _COMES_AND_GOES_SECONDS
    return health.probes + 1 if comes_and_goes else 0


class RecentReplies:
    """The replies of a lane's last seconds, good ones and troubles."""

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque()
        """[second, good, troubles], of the window only."""
        self._last: deque[tuple[float, bool]] = deque(maxlen=_LAST_REPLIES)
        self.last_good_at = float("-inf")

    def add(self, now: float, trouble: bool) -> None:
        second = int(now)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0, 0])
        self._seconds[-1][2 if trouble else 1] += 1
        self._last.append((now, trouble))
        if not trouble:
            self.last_good_at = now

    def forget(self) -> None:
        """A lane that comes back starts anew. When it last was good stays known."""
        self._seconds.clear()
        self._last.clear()

    def is_trouble(self, now: float) -> bool:
        """Whether too many of the last seconds' replies, or of the last few replies of a lane with little to do, are
        troubles."""
        while self._seconds and self._seconds[0][0] <= now - _WINDOW_SECONDS:
            self._seconds.popleft()
        good, troubles = (sum(counts[place] for counts in self._seconds) for place in (1, 2))
        recent = [trouble for at, trouble in self._last if at > now - _LAST_REPLIES_SECONDS]
        return _is_too_much(good, troubles) or _is_too_much(recent.count(False), recent.count(True))


def _is_too_much(good: int, troubles: int) -> bool:
    return troubles >= _LEAST_TROUBLES and troubles >= _SHARE_OF_TROUBLE * (good + troubles)
