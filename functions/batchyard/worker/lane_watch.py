"""What a worker process knows of the health of a lane, and what it does about it.

    replies ─▶ trouble? ─▶ suspected: the gate shuts, witnesses are sent ─▶ they answer: the items are at fault, go on
                                                │
                                                └─▶ they fail too: the lane is open, its row says so, all runs stop
    a message of a shard ─▶ admit ─▶ the lane is closed: go on
                                └──▶ open or blocked: come again; once the next probe is due, one of all workers gets
                                     the lease and sends witnesses

Decisions are made at once, on the event loop; the row is written and read by `keep_up`, which every run calls when
something has changed and every few seconds. The row counts more than what one process thinks: a lane that another
worker opened is open.
"""

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from batchyard.adapters.aws.lanes import Lanes, LaneView
from batchyard.core.calls import ProviderReply
from batchyard.core.hangs import SCOUTS, CallsInFlight, HangWatch
from batchyard.core.health import (
    PROBE_LEASE_SECONDS,
    LaneHealth,
    LaneState,
    RecentReplies,
    failed_probes_before,
    next_probe_at,
    probe_wait_seconds,
)
from batchyard.core.lane_limits import NO_LIMITS, LaneLimits
from batchyard.core.lanes import LaneId
from batchyard.core.retry import FailureReason
from batchyard.worker.gate import Gate
from batchyard.worker.lane_share import LaneShare
from batchyard.worker.runtime import Runtime
from batchyard.worker.witnesses import Witness, gets_through, hear, hear_of_hang

SECRET_MISSING = "secret_missing"
"""Why a lane is blocked whose provider key is not there."""

_TRUSTED_SECONDS = 10.0
"""How long a lane that witnesses found well is not suspected again."""
_FRESH_SECONDS = 2.0
"""How old what is known of a lane may be when a shard of it is about to start."""
_LOOK_SECONDS = 5.0
"""How often a run looks whether another worker has closed or opened its lane."""


class Admission(enum.Enum):
    """What may become of a shard whose message is here."""

    PASS = "pass"
    """The lane is closed."""
    PROBE = "probe"
    """The lane is in trouble, and it is ours to find out whether that is over: `probe` must follow."""
    WAIT = "wait"
    """The lane is in trouble, or has workers enough: come again after `wait_seconds`."""


class LaneWatch:
    """Lives as long as its process, one for each lane. Used from one event loop only. `forget_key` is called when the
    lane is found blocked, because the provider key may have been rotated."""

    def __init__(
        self,
        lane: LaneId,
        gate: Gate,
        lanes: Lanes,
        runtime: Runtime,
        *,
        forget_key: Callable[[], None],
        limits: LaneLimits = NO_LIMITS,
    ) -> None:
        """`limits`: what the operator allows the lane."""
        self._lane = lane
        self._gate = gate
        self._lanes = lanes
        self._clock = runtime.clock
        self._random = runtime.random
        self._blocking = runtime.blocking
        self._log = runtime.log
        self._name = runtime.new_owner()
        self._forget_key = forget_key
        self._recent = RecentReplies()
        self._suspected: str | None = None
        self._well_at = -math.inf
        self._read_at = -math.inf
        self._write: Callable[[], LaneHealth] | None = None
        self._probing = False
        self._keeping_up = asyncio.Lock()
        self._examining = asyncio.Lock()
        self._admitting = asyncio.Lock()
        self._on_change: dict[Callable[[], None], None] = {}
        self._hangs = HangWatch(lane.mode)
        self._suspects_hang = False
        self._guessing: asyncio.Task[None] | None = None
        self.health = LaneHealth()
        self.share = LaneShare(lane, gate, lanes, runtime, limits=limits, take=self._take_view)

    @property
    def lane(self) -> LaneId:
        return self._lane

    @property
    def looked_at(self) -> float:
        """The unix second at which its row was read last."""
        return self._read_at

    @property
    def is_in_trouble(self) -> bool:
        """Whether nobody may start a call."""
        return self.health.state is not LaneState.CLOSED

    def is_the_lanes(self, reason: FailureReason) -> bool:
        """Whether a call that failed so is the lane's fault, and its item as if it had never been tried."""
        return self._blocks(reason) or (reason.is_trouble and self.is_in_trouble)

    def tell(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever the lane is suspected, closes or opens, until `forget`."""
        self._on_change[on_change] = None

    def forget(self, on_change: Callable[[], None]) -> None:
        self._on_change.pop(on_change, None)
        if self._guessing is not None and not self._on_change:
            self._guessing.cancel()

    def wait_seconds(self) -> float:
        """How long to leave a shard alone that cannot run now: of a lane in trouble, or of one that has workers
        enough."""
        if not self.is_in_trouble:
            return self.share.away_seconds() * (0.5 + 0.5 * self._random())
        return self.health.wait_seconds(self._clock(), self._random())

    async def admit(self, batch_id: str) -> Admission:
        """What may become of a shard of this batch."""
        async with self._admitting:  # the shards of one invocation come at the same time: one of them looks for all
            if self._write is not None:  # the run that was to write it has died, and until then the row does not count
                await self.keep_up()
            elif self._clock() >= self._read_at + _FRESH_SECONDS:
                await self.look()
        if not self.is_in_trouble:
            return Admission.WAIT if self.share.enough_others(batch_id) else Admission.PASS
        now = self._clock()
        if self._probing or not self.health.probe_is_due(now):
            return Admission.WAIT
        self._probing = True
        until = int(now) + PROBE_LEASE_SECONDS
        try:
            health = await self._blocking(partial(self._lanes.claim_probe, self._lane, self._name, int(now), until))
        except BaseException:
            self._probing = False
            raise
        self._take(health)
        if self.is_in_trouble and self.health.prober == self._name:
            return Admission.PROBE
        self._probing = False
        return Admission.WAIT if self.is_in_trouble else Admission.PASS

    async def probe(self, witness: Witness) -> None:
        """Finds out whether the trouble is over, and lets everybody know."""
        began = int(self._clock())
        try:
            found = await hear(witness, callers_key=self._lane.key_owner is not None)
            now = int(self._clock())
            if found.state is LaneState.CLOSED:
                self._take(await self._blocking(partial(self._lanes.close, self._lane, self._name, now)))
            else:
                await self.probe_failed(found.state, found.reason, began)
        finally:
            self._probing = False

    async def probe_failed(self, state: LaneState, reason: str | None, began: int | None = None) -> None:
        """The lane is still in trouble, as a probe has shown that `began` then, or just now. Gives the lease back."""
        probes, now = self.health.probes + 1, int(self._clock())
        probe_at = next_probe_at(state, probes, now if began is None else began, now)
        health = replace(self.health, state=state, reason=reason, probes=probes, probe_at=probe_at)
        try:
            self._take(await self._blocking(partial(self._lanes.probe_failed, self._lane, self._name, health, now)))
        finally:
            self._probing = False

    def drop_probe(self) -> None:
        """No probe can be made here. Its lease ends by itself."""
        self._probing = False

    def replied(self, reply: ProviderReply, *, failed_before: bool) -> FailureReason | None:
        """Takes note of a reply to an item. `failed_before`: the item had other failures, so that one more says more
        about the item than about the lane. What the reply means on this lane; None: it is good."""
        self.share.replied(reply)
        failure = self._meant(reply.failure)
        if failure is not None and self._blocks(failure):
            self.blocked(str(failure))
        elif failure is None or not (failure.is_trouble or failure.asks_for_less):
            self._recent.add(self._clock(), trouble=False)
        elif failure.is_trouble and not failed_before:
            self._recent.add(self._clock(), trouble=True)
            if self._recent.is_trouble(self._clock()):
                self._suspect(str(failure))
        return failure

    def look_for_hanging_calls(self, witness: Witness) -> None:
        """Suspects a lane whose calls in flight are all far beyond what its calls take."""
        if self._suspected is not None or self._guessing is not None:
            return
        now, pacer = self._clock(), self._gate.pacer
        calls = CallsInFlight(
            pacer.in_flight,
            self._gate.oldest_call_seconds(now),
            self._gate.silent_seconds(now),
            pacer.latency.bound_seconds,
            pacer.latency.calls,
        )
        if not self._hangs.is_suspected(now, calls) or self.is_in_trouble:
            return
        if self._hangs.is_guess:
            self._guessing = asyncio.create_task(self._guess(witness))
        elif self._suspect(str(FailureReason.TIMEOUT)):
            self._suspects_hang = True

    @property
    def hung_before(self) -> float:
        """Calls that started before then will never end, though the lane is well: they are given up."""
        return self._hangs.hung_before

    def has_been_well_since(self, moment: float) -> bool:
        """Whether somebody got through after `moment`, and nothing is the matter now."""
        return not self.is_in_trouble and max(self._recent.last_good_at, self._well_at) > moment

    async def is_well_since(self, moment: float, reason: FailureReason, witness: Witness) -> bool:
        """Whether an item whose tries are used up is to blame: others, or a witness, got through after `moment`. That
        there is money for a witness shows nothing."""
        if reason is FailureReason.UNAFFORDABLE and self._recent.last_good_at <= moment:
            self.blocked(str(FailureReason.OUT_OF_MONEY))
        elif not self.has_been_well_since(moment):
            await self._examine(str(reason), witness, since=moment)
        return not self.is_in_trouble

    async def keep_up(self, witness: Witness | None = None) -> None:
        """Settle a suspicion if there is a witness, write what has changed, read what others wrote if that is due.
        Returns at once if somebody else is at it. If the row cannot be reached, which all workers of a lane write, what
        is known holds until it can: nothing that runs is lost for it."""
        if self._keeping_up.locked():
            return
        async with self._keeping_up:
            if self._suspected is not None and witness is not None:
                await self._examine(self._suspected, witness, since=self._clock())
            try:
                if self._write is not None:
                    await self._write_down(self._write)
                elif self._clock() >= self._read_at + _LOOK_SECONDS:
                    await self.look()
                await self.share.keep_up()
            except Exception:
                self._log.exception("the row of the lane %s could not be written or read", self._lane)

    async def _write_down(self, write: Callable[[], LaneHealth]) -> None:
        self._write = None
        try:
            health = await self._blocking(write)
        except BaseException:
            self._write = self._write or write
            raise
        self._take(health)

    async def look_again(self) -> None:
        """Read what others wrote, if that was not done for some seconds."""
        if self._clock() >= self._read_at + _LOOK_SECONDS:
            await self.look()

    def blocked(self, reason: str) -> None:
        """The lane stands still until people have mended something."""
        self._enter(LaneState.BLOCKED, reason)

    async def _examine(self, reason: str, witness: Witness, since: float) -> None:
        """Asks witnesses whether the lane is well, unless that is known for a moment after `since`."""
        async with self._examining:
            if self.is_in_trouble or self._well_at > since:
                return
            callers_key = self._lane.key_owner is not None
            if self._suspects_hang:
                usual_call_seconds = self._gate.pacer.latency.bound_seconds
                found = await hear_of_hang(witness, callers_key=callers_key, usual_call_seconds=usual_call_seconds)
            else:
                found = await hear(witness, callers_key=callers_key)
            self._suspected = None
            suspected_hang, self._suspects_hang = self._suspects_hang, False
            if found.state is LaneState.CLOSED:
                self._well_at = self._clock()
                if suspected_hang and self._hangs.refute(self._well_at):
                    self._gate.pacer.make_room(SCOUTS)
                self._recent.forget()
                self._gate.open()
                self._changed()
            else:
                self._enter(found.state, found.reason or reason)

    async def _guess(self, witness: Witness) -> None:
        """Asks a witness whether a lane of which nothing is known hangs. Runs beside the runs, which go on: the lane
        may just be slow."""
        try:
            if await gets_through(witness, callers_key=self._lane.key_owner is not None):
                self._well_at = self._clock()
                if self._hangs.refute(self._well_at):
                    self._gate.pacer.make_room(SCOUTS)
            else:
                self._hangs.leave_open()
        finally:
            self._guessing = None
            if not (self.is_in_trouble or self._suspected is not None):
                self._gate.open()
                self._changed()

    def _meant(self, failure: FailureReason | None) -> FailureReason | None:
        """`failure`, but that the money of a caller's own key is the caller's matter: nobody waits for it."""
        if failure is FailureReason.UNAFFORDABLE and self._lane.key_owner is not None:
            return FailureReason.OUT_OF_MONEY
        return failure

    def _blocks(self, reason: FailureReason) -> bool:
        """A caller's own key that is refused is the caller's error."""
        return reason.blocks_the_lane and self._lane.key_owner is None

    def _suspect(self, reason: str) -> bool:
        """Whether the lane was not suspected, in trouble, or found well just now."""
        if self._suspected is not None or self.is_in_trouble or self._clock() < self._well_at + _TRUSTED_SECONDS:
            return False
        self._suspected = reason
        self._gate.shut()
        self._changed()
        return True

    def _enter(self, state: LaneState, reason: str) -> None:
        if self.health.state in (LaneState.BLOCKED, state):
            return
        now = int(self._clock())
        probes = failed_probes_before(self.health, now)
        self.health = LaneHealth(state, reason, now, probes, now + probe_wait_seconds(state, probes))
        self._write = partial(self._lanes.open, self._lane, self.health, now)
        self._suspected = None
        self._suspects_hang = False
        self._gate.shut()
        self._changed()

    async def look(self, *, consistent: bool = False) -> None:
        """Read what others wrote; `consistent`: up to now."""
        self.share.take(await self._blocking(partial(self._lanes.look, self._lane, consistent=consistent)))

    def _take_view(self, view: LaneView) -> None:
        self._take(view.health)

    def _take(self, health: LaneHealth) -> None:
        """What the row says holds, unless something was decided meanwhile that is not written yet."""
        self._read_at = self._clock()
        if self._write is not None:
            return
        before, self.health = self.health.state, health
        if before is health.state:
            return
        if health.state is LaneState.CLOSED:
            self._recent.forget()
            self._gate.open(gently=True)
        else:
            self._gate.shut()
        self._changed()

    def _changed(self) -> None:
        if self.health.state is LaneState.BLOCKED:
            self._forget_key()
        for on_change in tuple(self._on_change):
            on_change()
