"""A job's items: as lines that its vendor gets, and, with the vendor's answers, as results.

A line's id says which item it is, so that nothing depends on the order in which a vendor answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain

from batchyard.adapters.providers.provider_jobs import JobLine
from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable, refusal
from batchyard.core import exact_json
from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.families import families
from batchyard.core.items import WorkItem, read_work_lines
from batchyard.core.jobs import line_id, line_prefix
from batchyard.core.keys import manifest_key, work_key
from batchyard.core.refusals import ErrorDetails, says_no_jobs
from batchyard.core.results import Outcome, Result, failed
from batchyard.core.sharding import MANIFEST_RECORD_BYTES, Shard, read_manifest
from batchyard.core.shards import done_count, is_done
from batchyard.core.usage import discounted_picousd
from batchyard.jobs.held import HeldJob
from batchyard.jobs.vendors import Vendor


def job_shards(job: HeldJob) -> list[Shard]:
    """The job's records of its batch's manifest."""
    batch, numbers = job.batch, job.ref.numbers
    key = manifest_key(batch.account_id, batch.id, job.plan.run)
    start, length = numbers.start * MANIFEST_RECORD_BYTES, len(numbers) * MANIFEST_RECORD_BYTES
    return read_manifest(job.tools.stores.objects.get(key, start, length))


def open_shards(job: HeldJob) -> dict[int, tuple[Shard, bytes]]:
    """Number -> the record of a shard that has not settled, and which of its items are done: of a job that is submitted
    anew. Of any other one nothing is done."""
    done = _done(job) if job.row.restarts else {}
    found = {shard.number: (shard, done.get(shard.number, b"")) for shard in job_shards(job)}
    return {number: each for number, each in found.items() if done_count(each[1]) < each[0].items}


def _done(job: HeldJob) -> dict[int, bytes]:
    rows = job.tools.stores.shards.rows(job.batch.id, job.ref.numbers.start, job.ref.numbers[-1])
    return {row.number: row.done for row in rows}


def left_items(job: HeldJob) -> int:
    """How many of the job's items have no result."""
    done = _done(job)
    return sum(shard.items - done_count(done.get(shard.number, b"")) for shard in job_shards(job))


def answered_items(job: HeldJob) -> int:
    """How many of the job's items have a result."""
    return sum(done_count(done) for done in _done(job).values())


def shard_items(job: HeldJob, shard: Shard) -> list[WorkItem]:
    batch = job.batch
    key = work_key(batch.account_id, batch.id, job.plan.run)
    return read_work_lines(job.tools.stores.objects.get(key, shard.offset, shard.length))


def job_lines(job: HeldJob, vendor: Vendor) -> Iterator[JobLine]:
    """What the vendor gets, one shard in memory at a time; of those, items whose prompts begin alike one after the
    other, for its prompt cache. Without what is done, and the items that it cannot do. After the last line the lease
    is whole again: nobody else may take the job while its vendor is asked."""
    prefix = line_prefix(job.name)
    for shard, done in open_shards(job).values():
        job.keep()
        to_do = (each for each in shard_items(job, shard) if not is_done(done, each.position))
        for item in chain.from_iterable(families(to_do)):
            asked = vendor.translator.request(shard.endpoint or job.batch.endpoint, item.body, job.lane)
            if isinstance(asked, ProviderRequest):
                yield JobLine(line_id(prefix, shard.number, item.position), asked.path, asked.body)
    job.change()


def result_of(job: HeldJob, vendor: Vendor, shard: Shard, item: WorkItem, line: bytes | None) -> Result | None:
    """The item's result; None if it has to run again: it failed for a reason that may pass, or that only realtime can
    judge. `line`: what the vendor has of it."""
    endpoint = shard.endpoint or job.batch.endpoint
    asked = vendor.translator.request(endpoint, item.body, job.lane)
    if isinstance(asked, Untranslatable):
        return _result(item, refusal(asked, endpoint), vendor)
    reply = _reply(vendor, line) if line is not None else None
    if isinstance(reply, Answer) and asked.read_answer is not None:
        reply = asked.read_answer(reply, job.tools.clock())
    if reply is None or (reply.failure is not None and not _is_final(reply)):
        return None
    return _result(item, reply, vendor)


def _reply(vendor: Vendor, line: bytes) -> ProviderReply | None:
    """What the vendor says of an item; None if nobody can read it, so that one line cannot hold up all others."""
    try:
        return vendor.jobs.read(line).reply
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
        return None


def refuses_lane(vendor: Vendor, line: bytes | None) -> bool:
    """Whether the vendor says of an item that its batch API is not for the model."""
    reply = _reply(vendor, line) if line is not None else None
    return reply is not None and _is_about_the_lane(reply)


def _is_final(reply: ProviderReply) -> bool:
    """Whether the item would fail in realtime, too."""
    reason = reply.failure
    is_settled = reason is not None and not reason.may_be_retried and not reason.blocks_the_lane
    return is_settled and not _is_about_the_lane(reply)


def _is_about_the_lane(reply: ProviderReply) -> bool:
    """OpenAI has models that calls know and jobs do not: each item of such a job fails with `model_not_found`."""
    if not isinstance(reply, Answer) or reply.failure is None:
        return False
    try:
        return says_no_jobs(replace(ErrorDetails.of(exact_json.loads_anything(reply.body)), message=""))
    except ValueError:
        return False


def _result(item: WorkItem, reply: ProviderReply, vendor: Vendor) -> Result:
    if not isinstance(reply, Answer):
        return failed(item.index, item.custom_id, str(reply.failure), reply.failure.message)
    outcome = Outcome.SUCCEEDED if reply.failure is None else Outcome.FAILED
    result = partial(Result, item.index, item.custom_id, outcome, reply.status, reply.request_id, reply.body)
    if reply.failure is not None:
        return result()
    realtime = vendor.price.cost_picousd(reply.usage)
    cost = discounted_picousd(realtime, vendor.limits.price_percent)
    return result(usage=reply.usage, cost_picousd=cost, realtime_picousd=realtime)
