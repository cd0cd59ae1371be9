"""Batch rows: created once, moved from status to status by conditional writes, listed by account.

A batch of an account that pays is reserved for in the transaction that makes it or its plan (`reservations.py`), and
settled in the one that ends it (`ledger.py`). Beside a batch stand, until it is terminal, its open row
(`open_batches.py`) and the provider key its caller brought (`caller_keys.py`); its row under its input file (how the
batches of a file are found), for as long as it may hold lines of it; and the row of its idempotency key
(`idempotency.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from batchyard.adapters.aws import ledger, usage_days
from batchyard.adapters.aws.caller_keys import removal_of
from batchyard.adapters.aws.files import file_writes
from batchyard.adapters.aws.idempotency import Idempotency, IdempotencyKeyUsed, use_of
from batchyard.adapters.aws.open_batches import OpenBatches, closing_of, opening_of
from batchyard.adapters.aws.progress import Progress
from batchyard.adapters.aws.reservations import Reservations
from batchyard.adapters.aws.table import Delete, Key, Put, Table, Update
from batchyard.core.accounts import Billing
from batchyard.core.batches import FROM, Batch, BatchRef, Stage, Status
from batchyard.core.errors import BooksDoNotBalance, ConditionFailed, RateLimited
from batchyard.core.files import File, FileRef
from batchyard.core.items import LineError
from batchyard.core.json_types import Row
from batchyard.core.ledger import InsufficientCredits, SpendLimitReached, settlement
from batchyard.core.sharding import Plan
from batchyard.core.usage import Tally

_KEEP_INPUT_ROW_SECONDS = 90 * 86_400
"""Longer than what a batch runs from is kept (`working_days`)."""
_NOTHING = Tally()


class Batches:
    """`open`: those that are not terminal."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.open = OpenBatches(table)
        self._progress = Progress(table)
        self._reservations = Reservations(table)

    def create(
        self,
        batch: Batch,
        idempotency: Idempotency | None = None,
        *,
        input_file: File | None = None,
        beside: Sequence[Put | Update] = (),
        daily_limit_picousd: int | None = None,
    ) -> None:
        """One transaction: batch row, open row, the row under its input file, idempotency row, the rows of
        `input_file` if that is made with the batch, what else belongs `beside` it, and its reservation, which keeps to
        the daily limit of its account. Raises IdempotencyKeyUsed, InsufficientCredits, SpendLimitReached, RateLimited
        (see `Reservations.make`), or ConditionFailed if another condition does not hold."""
        writes: list[Put | Update | Delete] = [
            Put(_key(batch.ref), batch.to_row(), only_if_absent=True),
            opening_of(batch),
            Put(_input_key(batch), {}),
        ]
        writes += file_writes(input_file) if input_file else []
        writes += beside
        if idempotency:
            writes.append(idempotency.write_of(batch))
        try:
            self._reservations.make(batch, writes, batch.created_at, daily_limit_picousd)
        except (ConditionFailed, InsufficientCredits, SpendLimitReached, RateLimited) as error:
            used = self.used(batch.account_id, idempotency.key if idempotency else None)
            if used is None:
                raise
            raise used from error

    def used(self, account_id: str, idempotency_key: str | None) -> IdempotencyKeyUsed | None:
        """The batch that the key was used for; None if it was not, or there is no key."""
        return use_of(account_id, idempotency_key, self._table) if idempotency_key is not None else None

    def get(self, ref: BatchRef, *, consistent: bool = False) -> Batch | None:
        row = self._table.get(_key(ref), consistent=consistent)
        return Batch.from_row(row) if row else None

    def current(self, ref: BatchRef) -> Batch:
        """The batch as it stands. For batches that must exist: raises BooksDoNotBalance if there is none."""
        batch = self.get(ref, consistent=True)
        if batch is None:
            raise BooksDoNotBalance(f"{ref.batch_id} is not a batch of {ref.account_id}")
        return batch

    def with_progress(self, batch: Batch) -> Batch:
        """The batch; while it runs, with the tally of the shards settled so far."""
        if batch.status.is_terminal or batch.plan is None:
            return batch
        return replace(batch, tally=self._progress.total(batch.id))

    def page(
        self, account_id: str, *, after: str | None = None, before: str | None = None, limit: int
    ) -> tuple[list[Batch], bool]:
        """Up to `limit` batches, newest first, behind the batch `after`, or else directly before the batch `before`;
        and whether there are more in that direction."""
        start = after or before
        rows = list(
            self._table.query(
                f"account#{account_id}",
                prefix="batch#",
                after=f"batch#{start}" if start else None,
                limit=limit + 1,
                descending=after is not None or before is None,
            )
        )
        found = [self.with_progress(Batch.from_row(row)) for row in rows[:limit]]
        return found if after is not None or before is None else found[::-1], len(rows) > limit

    def newest(self, account_id: str, *, after: str | None = None, limit: int) -> list[Batch]:
        """Up to `limit` batches as their rows are, newest first, behind the batch `after`."""
        rows = self._table.query(
            f"account#{account_id}",
            prefix="batch#",
            after=f"batch#{after}" if after else None,
            limit=limit,
            descending=True,
        )
        return [Batch.from_row(row) for row in rows]

    def enter(self, batch: Batch, status: Status, now: int, **fields: Any) -> Batch:
        """Move to `status`, setting `fields` of the row too. Raises ConditionFailed if that is not allowed."""
        change = _entering(batch, FROM[status], status, now, fields)
        row = self._table.update(change.key, set=change.set, condition=change.condition, values=change.values)
        return Batch.from_row(row)

    def note_stage(self, batch: Batch, stage: Stage) -> None:
        """How far validation has come. Raises ConditionFailed if the batch is no longer validating."""
        self._table.update(
            _key(batch.ref),
            set={"stage": str(stage)},
            condition="#status = :validating",
            values={"validating": str(Status.VALIDATING)},
        )

    def set_plan(
        self,
        batch: Batch,
        plan: Plan,
        model: str | None,
        now: int,
        *,
        estimate_picousd: int = 0,
        reserve: bool = False,
        daily_limit_picousd: int | None = None,
    ) -> Batch:
        """validating -> in_progress, with the estimate reserved if it is to be, within the daily limit of its account.
        Raises ConditionFailed if another run was first or the batch was cancelled, InsufficientCredits if the account
        does not have that much, SpendLimitReached or RateLimited (see `Reservations.make`)."""
        fields: Row = {"plan": plan.to_row(), "model": model}
        if estimate_picousd:
            fields["estimate_picousd"] = estimate_picousd
        if not reserve or not estimate_picousd:
            return self.enter(batch, Status.IN_PROGRESS, now, **fields)
        fields["reserved_picousd"] = estimate_picousd
        entering = _entering(batch, FROM[Status.IN_PROGRESS], Status.IN_PROGRESS, now, fields)
        reserving = replace(batch, reserved_picousd=estimate_picousd)
        self._reservations.make(reserving, [entering], now, daily_limit_picousd)
        return self.current(batch.ref)

    def change_plan(self, batch: Batch, plan: Plan) -> Batch:
        """Take another plan for what is left. Raises ConditionFailed if the plan has changed since `batch` was read, or
        the batch is no longer in progress."""
        unchanged = "#revision = :seen" if batch.revision else "(attribute_not_exists(#revision) OR #revision = :seen)"
        row = self._table.update(
            _key(batch.ref),
            set={"plan": plan.to_row(), "revision": batch.revision + 1},
            condition=f"{unchanged} AND #status = :in_progress",
            values={"seen": batch.revision, "in_progress": str(Status.IN_PROGRESS)},
        )
        return Batch.from_row(row)

    def set_task_token(self, batch: Batch, token: str) -> Batch:
        """Raises ConditionFailed if the batch is no longer in progress."""
        row = self._table.update(
            _key(batch.ref),
            set={"task_token": token},
            condition="#status = :in_progress",
            values={"in_progress": str(Status.IN_PROGRESS)},
        )
        return Batch.from_row(row)

    def finish(
        self,
        batch: Batch,
        status: Status,
        now: int,
        *,
        tally: Tally = _NOTHING,
        files: tuple[File | None, File | None] = (None, None),
        errors: tuple[LineError, ...] = (),
    ) -> Batch:
        """Enter a terminal status: batch row, its (output, error) file rows, the end of its open row, the settlement of
        what it has cost, and its count among what its account uses by day, in one transaction. Raises ConditionFailed
        if the batch may not enter it, or is no longer in the status that `batch` was read in, because what is to be
        published may have changed with the status."""
        if batch.status not in FROM[status]:
            raise ConditionFailed(f"{batch.id} is {batch.status} and cannot end as {status}")
        output, error = files
        fields: Row = {
            "output_file_id": output.id if output else None,
            "error_file_id": error.id if error else None,
            "tally": tally.to_row(),
            "task_token": None,
        }
        if errors:
            fields["errors"] = [error.to_row() for error in errors]
        writes: list[Put | Update | Delete] = [_entering(batch, (batch.status,), status, now, fields)]
        writes += [write for file in files if file for write in file_writes(file)]
        ended = {"ended_at": now, "ttl": now + _KEEP_INPUT_ROW_SECONDS}
        writes += [closing_of(batch.id), Update(_input_key(batch), set=ended)]
        if batch.caller_pays:
            writes.append(removal_of(batch.id))
        if batch.billing is not Billing.FREE:
            entries = settlement(batch.id, batch.reserved_picousd, tally.cost_picousd, now)
            writes += ledger.writes_of(batch.account_id, entries)
        writes.append(usage_days.counted(batch, tally, now))
        self._table.transact(writes)
        finished = self.get(batch.ref, consistent=True)
        if finished is None:
            raise ConditionFailed(f"{batch.id} was deleted as it ended")
        return finished

    def doom(self, batch: Batch, errors: tuple[LineError, ...]) -> Batch:
        """Decides that a batch which runs will end as failed, for the reason `errors`. Raises ConditionFailed if it
        does not run (any more)."""
        row = self._table.update(
            _key(batch.ref),
            set={"errors": [error.to_row() for error in errors]},
            condition="#status IN (:in_progress, :finalizing)",
            values={"in_progress": str(Status.IN_PROGRESS), "finalizing": str(Status.FINALIZING)},
        )
        return Batch.from_row(row)

    def reach_price(self, batch: Batch) -> Batch:
        """Decides that nothing of a batch is started any more, because it may not cost more. Raises ConditionFailed if
        it is not in progress (any more)."""
        row = self._table.update(
            _key(batch.ref),
            set={"price_reached": True},
            condition="#status = :in_progress",
            values={"in_progress": str(Status.IN_PROGRESS)},
        )
        return Batch.from_row(row)

    def made_from(self, ref: FileRef) -> list[str]:
        """The ids of the batches with this input file that are not terminal."""
        return [batch_id for batch_id, is_over in self._of_file(ref) if not is_over]

    def ever_made_from(self, ref: FileRef) -> list[str]:
        """The ids of the batches with this input file, also of those that ended some weeks ago."""
        return [batch_id for batch_id, _ in self._of_file(ref)]

    def delete(self, batch: Batch) -> None:
        """Forget a batch that has ended, and that it was made from its file. Its webhook stays for as long as its
        delivery is kept."""
        self._table.transact([Delete(_key(batch.ref)), Delete(_input_key(batch))])

    def hide_results(self, ref: BatchRef) -> None:
        """Show the results of this batch nowhere any more. Raises ConditionFailed if there is no such batch."""
        self._table.update(_key(ref), set={"results_hidden": True}, condition="attribute_exists(pk)")

    def count_execution(self, batch: Batch) -> int:
        """How many further executions Sweep has started for this batch, this one included. Raises ConditionFailed if
        the batch has moved on since it was read."""
        row = self._table.update(
            _key(batch.ref),
            set={"executions": batch.executions + 1},
            condition="#executions = :seen AND #status = :unmoved",
            values={"seen": batch.executions, "unmoved": str(batch.status)},
        )
        return int(row["executions"])

    def _of_file(self, ref: FileRef) -> Iterator[tuple[str, bool]]:
        """(batch id, whether it is terminal) of the batches with this input file."""
        prefix = f"input#{ref.file_id}#"
        for row in self._table.query(f"account#{ref.account_id}", prefix=prefix, consistent=True):
            yield row["sk"].removeprefix(prefix), "ended_at" in row


def _key(ref: BatchRef) -> Key:
    return Key(f"account#{ref.account_id}", f"batch#{ref.batch_id}")


def _input_key(batch: Batch) -> Key:
    return Key(f"account#{batch.account_id}", f"input#{batch.input_file_id}#{batch.id}")


def _entering(batch: Batch, sources: Sequence[Status], status: Status, now: int, fields: Row) -> Update:
    """The update that enters `status` from one of `sources`. Its condition keeps a doomed batch from ending well."""
    values: Row = {f"from_{number}": str(source) for number, source in enumerate(sources)}
    condition = "#status IN (" + ", ".join(f":{name}" for name in values) + ")"
    if status in (Status.COMPLETED, Status.EXPIRED):
        condition += " AND size(#errors) = :none"
        values["none"] = 0
    entered = {"status": str(status), f"{status}_at": now}
    return Update(_key(batch.ref), set=entered | fields, condition=condition, values=values)
