"""Job rows: each method is one conditional write of the life that `core.jobs` draws."""

from __future__ import annotations

from collections.abc import Iterator

from batchyard.adapters.aws.lifetimes import ttl_of
from batchyard.adapters.aws.table import Key, Table
from batchyard.core.batches import Ending
from batchyard.core.errors import ConditionFailed, LeaseLost
from batchyard.core.jobs import JobHeld, JobRef, JobRow, JobState

_DONE = str(JobState.DONE)


class Jobs:
    """Times are unix seconds."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def claim(self, ref: JobRef, owner: str, now: int, lease_until: int) -> JobRow:
        """Take the job to bring it on. Raises JobHeld if it is somebody else's, or done."""
        try:
            row = self._table.update(
                _key(ref.batch.batch_id, ref.number),
                set={"number": ref.number, "shards": ref.shards, "owner": owner, "lease_until": lease_until},
                add={"version": 1},
                default={"state": str(JobState.SUBMITTING), **ttl_of(ref.batch.batch_id)},
                condition="attribute_not_exists(pk) OR (NOT #state = :done AND #lease_until < :now)",
                values={"done": _DONE, "now": now},
            )
        except ConditionFailed as error:
            held = JobRow.from_row(error.row or {"number": ref.number})
            if held.owner == owner:  # this very claim, repeated by botocore because its answer got lost
                return held
            raise JobHeld(held) from error
        return JobRow.from_row(row)

    def change(self, batch_id: str, claim: JobRow, **changes: object) -> JobRow:
        """Set fields of a job that is ours. Raises LeaseLost."""
        row = {name: _attribute(value) for name, value in changes.items()}
        try:
            found = self._table.update(
                _key(batch_id, claim.number),
                set=row,
                condition="#owner = :holder AND #version = :claimed AND NOT #state = :done",
                values={"holder": claim.owner, "claimed": claim.version, "done": _DONE},
            )
        except ConditionFailed as error:
            held = error.row or {}
            is_ours = held.get("owner") == claim.owner and held.get("version") == claim.version
            if is_ours and all(held.get(name) == value for name, value in row.items()):
                return JobRow.from_row(held)  # this very write, repeated because its answer got lost
            raise LeaseLost(f"job {claim.number} of {batch_id} is no longer ours") from error
        return JobRow.from_row(found)

    def fence(self, ref: JobRef, ending: Ending) -> JobRow:
        """Let nobody submit the job any more, and ask for what it has finished. The row; it may be done."""
        try:
            row = self._table.update(
                _key(ref.batch.batch_id, ref.number),
                set={"fence": str(ending), "number": ref.number, "shards": ref.shards},
                default={"state": str(JobState.SUBMITTING), "lease_until": 0, **ttl_of(ref.batch.batch_id)},
                condition="attribute_not_exists(pk) OR NOT #state = :done",
                values={"done": _DONE},
            )
        except ConditionFailed as error:
            row = error.row or {"number": ref.number, "state": _DONE}
        return JobRow.from_row(row)

    def get(self, batch_id: str, number: int) -> JobRow | None:
        """The job's row; None before it was ever claimed or fenced."""
        row = self._table.get(_key(batch_id, number), consistent=True)
        return JobRow.from_row(row) if row else None

    def rows(self, batch_id: str) -> Iterator[JobRow]:
        """The row of every job of the batch that has one, by number."""
        for row in self._table.query(f"batch#{batch_id}", prefix="job#", consistent=True):
            yield JobRow.from_row(row)


def _key(batch_id: str, number: int) -> Key:
    return Key(f"batch#{batch_id}", f"job#{number:06d}")


def _attribute(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, (JobState, Ending)) else value
