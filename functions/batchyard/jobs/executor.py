"""The executor: takes a provider job that is due and brings it on, state by state, until it has to wait.

The row says when the job is due again, and Sweep, every minute, starts what is. Whoever comes before that, or while
somebody holds the job, has nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from batchyard.adapters.aws.caller_keys import CallerKeyGone
from batchyard.adapters.aws.secrets import SecretMissing
from batchyard.core.errors import LeaseLost
from batchyard.core.jobs import JobHeld, JobRef, JobRow, JobState
from batchyard.jobs.collect import collect
from batchyard.jobs.held import SECRET_MISSING, HeldJob, Tools
from batchyard.jobs.poll import poll
from batchyard.jobs.submit import submit

_ACTIONS: dict[JobState, Callable[[HeldJob], int | None]] = {
    JobState.SUBMITTING: submit,
    JobState.RUNNING: poll,
    JobState.STOPPING: poll,
    JobState.COLLECTING: collect,
}


def attend(ref: JobRef, tools: Tools, *, vendor_says_over: bool = False) -> JobRow | None:
    """The job's row as it was left; None if there was nothing to do. `vendor_says_over`: then it is looked at before it
    is due. Raises whatever went wrong at AWS: the job is given back first, and has to be attended to again."""
    stores = tools.stores
    batch = stores.batches.get(ref.batch, consistent=True)
    if batch is None or batch.plan is None:
        return None
    try:
        row = stores.jobs.claim(ref, tools.new_owner(), tools.now, tools.now + tools.limits.lease_seconds)
    except JobHeld:
        return None
    job = HeldJob(ref, row, batch, tools)
    try:
        is_news = vendor_says_over and row.provider_job_id is not None
        if tools.now < row.due_at and row.fence is None and not is_news:
            job.change(lease_until=0)
            return None
        _advance(job)
    except LeaseLost:
        return None
    except Exception:
        with suppress(Exception):  # what went wrong first is what gets told
            job.change(lease_until=0)
        raise
    return job.row


def _advance(job: HeldJob) -> None:
    while not job.row.is_done:
        try:
            wait = _ACTIONS[job.row.state](job)
        except SecretMissing:
            job.change(tries=job.row.tries + 1, reason=SECRET_MISSING)
            wait = _without_key(job)
        except CallerKeyGone:  # the batch has ended
            job.change(state=JobState.DONE, lease_until=0, reason="batch_over")
            return
        if wait is not None:
            job.change(lease_until=0, due_at=job.tools.now + wait)
            return


def _without_key(job: HeldJob) -> int | None:
    """Nobody can ask the vendor anything, and realtime needs the same key. A late job waits, too: when the key is back,
    what its vendor has finished and billed is still to be collected."""
    if not job.is_wanted:
        job.change(state=JobState.COLLECTING, provider_job_id=None)
        return None
    return job.block(SECRET_MISSING)
