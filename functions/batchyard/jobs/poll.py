"""Poll: look how far a job is at its vendor, and have it stopped if it is late or stuck, or its batch is over.

the vendor says                     what follows
----------------------------------  -----------------------------------------------------------
it is over                          collect: whatever its state is called, there may be results
it failed for a passing reason      submit it again
it does not know it                 ask again for some minutes; then collect: nothing, so everything is moved
it runs, and is in time             wait
it runs, and is late, stuck or      ask it to stop, wait until it has, but not for ever
unwanted
"""

from __future__ import annotations

import math
from contextlib import suppress

from batchyard.adapters.providers.provider_jobs import JobMissing, JobRefused, JobView, VendorTrouble
from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.jobs import STOP_PATIENCE_SECONDS, JobState, restart_at
from batchyard.core.retry import FailureReason
from batchyard.jobs.held import STUCK, HeldJob
from batchyard.jobs.submit import search_again, wait_for_vendor


def poll(job: HeldJob) -> int | None:
    """Seconds until the job is to be looked at again; None: at once, in its new state."""
    tools = job.tools
    reason = _why_stop(job) if job.row.state is JobState.RUNNING else None
    if reason is not None:
        job.change(state=JobState.STOPPING, stop_at=tools.now, reason=reason, tries=0)
    is_stopping = job.row.state is JobState.STOPPING
    if is_stopping and tools.now >= job.row.stop_at + round(STOP_PATIENCE_SECONDS * tools.limits.pace):
        job.change(state=JobState.COLLECTING, tries=0)
        return None
    try:
        view = job.vendor.jobs.look(job_id(job))
        if is_stopping and not view.is_over:
            job.vendor.jobs.cancel(job_id(job))
    except (JobMissing, JobRefused):
        wait = job.wait_for_missing()
        if wait is not None:
            return wait
        if job.row.is_guess:
            search_again(job)
        else:
            job.change(state=JobState.COLLECTING, tries=0, reason="vanished")
        return None
    except VendorTrouble as trouble:
        return _while_in_time(job, wait_for_vendor(job, trouble))
    if job.row.missing_since or job.row.tries:
        job.change(missing_since=0, tries=0)
    return _ended(job, view) if view.is_over else _while_in_time(job, job.seconds_to_next_poll())


def job_id(job: HeldJob) -> str:
    if job.row.provider_job_id is None:
        raise BooksDoNotBalance(f"job {job.ref.number} of {job.batch.id} runs and has no id")
    return job.row.provider_job_id


def _why_stop(job: HeldJob) -> str | None:
    """Why a job that runs has to stop; None if it may go on."""
    if not job.is_wanted:
        return "batch_over"
    if job.is_late:
        return "late"
    return STUCK if job.tools.now >= _restart_at(job) else None


def _while_in_time(job: HeldJob, wait: int) -> int:
    """No longer than until the job would have to be stopped."""
    if job.row.state is JobState.STOPPING or job.entry is None:
        return wait
    now = job.tools.now
    return max(1, math.ceil(min(wait, job.entry.escalate_at - now, _restart_at(job) - now)))


def _restart_at(job: HeldJob) -> float:
    if job.entry is None:
        return math.inf
    return restart_at(job.row, job.usual_seconds, job.entry.escalate_at, job.tools.limits.pace)


def _ended(job: HeldJob, view: JobView) -> int | None:
    if view.refuses_lane:
        job.tools.stores.native_lanes.note_unsupported(job.lane_id, job.tools.now)
    if view.error is not None and view.may_pass and job.is_wanted and not job.is_late:
        trouble = VendorTrouble(FailureReason.THROTTLED, is_unknown=False)
        with suppress(JobMissing, JobRefused, VendorTrouble):
            job.vendor.jobs.clean_up(job_id(job))
        job.change(state=JobState.SUBMITTING, provider_job_id=None, submitted_at=0)
        return wait_for_vendor(job, trouble)
    job.change(state=JobState.COLLECTING, tries=0, reason=view.error or job.row.reason)
    return None
