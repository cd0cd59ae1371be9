"""Trigger: an SQS queue of one provider, one message per shard.

Records whose shard could not be worked on are returned in `batchItemFailures`, so that SQS delivers them again. The
event loop, the connections, and what was learned of each provider's limits last as long as the process.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import random
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import uvloop
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from batchyard.adapters import catalogue
from batchyard.adapters.aws.clients import client
from batchyard.adapters.aws.secrets import Secrets
from batchyard.adapters.providers.kinds import connect
from batchyard.adapters.providers.provider_client import CallLimits
from batchyard.core.health import LaneState
from batchyard.core.json_types import JsonObject
from batchyard.core.retry import FailureReason, RetryPolicy
from batchyard.handlers import resources
from batchyard.settings import WorkSettings, load
from batchyard.steps.draw import draw
from batchyard.steps.settle import settle
from batchyard.steps.start import start
from batchyard.worker import work
from batchyard.worker.gate import Gates
from batchyard.worker.meter import Meter
from batchyard.worker.runtime import Runtime
from batchyard.worker.shard_run import ShardStores
from batchyard.worker.stopping import RunLimits
from batchyard.worker.upstreams import ProviderKeys, Upstreams

logger = Logger()
metrics = Metrics()

_KNOWN_FOR_SECONDS = 5.0
"""What is known of a lane is not read again for some seconds, also if the next invocation begins within them."""
_BLOCKING_CALLS_AT_ONCE = 16
_GARBAGE_THRESHOLDS = (20_000, 20, 50)
_M_MMAP_THRESHOLD = -3
"""malloc.h"""
_MAPPED_FROM_BYTES = 128 * 1024
_HANDED_BACK_BY = 0.75
"""If the function's timeout is short, the worker stops at this share of it at the latest."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    records = [
        work.Record(
            record["messageId"],
            record["body"],
            record["receiptHandle"],
            int(record["attributes"]["ApproximateReceiveCount"]),
        )
        for record in event["Records"]
    ]
    meter, begun_at = Meter(), time.time()
    stop_at = _stop_at(context.get_remaining_time_in_millis() / 1000)
    failed = _process().run(records, stop_at, meter)
    _report(meter)
    _report_trouble(meter, begun_at - _KNOWN_FOR_SECONDS)
    return {"batchItemFailures": [{"itemIdentifier": record_id} for record_id in failed]}


def _stop_at(remaining_seconds: float) -> float:
    """The unix second at which the shards are handed back."""
    spare = min(load(WorkSettings).stop_before_timeout_seconds, remaining_seconds * (1 - _HANDED_BACK_BY))
    return float(time.time() + remaining_seconds - spare)


class Process:
    """What all invocations of one process share."""

    def __init__(self, settings: WorkSettings) -> None:
        _tune_memory()
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._runner.get_loop().set_default_executor(ThreadPoolExecutor(_BLOCKING_CALLS_AT_ONCE, "blocking"))
        runtime = Runtime(time.time, random.random, partial(secrets.token_hex, 8), logger)
        gates = Gates(settings.max_in_flight, time.time, settings.max_answer_bytes, settings.max_response_bytes)
        providers = catalogue.load_providers()
        limits = catalogue.read_lane_limits(settings.lane_limits, providers)
        self._upstreams = Upstreams(
            catalogue.load().limited(limits),
            ProviderKeys(
                Secrets(client("secretsmanager"), settings.secret_prefix, time.monotonic),
                resources.caller_keys(settings.caller_key_id),
                by_role=resources.providers_by_role(),
            ),
            resources.lanes(),
            gates,
            RetryPolicy(settings.max_attempts, settings.retry_base_seconds, settings.retry_cap_seconds),
            runtime,
            urls=settings.provider_urls,
            connect=partial(
                connect,
                limits=CallLimits(
                    connect_timeout_seconds=settings.connect_timeout_seconds,
                    read_timeout_seconds=settings.read_timeout_seconds,
                    max_connections=settings.max_in_flight,
                    max_response_bytes=settings.max_response_bytes,
                ),
                memory=gates.memory,
            ),
        )
        objects = resources.objects()
        self._worker = work.Worker(
            ShardStores(resources.shards(), objects),
            resources.queues(),
            self._upstreams,
            work.Steps(
                partial(
                    settle,
                    stores=resources.stores(),
                    queues=resources.queues(),
                    workflow=resources.workflow(),
                ),
                partial(draw, stores=resources.stores()),
                resources.stores().rosters,
                partial(start, stores=resources.stores(), workflow=resources.workflow()),
            ),
            RunLimits(
                flush_items=settings.flush_items,
                flush_seconds=settings.flush_seconds,
                flush_bytes=settings.flush_bytes,
                lease_seconds=settings.lease_seconds,
                drain_seconds=settings.drain_seconds,
                patience_seconds=settings.patience_seconds,
                shards_at_once=settings.shards_at_once,
            ),
            runtime,
        )

    def run(self, records: list[work.Record], stop_at: float, meter: Meter) -> list[str]:
        """The ids of the records that failed."""
        return self._runner.run(self._run(records, stop_at, meter))

    async def _run(self, records: list[work.Record], stop_at: float, meter: Meter) -> list[str]:
        await asyncio.sleep(0)  # after having been frozen the process notices here which connections were closed
        return await self._worker.work(records, stop_at=stop_at, meter=meter)

    def lanes(self, state: LaneState, since: float) -> int:
        """How many lanes that this process has looked at since then are in that state."""
        return self._upstreams.lanes(state, since)

    def close(self) -> None:
        self._runner.run(self._upstreams.close())
        self._runner.close()


def _tune_memory() -> None:
    """Makes Python look for garbage less often: calls in flight are none, and looking through thousands of them takes a
    fifth of a call's CPU time. And makes glibc map each large answer by itself: in its heaps they leave holes, which
    double a worker's memory."""
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)


@cache
def _process() -> Process:
    return Process(load(WorkSettings))


def _report(meter: Meter) -> None:
    """One EMF record and one log line per invocation."""
    tally = meter.tally
    counts = {
        "ItemsSucceeded": tally.succeeded,
        "ItemsFailed": tally.failed,
        "ProviderCalls": meter.calls,
        "ProviderThrottles": meter.failures[FailureReason.THROTTLED],
    }
    metrics.add_dimension("provider", meter.provider or "none")
    for name, value in counts.items():
        metrics.add_metric(name, MetricUnit.Count, value)
    for seconds in meter.latencies_seconds:
        metrics.add_metric("ProviderLatency", MetricUnit.Milliseconds, seconds * 1000)
    metrics.flush_metrics()
    if meter.usages_refused:
        logger.warning("token counts that cannot be true count as 0", extra={"answers": meter.usages_refused})
    figures = {
        "failures": {str(reason): count for reason, count in meter.failures.items()},
        "shards": meter.shards,
        "retries": meter.retries,
    }
    logger.info("worked", extra=counts | figures | {"provider": meter.provider})


def _report_trouble(meter: Meter, since: float) -> None:
    """What alarms look at, of all providers together: of lanes that were looked at since then, because one of which
    nobody sends us anything any more may have been mended long ago. Nothing is said while nothing is the matter."""
    counts = {
        "ShardErrors": meter.shards["error"],
        "LanesOpen": _process().lanes(LaneState.OPEN, since),
        "LanesBlocked": _process().lanes(LaneState.BLOCKED, since),
    }
    if any(counts.values()):
        for name, value in counts.items():
            metrics.add_metric(name, MetricUnit.Count, value)
        metrics.flush_metrics()
