"""All jobs of all vendors: made, run as far as their clock says, cancelled. Nothing runs by itself: a job catches up
when somebody looks at it, and then has what it would have had anyway."""

from __future__ import annotations

import hashlib
import math
import struct
from typing import Any

from local.provider.answering import Answering, Caller, Item
from local.provider.answers.content import CHARS_PER_TOKEN
from local.provider.clock import JobClock
from local.provider.dialects import dialect_of
from local.provider.faults import Dice, Fault, JobFault, parse_job_fault, wishes_of
from local.provider.jobs.files import Files
from local.provider.jobs.job import ENDED, Job, JobItem, LineError, Order, Outcome
from local.provider.ledger import hash_request
from local.provider.wire import Refused

_NOTHING_OF_EXPIRED = ("gemini",)
"""Vendors that give no results of a job that has expired; so nothing of it is billed."""
_NEVER_DONE = ("hang", "stall")


class Runs:
    def __init__(self, answering: Answering, clock: JobClock) -> None:
        self.answering = answering
        self.clock = clock
        self.reset()

    def reset(self) -> None:
        self.files = Files(lambda number: self._name("file", number))
        self._jobs: dict[str, Job] = {}

    def start(self, order: Order, prefix: str) -> Job:
        """Raises Refused above the most jobs side by side."""
        config = self.answering.config
        if config.jobs_at_once and sum(1 for _ in self._unfinished(order.caller)) >= config.jobs_at_once:
            raise Refused(429, "Too many jobs are unfinished. Wait until one has ended.", code="batch_limit_exceeded")
        now = self.clock.now()
        number = len(self._jobs)
        digest = hashlib.blake2b(b"\n".join(item.raw for item in order.items), digest_size=16).digest()
        dice = Dice(config.seed, digest, number)
        seconds = dice.latency_ms(config.job_seconds, config.job_sigma) if config.job_sigma else config.job_seconds
        job = Job(prefix + self._name("job", number), order, now, seconds, cancel_seconds=config.cancel_seconds)
        drawn = dice.draw(config.job_faults)
        job.fault = parse_job_fault(drawn) if drawn else None
        self._read_wishes(job)
        job.errors = list(order.errors)
        if job.fault is not None and job.fault.kind == "invalid":
            job.errors.append(LineError("simulated", "The job failed validation, as it was asked to."))
        self._put_in_order(job)
        self._jobs[job.id] = job
        return job

    def get(self, caller: Caller, vendor: str, job_id: str) -> Job:
        """The job, caught up. Raises Refused unless the vendor knows it and it is the caller's."""
        job = self._jobs.get(job_id)
        if (
            job is None
            or (job.order.caller, job.order.vendor) != (caller, vendor)
            or not job.is_known(self.clock.now())
        ):
            raise Refused(404, f"No batch found with id '{job_id}'.", param="id")
        self.catch_up(job)
        return job

    def of(self, caller: Caller, vendor: str) -> list[Job]:
        """Newest first, not caught up: there may be thousands."""
        now = self.clock.now()
        return [
            job
            for job in reversed(self._jobs.values())
            if (job.order.caller, job.order.vendor) == (caller, vendor) and job.is_known(now)
        ]

    def catch_up(self, job: Job) -> None:
        """Runs what should have been run by now."""
        if job.is_settled:
            return
        now = self.clock.now()
        for item in list(job.due(now)):
            self._run(job, item, now)
        job.is_settled = now >= job.ended_at

    def cancel(self, job: Job) -> None:
        """What is done by now is kept."""
        self.catch_up(job)
        if job.cancel_at == math.inf:
            job.cancel_at = self.clock.now()

    def enqueued_tokens(self, caller: Caller, model: str) -> int:
        """Of all unfinished jobs."""
        return sum(job.order.tokens for job in self._unfinished(caller) if job.order.model == model)

    def to_dicts(self) -> list[dict[str, Any]]:
        """For tests: everything about every job, oldest first."""
        for job in self._jobs.values():
            self.catch_up(job)
        return [self._to_dict(job) for job in self._jobs.values()]

    def _unfinished(self, caller: Caller) -> list[Job]:
        now = self.clock.now()
        return [
            job
            for job in self._jobs.values()
            if job.order.caller == caller and job.is_known(now) and now < job.ended_at
        ]

    def _read_wishes(self, job: Job) -> None:
        """What its items wish for the whole job. A wish that nobody knows is that item's error, not the job's."""
        for item in job.order.items:
            if b"simulate" not in item.raw:
                continue
            try:
                attempt = self.answering.ledger.attempts(hash_request(item.body)) + 1
                wishes = wishes_of(item.body, item.raw, attempt)
            except ValueError:
                continue
            job.fault = wishes.job_fault or job.fault
            job.seconds = wishes.numbers.get("job_seconds", job.seconds)

    def _put_in_order(self, job: Job) -> None:
        """Decides when each item is done, by its content, and which ones the job's fault hits."""
        seed = struct.pack(">q", self.answering.config.seed)
        items = sorted(
            job.order.items, key=lambda item: hashlib.blake2b(item.custom_id.encode(), key=seed, digest_size=8).digest()
        )
        fault = job.fault or JobFault("none", 0)
        loses_all = fault.kind == "expire" and job.order.vendor in _NOTHING_OF_EXPIRED
        hit = 0 if loses_all else round(len(items) * fault.percent / 100)
        for place, item in enumerate(items, 1):
            item.share = place / len(items)
            if fault.kind == "fail_items":
                item.fails = place <= hit
            elif fault.kind in ("stall", "expire") and place > hit:
                item.share = math.inf

    def _run(self, job: Job, item: JobItem, now: float) -> None:
        dialect = dialect_of(job.order.vendor)
        endpoint = dialect.find(item.endpoint)
        assert endpoint is not None, item.endpoint
        asked = self.answering.receive(job.order.caller, dialect, endpoint, item.body, item.raw, now)
        asked.mode = "native"
        try:
            self.answering.read_wishes(asked, item.raw)
            fault = asked.wishes.fault
            if fault is None and self.answering.config.item_faults:
                dice = Dice(self.answering.config.seed, asked.request, asked.attempt)
                fault = dice.fault(self.answering.config.item_faults)
            if fault is not None and fault.kind in _NEVER_DONE:
                item.share = math.inf
                return
            if fault is not None and fault.kind == "missing":
                item.outcome = Outcome(200, b"", asked.request, is_missing=True)
                return
            if item.refusal is not None:
                raise item.refusal
            if item.fails or fault is not None:
                raise _refusal(fault)
            item.outcome = self._answer(asked, now)
        except Refused as refused:
            item.outcome = Outcome(refused.status, dialect.error_body(refused), asked.request)

    def _answer(self, asked: Item, now: float) -> Outcome:
        content, bill = self.answering.answer(asked, now)
        self.answering.ledger.billed(asked.request, bill)
        return Outcome(200, content, asked.request, (bill.prompt, bill.cached, bill.written, bill.output))

    def _to_dict(self, job: Job) -> dict[str, Any]:
        now = self.clock.now()
        outcomes = [item.outcome for item in job.order.items]
        return {
            "id": job.id,
            "provider": job.order.caller.provider,
            "vendor": job.order.vendor,
            "name": job.order.name,
            "metadata": job.order.metadata,
            "state": str(job.state(now)),
            "is_known": job.is_known(now),
            "is_ended": job.state(now) in ENDED,
            "is_deleted": job.is_deleted,
            "created_at": job.created_at,
            "ended_at": job.ended_at if job.ended_at < math.inf else None,
            "items": len(outcomes),
            "succeeded": sum(1 for outcome in outcomes if outcome is not None and outcome.status == 200),
            "failed": sum(1 for outcome in outcomes if outcome is not None and outcome.status != 200),
            "custom_ids": [item.custom_id for item in job.order.items],
        }

    def _name(self, kind: str, number: int) -> str:
        named = f"{self.answering.config.seed}:{kind}:{number}".encode()
        return hashlib.blake2b(named, digest_size=12).hexdigest()


def prompt_tokens(items: list[JobItem]) -> int:
    return sum(len(item.raw) // CHARS_PER_TOKEN + 1 for item in items)


def _refusal(fault: Fault | None) -> Refused:
    """How an item fails; a 500 if the fault is of a kind that only a connection has."""
    if fault is not None and fault.kind == "status":
        return Refused(fault.status, "Simulated failure of an item.", code="simulated")
    if fault is not None and fault.kind in ("insufficient_quota", "resource_unavailable"):
        return Refused(429, "Simulated failure of an item.", kind=fault.kind, code=fault.kind)
    return Refused(500, "Simulated failure of an item.", code="simulated")
