"""Submit: hand a job to its vendor, exactly once.

The row says `asked_at` before the vendor is asked, and forgets it when the answer is known. If it is set, an executor
died or an answer was lost in between: the job is looked for by its name first, and another one is made only when the
vendor has had time to list it and does not. If the vendor cannot say what it has until the job is late, others do its
items, and it may be that the vendor does them, too. Of a vendor without names a job that looks right is taken; if the
ids of its results, or that it is gone, say that it was another one's, the search goes on.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

from batchyard.adapters.providers.provider_jobs import (
    JobMissing,
    JobRefused,
    JobsUnsupported,
    Submission,
    VendorTrouble,
)
from batchyard.core.estimates import Room
from batchyard.core.jobs import LOOK_AFTER_SECONDS, JobState, retry_wait_seconds
from batchyard.core.messages import shard_message
from batchyard.core.retry import FailureReason
from batchyard.jobs.held import HeldJob
from batchyard.jobs.lines import job_lines, open_shards
from batchyard.jobs.vendors import Vendor

_FULL_SECONDS = 60
"""After that a job that does not fit into its batch's price limit is tried again."""


def submit(job: HeldJob) -> int | None:
    """Seconds until the job is to be looked at again; None: at once, in its new state."""
    is_over = job.is_late or not job.is_wanted
    if job.row.asked_at:
        return _find(job, is_over)
    if is_over:
        job.change(state=JobState.COLLECTING, reason=job.row.reason or _why(job))
        return None
    return _submit(job)


def _find(job: HeldJob, is_over: bool) -> int | None:
    """Looks for the job of a submission whose answer was lost."""
    tools = job.tools
    ready_in = job.row.asked_at + round(LOOK_AFTER_SECONDS * tools.limits.pace) - tools.now
    if ready_in > 0:
        return ready_in
    vendor = job.vendor
    submission = replace(_submission(job, sum(1 for _ in job_lines(job, vendor))), strangers=_strangers(job))
    try:
        found = _listed(vendor, submission)
    except VendorTrouble as trouble:
        if not is_over or job.may_wait or is_blocked_by(job, trouble):
            return wait_for_vendor(job, trouble)
        unheard = max(job.row.unheard, submission.items)
        job.change(state=JobState.COLLECTING, asked_at=0, reason=_why(job), unheard=unheard)
        return None
    if not found:
        job.change(asked_at=0)
        return None
    changes = {"provider_job_id": found[0], "is_guess": True, "asked_at": 0, "submitted_at": job.row.asked_at}
    job.change(state=JobState.RUNNING, tries=0, **changes)
    _cancel_others(job, vendor, found[1:])
    return None if is_over else job.seconds_to_next_poll()


def _listed(vendor: Vendor, submission: Submission) -> list[str]:
    """The jobs that may be this submission's. Raises VendorTrouble."""
    try:
        return [each for each in vendor.jobs.find(submission) if each not in submission.strangers]
    except JobMissing:
        return []
    except JobRefused as refused:
        raise VendorTrouble(FailureReason.INVALID_RESPONSE, is_unknown=False) from refused


def _strangers(job: HeldJob) -> frozenset[str]:
    """The vendor's jobs that are surely not this one: a vendor without names has several that look alike."""
    rows = job.tools.stores.jobs.rows(job.batch.id)
    known = (row.provider_job_id for row in rows if row.number != job.ref.number and not row.is_guess)
    return frozenset({*job.row.strangers, *filter(None, known)})


def search_again(job: HeldJob) -> None:
    """The job that was found is not ours after all: leave it alone, and look for ours, which may never have been
    made."""
    strangers = (*job.row.strangers, job.row.provider_job_id or "")
    changes = {"asked_at": job.row.submitted_at, "provider_job_id": None, "strangers": strangers, "reason": None}
    job.change(state=JobState.SUBMITTING, tries=0, missing_since=0, **changes)


def _cancel_others(job: HeldJob, vendor: Vendor, others: list[str]) -> None:
    """Stops the further jobs that one submission has made: we do not repeat it, but a proxy on the way may."""
    for other in others:
        try:
            vendor.jobs.cancel(other)
        except (JobMissing, JobRefused, VendorTrouble):
            continue


def _submit(job: HeldJob) -> int | None:
    tools, lane = job.tools, job.lane
    vendor = job.vendor
    room = _room(job)
    if room is Room.FULL:
        return round(_FULL_SECONDS * tools.limits.pace)
    if room is Room.SPENT:  # shard by shard in realtime some of it may still fit
        job.change(state=JobState.COLLECTING, reason="max_price")
        return None
    job.change(attempt=job.row.attempt + 1, asked_at=tools.now, provider=lane.provider, model=lane.model)
    lines = job_lines(job, vendor)
    first = next(lines, None)
    if first is None:
        job.change(state=JobState.COLLECTING, asked_at=0, reason="nothing_to_submit")
        return None
    try:
        job_id = vendor.jobs.submit(_submission(job, 0), chain([first], lines))
    except JobsUnsupported:
        tools.stores.native_lanes.note_unsupported(job.lane_id, tools.now)
        job.change(state=JobState.COLLECTING, asked_at=0, reason="unsupported")
        return None
    except JobRefused as refused:
        if refused.refuses_lane:
            tools.stores.native_lanes.note_unsupported(job.lane_id, tools.now)
        job.change(state=JobState.COLLECTING, asked_at=0, reason=refused.code)
        return None
    except VendorTrouble as trouble:
        if not trouble.is_unknown:
            job.change(asked_at=0)
        # A caller's key that is refused is the caller's error, as in realtime. A key that may not make jobs may well
        # call models; whoever restricted it meant that, so that there is nothing to wait for.
        if trouble.reason.blocks_the_lane and (job.batch.caller_pays or trouble.is_forbidden):
            job.change(state=JobState.COLLECTING, asked_at=0, reason=str(trouble.reason))
            return None
        return wait_for_vendor(job, trouble)
    changes = {"provider_job_id": job_id, "is_guess": False, "asked_at": 0, "submitted_at": tools.now}
    job.change(state=JobState.RUNNING, tries=0, **changes)
    return job.seconds_to_next_poll()


def _room(job: HeldJob) -> Room:
    """Whether the batch may cost what the job may cost."""
    limit = job.batch.max_price_picousd
    if limit is None:
        return Room.FREE
    left = open_shards(job)
    estimate = sum(shard_message(job.batch, shard).estimate_picousd for shard, _ in left.values())
    return job.tools.stores.budgets.start(job.batch.id, left.keys(), estimate, limit)


def wait_for_vendor(job: HeldJob, trouble: VendorTrouble) -> int:
    """Seconds until a vendor in trouble is asked again, in this state."""
    if is_blocked_by(job, trouble):
        return job.block(str(trouble.reason))
    job.change(tries=job.row.tries + 1)
    return retry_wait_seconds(job.row.tries, trouble.retry_after_seconds, job.tools.limits.pace)


def is_blocked_by(job: HeldJob, trouble: VendorTrouble) -> bool:
    """Whether a job that is wanted has to wait until people act, however often it is tried: a caller's own key is the
    caller's error."""
    return trouble.reason.blocks_the_lane and not job.batch.caller_pays and job.is_wanted


def _submission(job: HeldJob, items: int) -> Submission:
    return Submission(job.name, job.lane.model, items, job.row.asked_at, job.ref.to_json().encode())


def _why(job: HeldJob) -> str:
    return "late" if job.is_wanted else "batch_over"
