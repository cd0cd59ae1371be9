"""Trigger: a schedule. Removes files whose time is over and what batches hold of files that are gone, starts batches
again that have no running execution, sends shards again that have no owner, also those that SQS gave up, and starts
deliveries to webhooks that are due."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from batchyard.adapters.aws.lanes import LaneView
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Batch
from batchyard.core.json_types import JsonObject
from batchyard.core.lanes import LaneId
from batchyard.handlers import resources
from batchyard.settings import SweepSettings, load
from batchyard.steps.expire import expire
from batchyard.steps.fail_over import fail_over
from batchyard.steps.purge import purge
from batchyard.steps.recover import recover, start_due_jobs
from batchyard.steps.sweep import Revived, SentAgain, SweepLimits, sweep

_PURGED_AT_MOST = 20_000
"""Objects per call; the next sweep takes the next ones."""

_DELIVERIES_AT_MOST = 400
"""Started per call; the next sweep starts the next ones."""

logger = Logger()

_MILLISECONDS_TO_SPARE = 15_000
"""What looking after one more batch takes at worst, with AWS slow and all its shards to be sent again."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    """Every duty has its turn; then what went wrong with one is raised. The open batches come last, because with very
    many of them no time may be left."""
    settings = load(SweepSettings)
    now = int(time.time())

    def has_time() -> bool:
        return bool(context.get_remaining_time_in_millis() > _MILLISECONDS_TO_SPARE)

    duties: list[Callable[[], JsonObject]] = [
        lambda: _expire(now),
        lambda: _deliver(now, has_time),
        lambda: _look_at_oldest(now, settings.completion_window_seconds),
        lambda: _sweep(now, settings, has_time),
    ]
    done: JsonObject = {}
    faults = []
    for duty in duties:
        try:
            done |= duty()
        except Exception as fault:
            faults.append(fault)
    if faults:
        raise ExceptionGroup("duties of the sweep that failed", faults)
    return done


def _expire(now: int) -> JsonObject:
    stores = resources.stores()
    expired = expire(now=now, stores=stores)
    if expired:
        logger.info("expired", extra={"files": expired})
    return {"expired": expired, "purged": purge(stores.leftovers.all(), at_most=_PURGED_AT_MOST, stores=stores)}


def _deliver(now: int, has_time: Callable[[], bool]) -> JsonObject:
    """Starts the deliveries that are due."""
    started = 0
    for ref in resources.deliveries().due(now, _DELIVERIES_AT_MOST):
        if not has_time():
            break
        resources.start_delivery(ref)
        started += 1
    return {"deliveries": started}


def _look_at_oldest(now: int, window_seconds: int) -> JsonObject:
    """Nothing while no batch is open, so that an idle deployment costs nothing. Else: the metric of the alarm that
    fires before a batch expires, whose only dimension is the one that Powertools adds, the function; and dead letters
    go back, which may be the shards of that batch."""
    deadline = resources.batches().open.next_deadline(window_seconds)
    if deadline is None:
        return {"dead_letters": {}}
    with single_metric(name="OldestBatchSecondsLeft", unit=MetricUnit.Seconds, value=deadline - now):
        pass
    moved = resources.dead_letters().move_back()
    if moved:
        logger.error("dead letters moved back", extra={"queues": moved})
    return {"dead_letters": moved}


def _recover(now: int, stores: Stores, look: Callable[[LaneId], LaneView], batch: Batch) -> list[int]:
    """The shards that were sent again. The batch's provider jobs that are due are started, and what its lanes will not
    do is handed to others, too."""
    start_due_jobs(batch, now=now, stores=stores, job_starter=resources.job_starter())
    moves = fail_over(
        batch, now=now, pace=load(SweepSettings).job_pace, look=look, stores=stores, queues=resources.queues()
    )
    for move in moves:
        extra = {"batch_id": batch.id, "shards": [move.numbers.start, move.numbers.stop], "lane": str(move.lane)}
        logger.warning("failed over", extra=extra | {"why": str(move.why)})
    return recover(batch, now=now, stores=stores, queues=resources.queues())


def _sweep(now: int, settings: SweepSettings, has_time: Callable[[], bool]) -> JsonObject:
    """The batches started again, and how many shards were sent again."""
    stores = resources.stores()
    revived: list[str] = []
    sent_again = 0
    for one in sweep(
        now=now,
        limits=SweepLimits(settings.sweep_grace_seconds, settings.max_executions),
        batches=stores.batches,
        workflow=resources.workflow(settings.state_machine_arn),
        recover=partial(_recover, now, stores, cache(resources.lanes().look)),
        has_time=has_time,
    ):
        match one:
            case Revived():
                logger.warning("revived", extra={"batch_id": one.batch_id, "execution": one.execution})
                revived.append(one.batch_id)
            case SentAgain():
                logger.warning("sent again", extra={"batch_id": one.batch_id, "shards": one.shards})
                sent_again += len(one.shards)
    if not has_time():
        logger.warning("out of time: the next sweep begins with other batches")
    return {"revived": revived, "sent_again": sent_again}
