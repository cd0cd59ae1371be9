"""The rows of native lanes, beside those of the same lanes in realtime. Two jobs that end at once may lose one of their
times: nothing depends on it."""

from __future__ import annotations

from dataclasses import replace

from batchyard.adapters.aws.table import Key, Table
from batchyard.core.lanes import LaneId
from batchyard.core.native_history import NativeHistory

_KEPT_SECONDS = 90 * 86_400


class NativeLanes:
    """Times are unix seconds."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def history(self, lane: LaneId) -> NativeHistory:
        """What is known of the lane; nothing, if nobody has used it."""
        return NativeHistory.from_row(self._table.get(_key(lane)) or {})

    def ended(self, lane: LaneId, seconds: int, now: int, *, has_finished: bool = True) -> None:
        """A job of the lane took so long, if nobody stopped it; else it would have taken longer."""
        self._keep(lane, self.history(lane).plus(seconds, now, has_finished=has_finished), now)

    def note_unsupported(self, lane: LaneId, now: int) -> None:
        """The provider has no batch API for the lane: none at all, or none for its model, or for the account's plan."""
        self._keep(lane, replace(self.history(lane), unsupported_at=now), now)

    def _keep(self, lane: LaneId, history: NativeHistory, now: int) -> None:
        self._table.update(_key(lane), set=history.to_row() | {"ttl": now + _KEPT_SECONDS})


def _key(lane: LaneId) -> Key:
    return Key(f"lane#{lane.provider}#{lane.model}", f"native#{lane.key_owner or ''}")
