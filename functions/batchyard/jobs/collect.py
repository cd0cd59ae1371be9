"""Collect: store what the vendor has of a job that is over, submit the rest anew or move it to another lane, clean up.

    results ─▶ spool ─▶ a part per shard ─▶ settled ─▶ settle
                             └ not all of it ─▶ the plan moves what is left, and the first shards of it are sent
                                             └─▶ it was stuck, and there is time ─▶ what is left is submitted anew

Each step may be run again: a shard that is settled is not claimed a second time, an item that is done gets no second
result, and a plan that was changed already is not changed again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from batchyard.adapters.providers.provider_jobs import JobMissing, JobRefused, VendorTrouble
from batchyard.core.errors import LeaseLost
from batchyard.core.jobs import JobState, line_prefix, may_restart, read_line_id
from batchyard.core.keys import part_key
from batchyard.core.messages import shard_message
from batchyard.core.parts import encode_part
from batchyard.core.results import Result, tally
from batchyard.core.retry import FailureReason
from batchyard.core.sharding import Shard
from batchyard.core.shards import (
    LeaseHeld,
    ShardFenced,
    ShardRow,
    ShardSettled,
    ShardState,
    done_count,
    is_done,
    mark_done,
)
from batchyard.jobs.held import STUCK, TRIES_AT_MOST, HeldJob
from batchyard.jobs.lines import answered_items, job_shards, left_items, refuses_lane, result_of, shard_items
from batchyard.jobs.move import move_the_rest
from batchyard.jobs.poll import job_id
from batchyard.jobs.spool import Spool
from batchyard.jobs.submit import is_blocked_by, search_again, wait_for_vendor
from batchyard.jobs.vendors import Vendor

_DELETED_AT_ONCE = 3
"""How often in a row the vendor is asked to delete what it keeps: often this job is the last of its batch, and nobody
looks after the jobs of a batch that is over."""
_PART_BYTES = 16_000_000
"""Answers that are held until they are a part, in about three copies."""
_HAS_FAILED_NOT = (None, STUCK, "late", "batch_over", "vanished", "no_results")
"""Reasons that are our own. Any other is what the vendor says that the whole job failed of: it answered no item."""


def collect(job: HeldJob) -> int | None:
    """Seconds until it is to be tried again; None: the job is done."""
    if job.row.provider_job_id is not None and job.entry is not None and not _settle_again(job):
        try:
            unheard = _store(job, job.vendor)
        except (JobMissing, JobRefused):
            wait = job.wait_for_missing()
            if wait is not None:
                return wait
            unheard = None if job.row.is_guess else left_items(job)
            job.change(reason=job.row.reason or "no_results")
        except VendorTrouble as trouble:
            if job.may_wait or is_blocked_by(job, trouble):
                return wait_for_vendor(job, trouble)
            unheard = left_items(job)
            job.change(reason="no_results")
        except LeaseHeld as held:
            return max(1, held.row.lease_until + 1 - job.tools.now)
        if unheard is not None:
            _note_unheard(job, unheard)
        elif job.row.is_guess:
            search_again(job)
            return None
    if job.row.reason == STUCK and _may_begin_again(job):
        return _begin_again(job)
    _note_answered(job)
    move_the_rest(job)
    return _finish(job)


def _may_begin_again(job: HeldJob) -> bool:
    """Whether there is enough left for another provider job, and enough time."""
    job.reread()
    if not job.is_wanted or job.entry is None:
        return False
    tools = job.tools
    has_time = may_restart(job.usual_seconds, job.entry.escalate_at, tools.now, tools.limits.pace)
    return has_time and left_items(job) >= job.vendor.limits.min_items


def _begin_again(job: HeldJob) -> int | None:
    """The same lane again: a job that is stuck says little about the next one."""
    wait = _clean_up(job)
    if wait is None:
        _remember(job)
        restarts = job.row.restarts + 1
        job.change(
            state=JobState.SUBMITTING,
            provider_job_id=None,
            submitted_at=0,
            restarts=restarts,
            reason=None,
            tries=0,
            missing_since=0,
        )
    return wait


def _settle_again(job: HeldJob) -> bool:
    """Whether every shard has settled, in which case whoever did that may have died before it was reported."""
    rows = job.tools.stores.shards.rows(job.batch.id, job.ref.numbers.start, job.ref.numbers[-1])
    settled = {row.number: row for row in rows if row.state is ShardState.SETTLED}
    if len(settled) < job.ref.shards:
        return False
    for shard in job_shards(job):
        _settle(job, shard, settled[shard.number])
    return True


def _note_unheard(job: HeldJob, items: int) -> None:
    """Keeps how many items the vendor took and said nothing of, before they run again. Those of a job that was
    submitted anew are some of those of the first one."""
    if items > job.row.unheard and job.row.reason in _HAS_FAILED_NOT:
        job.change(unheard=items)


def _note_answered(job: HeldJob) -> None:
    """Keeps how many items have a result of the vendor's, and since when, before others answer the rest."""
    if job.row.provider_job_id is not None and job.row.answered is None:
        job.change(answered=answered_items(job), ended_at=job.tools.now)


def _store(job: HeldJob, vendor: Vendor) -> int | None:
    """Of how many items the vendor has nothing; None if its job is not this one, by the ids of its results. Raises
    LeaseHeld if an executor that is gone, or slow, has one of the shards, VendorTrouble if what came are no results, or
    not all that there are: what came of them is stored all the same."""
    with Spool() as spool:
        has_others, trouble = _fetch(job, vendor, spool)
        if spool.is_empty and trouble is not None:
            raise trouble
        if spool.is_empty and has_others:
            if not job.row.is_guess:
                raise VendorTrouble(FailureReason.INVALID_RESPONSE, is_unknown=False)
            return None
        heard = 0
        for shard in job_shards(job):
            job.keep()
            if spool.holds(shard.number):
                done = _store_shard(job, vendor, shard, spool).done
                left = [position for position in range(shard.items) if not is_done(done, position)]
                heard += sum(spool.has(shard.number, position) for position in left)
        if trouble is not None:
            raise trouble
        unheard = left_items(job) - heard
        if unheard and _has_more(job, vendor, spool):
            raise VendorTrouble(FailureReason.INVALID_RESPONSE, is_unknown=False)
        return unheard


def _fetch(job: HeldJob, vendor: Vendor, spool: Spool) -> tuple[bool, VendorTrouble | None]:
    """Spools the results of the job's items. Whether there were others among them, and what broke the download off."""
    prefix, has_others = line_prefix(job.name), False
    try:
        for line in vendor.jobs.results(job_id(job)):
            job.keep()
            place = read_line_id(prefix, _id_of(vendor, line))
            if place is not None:
                spool.add(*place, line)
            else:
                has_others = True
    except VendorTrouble as trouble:
        return has_others, trouble
    return has_others, None


def _has_more(job: HeldJob, vendor: Vendor, spool: Spool) -> bool:
    """Whether the vendor says that it has answered more items than results came, and there is time to ask for them
    again: realtime would have them paid twice."""
    if not job.is_wanted or job.is_late or not job.may_wait:
        return False
    try:
        answered = vendor.jobs.look(job_id(job)).answered
    except (JobMissing, JobRefused):  # its results came: it is gone since
        return False
    return answered is not None and answered > spool.items


def _id_of(vendor: Vendor, line: bytes) -> str:
    try:
        return vendor.jobs.id_of(line)
    except (ValueError, KeyError, TypeError):  # no result; whose it might have been runs again
        return ""


def _store_shard(job: HeldJob, vendor: Vendor, shard: Shard, spool: Spool) -> ShardRow:
    """The shard's row afterwards."""
    rows, now = job.tools.stores.shards, job.tools.now
    owner = job.row.owner or ""
    try:
        claim = rows.claim(job.batch.id, shard.number, owner, now, now + job.tools.limits.lease_seconds)
    except ShardSettled as refused:
        _settle(job, shard, refused.row)
        return refused.row
    except ShardFenced as refused:
        return refused.row
    except LeaseHeld as refused:
        if refused.row.owner != owner:
            raise
        claim = refused.row
    row = _flush(job, vendor, shard, spool, claim)
    if row.state is ShardState.SETTLED:
        _settle(job, shard, row)
    else:
        with suppress(LeaseLost):
            rows.leave(job.batch.id, claim)
    return row


def _flush(job: HeldJob, vendor: Vendor, shard: Shard, spool: Spool, claim: ShardRow) -> ShardRow:
    """Writes the results that are new, in parts that fit into memory. The shard's row afterwards."""
    row = claim
    for found in _cut(_new_results(job, vendor, shard, spool, claim)):
        row = _write_part(job, shard, claim, row, found)
        job.keep()
    return row


def _new_results(
    job: HeldJob, vendor: Vendor, shard: Shard, spool: Spool, claim: ShardRow
) -> Iterator[tuple[int, Result]]:
    """(position, result) of each item that has one now and had none before. If the vendor says of others that its batch
    API is not for their model, that is remembered."""
    is_refused = False
    for item in shard_items(job, shard):
        if not is_done(claim.done, item.position):
            line = spool.line(shard.number, item.position)
            result = result_of(job, vendor, shard, item, line)
            if result is not None:
                yield item.position, result
            else:
                is_refused = is_refused or refuses_lane(vendor, line)
    if is_refused:
        job.tools.stores.native_lanes.note_unsupported(job.lane_id, job.tools.now)


def _cut(found: Iterator[tuple[int, Result]]) -> Iterator[dict[int, Result]]:
    """Runs of `found` that make a part each: of a usual shard all of it."""
    held, held_bytes = dict[int, Result](), 0
    for position, result in found:
        held[position] = result
        held_bytes += len(result.body or b"")
        if held_bytes >= _PART_BYTES:
            yield held
            held, held_bytes = {}, 0
    if held:
        yield held


def _write_part(job: HeldJob, shard: Shard, claim: ShardRow, row: ShardRow, found: dict[int, Result]) -> ShardRow:
    """The shard's row, which was `row`, with one part more."""
    batch, results = job.batch, list(found.values())
    key = part_key(batch.account_id, batch.id, shard.number, claim.version, len(row.parts))
    job.tools.stores.objects.put(key, encode_part(batch.id, results, job.lane))
    done = mark_done(row.done, list(found), shard.items)
    gained = tally(results)
    row = job.tools.stores.shards.flush(
        batch.id,
        claim,
        part_key=key,
        done=done,
        tally=row.tally + gained,
        lease_until=job.tools.now + job.tools.limits.lease_seconds,
        settled=done_count(done) == shard.items,
        now=job.tools.now,
    )
    job.tools.on_stored(job.lane.provider, gained)
    return row


def _settle(job: HeldJob, shard: Shard, row: ShardRow) -> None:
    job.tools.settle(shard_message(job.batch, shard), row)


def _finish(job: HeldJob) -> int | None:
    """Marks the job as done, once nothing of it is left at its vendor or that was given up."""
    wait = _clean_up(job)
    if wait is None:
        _remember(job)
        job.change(state=JobState.DONE, lease_until=0)
    return wait


def _clean_up(job: HeldJob) -> int | None:
    """Deletes what the vendor keeps of the job, if that can be had. Seconds until that is to be tried again, which it
    is while the batch is open; if it is given up, the row's `reason` says so, which the log shows."""
    if job.row.provider_job_id is None:
        return None
    for tries_left in reversed(range(_DELETED_AT_ONCE)):
        try:
            job.vendor.jobs.clean_up(job.row.provider_job_id)
        except VendorTrouble as trouble:
            if not tries_left and job.row.tries < TRIES_AT_MOST:
                return wait_for_vendor(job, trouble)
            if not tries_left:
                job.change(reason=job.row.reason or "not_deleted")
        except (JobMissing, JobRefused):
            return None
        else:
            return None
    return None


def _remember(job: HeldJob) -> None:
    """Keeps how long the job took, for the plans of later batches. A job with a `reason` has not finished. Nothing is
    learned of a lane that has refused jobs meanwhile."""
    now, row, lanes = job.tools.now, job.row, job.tools.stores.native_lanes
    if row.submitted_at and not lanes.history(job.lane_id).is_unsupported(now):
        lanes.ended(job.lane_id, now - row.submitted_at, now, has_finished=row.reason is None)
