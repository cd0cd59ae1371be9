"""Whether a lane's calls in flight hang or are just long, as far as silence and witnesses can tell.

    all are silent for too long ─▶ suspected ─▶ witnesses fail: the lane is in trouble
                                       │        (if nothing is known of it, only after three minutes: it may be slow)
                                       ├─▶ they get through, what calls take is known: the silent ones are given up
                                       ├─▶ one gets through after one that did not: what was silent then is given up
                                       └─▶ they get through, nothing is known: the silent ones are doubted, and a few
                                           calls more may start. Those end far sooner: the doubted ones are given up.
                                           They are as silent: the calls of this lane are long, and nobody is given up

A witness is short, so how long it took says nothing about what calls take: only calls do. Each time that witnesses get
through while the calls stay silent, the next suspicion takes twice as long.

Times are unix seconds, passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from batchyard.core.health import WITNESS_SECONDS
from batchyard.core.lanes import Mode

SCOUTS = 4
"""Calls that may start beside doubted ones."""

_LEAST_CALL_SECONDS = 15.0
_UNKNOWN_CALL_SECONDS = {Mode.REALTIME: 20.0, Mode.FLEX: 180.0}
"""A lane is at full speed within half a minute of its provider's return, also after a hang of some seconds that nobody
noticed. In flex even the smallest request may be made to wait."""
_CONCLUSIVE_SECONDS = 180.0
"""Before, a lane of which nothing is known is not in trouble for silence: it may be slow, witnesses and all."""
_FAR_BEYOND = 3.0
_FEW_CALLS = 3
_LEAST_WITNESS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class CallsInFlight:
    """`oldest_seconds`: how long the first one has been in flight. `silent_seconds`: how long ago the last reply came.
    `usual_seconds`: how long calls of the lane take at most as a rule, 0 if that is not known; `ended_well`: how many
    calls it is known from."""

    number: int
    oldest_seconds: float
    silent_seconds: float
    usual_seconds: float
    ended_well: int

    @property
    def stalled_seconds(self) -> float:
        """How long the first one has been in flight without a reply to anything."""
        return min(self.oldest_seconds, self.silent_seconds)


class HangWatch:
    """What one worker makes of the silence of one lane."""

    def __init__(self, mode: Mode) -> None:
        self._unknown_seconds = _UNKNOWN_CALL_SECONDS.get(mode, _UNKNOWN_CALL_SECONDS[Mode.REALTIME])
        self._suspected_before: float | None = None
        self._is_unknown = False
        self._unheard_before = -math.inf
        self.is_guess = False
        """Whether witnesses that fail would not show that the suspected lane is in trouble."""
        self._doubted_before = -math.inf
        self._ended_well = 0
        self._refuted = 0
        self._refuted_at = -math.inf
        self.hung_before = -math.inf
        """Calls that started before then will never end, though the lane is well: they are given up."""

    def is_suspected(self, now: float, calls: CallsInFlight) -> bool:
        """Whether witnesses should be asked. Judges the doubted calls, too."""
        self._judge_doubted(now, calls)
        replied_at = now - calls.silent_seconds
        if replied_at > self._refuted_at:
            self._refuted = 0
        if replied_at > self._unheard_before:
            self._unheard_before = -math.inf
        usual = calls.usual_seconds
        patience = hang_patience_seconds(usual, self._unknown_seconds) * 2**self._refuted
        self._is_unknown = usual <= 0
        if not is_stalled(calls, patience):
            return False
        self.is_guess = self._is_unknown and calls.stalled_seconds < _CONCLUSIVE_SECONDS
        self._suspected_before = now if self._is_unknown else now - patience
        self._ended_well = calls.ended_well
        return True

    def refute(self, now: float) -> bool:
        """Witnesses got through after `is_suspected`. Whether a few calls more should start."""
        if self._suspected_before is None:
            return False
        self._refuted, self._refuted_at = self._refuted + 1, now
        if self._is_unknown:
            self._doubted_before = self._suspected_before
            self.hung_before = max(self.hung_before, self._unheard_before)
        else:
            self.hung_before = max(self.hung_before, self._suspected_before)
        self._suspected_before = None
        return self._is_unknown

    def leave_open(self) -> None:
        """No witness got through, which does not show that the lane is in trouble. But if the next one does, the calls
        that were as silent as this one are given up."""
        if self._suspected_before is not None:
            self._unheard_before = self._suspected_before

    def _judge_doubted(self, now: float, calls: CallsInFlight) -> None:
        """Those are given up that have taken far longer by now than calls that ended since."""
        if self._doubted_before == -math.inf or calls.ended_well < self._ended_well + _FEW_CALLS:
            return
        far_beyond = now - hang_patience_seconds(calls.usual_seconds, self._unknown_seconds)
        self.hung_before = max(self.hung_before, min(self._doubted_before, far_beyond))
        if far_beyond >= self._doubted_before:
            self._doubted_before = -math.inf


def hang_patience_seconds(usual_call_seconds: float, unknown_seconds: float) -> float:
    """How long all calls of a lane may be silent before it is suspected to hang. `usual_call_seconds`: how long its
    calls take at most as a rule, 0 if that is not known; then `unknown_seconds` it is."""
    if usual_call_seconds <= 0:
        return unknown_seconds
    return max(_LEAST_CALL_SECONDS, _FAR_BEYOND * usual_call_seconds)


def hang_witness_seconds(usual_call_seconds: float) -> float:
    """How long a witness may take when all calls of a lane are silent. It is shorter than they are, and until it has
    ended other workers may come and start calls in vain."""
    if usual_call_seconds <= 0:
        return WITNESS_SECONDS
    return min(max(_LEAST_WITNESS_SECONDS, _FAR_BEYOND * usual_call_seconds), WITNESS_SECONDS)


def is_stalled(calls: CallsInFlight, patience_seconds: float) -> bool:
    """Whether a lane may hang: a call has been in flight for too long, and no reply came for as long. One or two calls
    may just be long ones."""
    return calls.number >= _FEW_CALLS and calls.stalled_seconds > patience_seconds
