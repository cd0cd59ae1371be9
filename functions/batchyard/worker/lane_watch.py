"""What a worker process knows of the health of a lane, and what it does about it.

    every reply ─▶ RecentReplies ──▶ trouble ──▶ the gate shuts, the lane's row says so, all runs of the lane stop
                                                     │
    a message of a shard ─▶ admit ◀──────────────────┘   not before the next probe is due; then one of all workers
                                                         gets the lease and lets one call through

Decisions are made at once, on the event loop; the row is written and read by `keep_up`, which every run calls when
something has changed and every few seconds. The row counts more than what one process thinks: a lane that another
worker opened is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from batchyard.adapters.aws.lanes import Lanes
from batchyard.core.calls import ProviderReply
from batchyard.core.health import (
    PROBE_LEASE_MARGIN_SECONDS,
    LaneHealth,
    LaneState,
    RecentReplies,
    is_stalled,
    probe_call_seconds,
    probe_wait_seconds,
)
from batchyard.core.lanes import LaneId
from batchyard.core.retry import FailureReason
from batchyard.worker.gate import Gate
from batchyard.worker.runtime import Runtime

_FRESH_SECONDS = 2.0
"""How old what is known of a lane may be when a shard of it is about to start."""
_LOOK_SECONDS = 5.0
"""How often a run looks whether another worker has closed or opened its lane."""
_EVIDENCE_SECONDS = 10.0
"""A good reply so long before an item's first failure still shows that the lane was well."""


class LaneWatch:
    """Lives as long as its process, one for each lane. Used from one event loop only."""

    def __init__(self, lane: LaneId, gate: Gate, lanes: Lanes, runtime: Runtime) -> None:
        self._lane = lane
        self._gate = gate
        self._lanes = lanes
        self._clock = runtime.clock
        self._random = runtime.random
        self._blocking = runtime.blocking
        self._name = runtime.new_owner()
        self._recent = RecentReplies()
        self._probing = False
        self._read_at = float("-inf")
        self._write: Callable[[], LaneHealth] | None = None
        self._keeping_up = asyncio.Lock()
        self._on_change: set[Callable[[], None]] = set()
        self.health = LaneHealth()

    @property
    def lane(self) -> LaneId:
        return self._lane

    @property
    def is_closed_to_calls(self) -> bool:
        """Whether nobody may start a call: the lane is in trouble, and no probe of ours is under way."""
        return self.health.state is not LaneState.CLOSED and not self._probing

    @property
    def is_probing(self) -> bool:
        return self._probing

    @property
    def call_seconds(self) -> float | None:
        """How long a call may take at most: a probe has less time than other calls; None leaves it to the client."""
        if not self._probing:
            return None
        return probe_call_seconds(self.health.probes, self._gate.pacer.latency.bound_seconds)

    def is_stalled(self) -> bool:
        """Whether all calls in flight hang. A probe has a limit of its own."""
        now = self._clock()
        return not self._probing and is_stalled(
            self._gate.oldest_call_seconds(now),
            self._gate.silent_seconds(now),
            self._gate.pacer.in_flight,
            self._gate.pacer.latency.bound_seconds,
        )

    def tell(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever the lane closes or opens, until `forget`."""
        self._on_change.add(on_change)

    def forget(self, on_change: Callable[[], None]) -> None:
        self._on_change.discard(on_change)

    async def admit(self) -> float | None:
        """Whether a shard may run now (None), perhaps as the probe of a lane in trouble; else the seconds to leave it
        alone."""
        if self._clock() >= self._read_at + _FRESH_SECONDS:
            await self._look()
        if self.health.state is LaneState.CLOSED:
            return None
        now = self._clock()
        if self._probing or not self.health.probe_is_due(now):
            return self.wait_seconds()
        until = int(now + probe_call_seconds(self.health.probes, self._gate.pacer.latency.bound_seconds))
        claim = partial(self._lanes.claim_probe, self._lane, self._name, int(now), until + PROBE_LEASE_MARGIN_SECONDS)
        self._take(await self._blocking(claim))
        if self.health.state is not LaneState.CLOSED and self.health.prober != self._name:
            return self.wait_seconds()
        self._probing = self.health.state is not LaneState.CLOSED
        self._gate.shut(but_for_one=self._probing) if self._probing else self._gate.open()
        return None

    def wait_seconds(self) -> float:
        return self.health.wait_seconds(self._clock(), self._random())

    def replied(self, reply: ProviderReply) -> None:
        """Takes note of a reply: it may show that the lane is in trouble, or that it is out of it."""
        failure = reply.failure
        if failure is not None and failure.blocks_the_lane and self._lane.key_owner is None:
            self.blocked(str(failure))
            return
        is_throttled = failure is not None and failure.asks_for_less and not failure.is_trouble
        is_trouble = failure is not None and failure.is_trouble
        if not is_throttled:
            self._recent.add(self._clock(), is_trouble)
        if self._probing:
            self._probe_failed(LaneState.OPEN, str(failure)) if is_trouble else self._probe_got_through()
        elif is_trouble and self.health.state is LaneState.CLOSED and self._recent.is_trouble(self._clock()):
            self.opened(str(failure))

    def has_been_well_since(self, moment: float) -> bool:
        """Whether other items had good replies after `moment`, or just before it: only then an item that fails again
        and again is to blame for it."""
        return self.health.state is LaneState.CLOSED and self._recent.last_good_at > moment - _EVIDENCE_SECONDS

    def opened(self, reason: str) -> None:
        """The lane is in trouble that passes by itself."""
        self._enter(LaneState.OPEN, reason)

    def blocked(self, reason: str) -> None:
        """The lane stands still until people have mended something."""
        self._enter(LaneState.BLOCKED, reason)

    def probe_unused(self) -> None:
        """The shard that was to be the probe made no call."""
        if self._probing:
            self._end_probe(replace(self.health, probe_at=int(self._clock()) + 1, prober=None, probe_until=0))

    async def keep_up(self) -> None:
        """Write what has changed; read what others wrote, if that is due."""
        async with self._keeping_up:
            if self._write is not None:
                write, self._write = self._write, None
                self._take(await self._blocking(write))
            elif not self._probing and self._clock() >= self._read_at + _LOOK_SECONDS:
                await self._look()

    async def _look(self) -> None:
        if self._write is None:
            self._take(await self._blocking(self._lanes.health, self._lane))

    def _enter(self, state: LaneState, reason: str) -> None:
        if self._probing:
            self._probe_failed(state, reason)
        elif self.health.state is LaneState.CLOSED or (self.health.state, state) == (LaneState.OPEN, LaneState.BLOCKED):
            now = int(self._clock())
            self.health = LaneHealth(state, reason, now, 0, now + probe_wait_seconds(state, 0))
            self._write = partial(self._lanes.open, self._lane, self.health, now)
            self._gate.shut()
            self._changed()

    def _probe_failed(self, state: LaneState, reason: str) -> None:
        probes, now = self.health.probes + 1, int(self._clock())
        probe_at = now + probe_wait_seconds(state, probes)
        self._end_probe(replace(self.health, state=state, reason=reason, probes=probes, probe_at=probe_at, prober=None))

    def _end_probe(self, health: LaneHealth) -> None:
        self._probing = False
        self.health = replace(health, probe_until=0)
        self._write = partial(self._lanes.probe_failed, self._lane, self._name, self.health, int(self._clock()))
        self._gate.shut()
        self._changed()

    def _probe_got_through(self) -> None:
        self._probing = False
        now = int(self._clock())
        self.health = LaneHealth(since=now)
        self._write = partial(self._lanes.close, self._lane, self._name, now)
        self._come_back()

    def _take(self, health: LaneHealth) -> None:
        """What the row says holds, unless we have decided something since that is not written yet."""
        self._read_at = self._clock()
        if self._write is not None or self._probing:
            return
        before, self.health = self.health.state, health
        if before is LaneState.CLOSED and health.state is not LaneState.CLOSED:
            self._gate.shut()
            self._changed()
        elif before is not LaneState.CLOSED and health.state is LaneState.CLOSED:
            self._come_back()

    def _come_back(self) -> None:
        self._recent.forget()
        self._gate.open()
        self._changed()

    def _changed(self) -> None:
        for on_change in tuple(self._on_change):
            on_change()


SECRET_MISSING = "secret_missing"
"""Why a lane is blocked whose provider key is not there."""

BLOCKING_REASONS = frozenset(str(reason) for reason in FailureReason if reason.blocks_the_lane) | {SECRET_MISSING}
