"""A vendor's batch API in memory, by a clock of its own, for tests that run the native executor thousands of times. It
passes the contract tests of the real clients (tests/adapters/test_vendor_jobs.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import orjson

from batchyard.adapters.providers.openai_replies import Received, reply_of
from batchyard.adapters.providers.provider_jobs import (
    JobLine,
    JobMissing,
    JobRefused,
    JobResult,
    JobsUnsupported,
    JobView,
    Submission,
    VendorTrouble,
)
from batchyard.core.retry import FailureReason

PASSING, FINAL = 500, 400


@dataclass
class VendorJob:
    """`answered`: line id -> status. `ends_at`: None if it never ends. `done_share`: of its items, when it is over."""

    id: str
    name: str
    lines: list[JobLine]
    made_at: float
    ends_at: float | None
    done_share: float = 1.0
    answered: dict[str, int] = field(default_factory=dict)
    cancelled_at: float | None = None
    is_deleted: bool = False
    error: str | None = None


@dataclass
class MemoryVendor:
    """Stands for `VendorJobs`. `seconds`: what a job takes; None: for ever. `done_share`: of the items of a job that
    does not end well, how many were finished. `status_of`: an item's body -> the status of its answer; None: the vendor
    loses it. `refused`: jobs that fail at once, for want of room. `stuck`: of its jobs, the first ones never end, and
    all others end well. `refuses_key`: what is raised instead of taking a job. `refuses_lane`: when it says that its
    batch API is not for the model: `submit`, `look`, or never. `keeps`: so many calls to delete things fail."""

    clock: Callable[[], float]
    seconds: float | None = 100.0
    done_share: float = 1.0
    cancel_seconds: float = 20.0
    status_of: Callable[[bytes], int | None] = lambda body: 200
    is_unsupported: bool = False
    refuses_lane: str = ""
    refuses_key: VendorTrouble | None = None
    forgets: bool = False
    refused: int = 0
    keeps: int = 0
    stuck: int = 0
    jobs: dict[str, VendorJob] = field(default_factory=dict)
    paid: Counter[bytes] = field(default_factory=Counter)
    calls: list[str] = field(default_factory=list)

    def submit(self, submission: Submission, lines: Iterable[JobLine]) -> str:
        self.calls.append("submit")
        taken = list(lines)
        if self.refuses_lane == "submit":
            raise JobRefused("not_available_for_plan", refuses_lane=True)
        if self.is_unsupported:
            raise JobsUnsupported("none")
        if self.refuses_key is not None:
            raise self.refuses_key
        now = self.clock()
        job = VendorJob(f"vb_{len(self.jobs)}", submission.name, taken, now, None)
        job.done_share = 1.0 if 0 < self.stuck <= len(self.jobs) else self.done_share
        if self.refuses_lane == "look":
            job.error, job.ends_at = "model_not_found", now
        elif self.refused > 0:
            self.refused -= 1
            job.error, job.ends_at = "token_limit_exceeded", now
        elif self.stuck <= len(self.jobs) and self.seconds is not None:
            job.ends_at = now + self.seconds
        self.jobs[job.id] = job
        return job.id

    def find(self, submission: Submission) -> list[str]:
        self.calls.append("find")
        return [job.id for job in self.jobs.values() if job.name == submission.name]

    def look(self, job_id: str) -> JobView:
        self.calls.append("look")
        job = self._job(job_id)
        if job.error is not None:
            is_refused = job.error == "model_not_found"
            return JobView(True, job.error, may_pass=not is_refused, refuses_lane=is_refused)
        is_over = self._is_over(job)
        return JobView(is_over, answered=len(self._answers(job)) if is_over and job.cancelled_at is None else None)

    def results(self, job_id: str) -> Iterator[bytes]:
        self.calls.append("results")
        job = self._job(job_id)
        if job.is_deleted:
            raise JobMissing(job_id)
        for line in reversed(job.lines):
            status = self._answers(job).get(line.id)
            if status is not None:
                yield orjson.dumps([line.id, status])

    def id_of(self, line: bytes) -> str:
        return str(orjson.loads(line)[0])

    def read(self, line: bytes) -> JobResult:
        line_id, status = orjson.loads(line)
        usage = {"usage": {"prompt_tokens": 10, "completion_tokens": 5}}
        error = {"message": "no", "type": "x"} | ({"code": "model_not_found"} if status == 404 else {})
        body = {"choices": [{}]} | usage if status == 200 else {"error": error}
        return JobResult(line_id, reply_of(status, {}, Received(orjson.dumps(body)), 0.0))

    def cancel(self, job_id: str) -> None:
        self.calls.append("cancel")
        job = self._job(job_id)
        if not self._is_over(job) and job.cancelled_at is None:
            job.cancelled_at = self.clock()
            job.ends_at = self.clock() + self.cancel_seconds

    def clean_up(self, job_id: str) -> None:
        self.calls.append("clean_up")
        if self.keeps > 0:
            self.keeps -= 1
            raise VendorTrouble(FailureReason.SERVER_ERROR, is_unknown=True)
        self._job(job_id).is_deleted = True

    def close(self) -> None: ...

    def _job(self, job_id: str) -> VendorJob:
        if job_id not in self.jobs or self.forgets:
            raise JobMissing(job_id)
        return self.jobs[job_id]

    def _is_over(self, job: VendorJob) -> bool:
        is_over = job.ends_at is not None and self.clock() >= job.ends_at
        if is_over:
            self._answers(job)
        return is_over

    def _answers(self, job: VendorJob) -> dict[str, int]:
        """What it has done, and billed."""
        if not job.answered and job.error is None:
            for line in job.lines[: round(job.done_share * len(job.lines))]:
                status = self.status_of(line.body)
                if status is not None:
                    job.answered[line.id] = status
                    self.paid[line.body] += status == 200
        return job.answered
