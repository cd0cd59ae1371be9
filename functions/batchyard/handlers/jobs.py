"""Trigger: Dispatch, Fence and Sweep, which start this function for each provider job that is to be looked at.

{"account_id": …, "batch_id": …, "job": …, "shards": …}

And EventBridge, with Amazon Bedrock's event of a job that is over.
"""

from __future__ import annotations

import secrets
import time
from functools import cache, partial

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from batchyard.adapters.aws.clients import client
from batchyard.adapters.aws.secrets import Secrets
from batchyard.adapters.providers.bedrock_jobs import Exchange, our_event
from batchyard.adapters.providers.job_kinds import connect_jobs
from batchyard.core.failover import LaneNow
from batchyard.core.jobs import JobRef, JobRow
from batchyard.core.json_types import JsonObject
from batchyard.core.lane_limits import lower
from batchyard.core.lanes import LaneId
from batchyard.core.model_job_events import is_bedrocks
from batchyard.core.usage import Tally
from batchyard.handlers import resources
from batchyard.jobs.executor import attend
from batchyard.jobs.held import JobLimits, Tools
from batchyard.jobs.vendors import Vendors
from batchyard.settings import JobSettings, load
from batchyard.steps.settle import settle

logger = Logger()
metrics = Metrics()


@logger.inject_lambda_context(clear_state=True)
def handler(event: JsonObject, context: LambdaContext) -> None:
    """If it fails, Sweep has it done again."""
    by_vendor = is_bedrocks(event)
    ours = our_event(event, resources.stores().objects) if by_vendor else event
    if ours is None:
        return
    ref = JobRef.from_event(ours)
    logger.append_keys(batch_id=ref.batch.batch_id, job=ref.number)
    row = attend(ref, _tools(), vendor_says_over=by_vendor)
    if row is not None:
        told = {"state": str(row.state), "attempt": row.attempt, "due_at": row.due_at, "reason": row.reason}
        logger.info("job attended", extra=told | {"provider_job_id": row.provider_job_id})
        if row.blocked is not None:
            _report_blocked(row)


def _report_blocked(row: JobRow) -> None:
    """Counted as the worker counts its lanes, so that one alarm looks at both."""
    logger.error("provider job is blocked", extra={"provider": row.provider, "reason": row.blocked})
    with single_metric(name="LanesBlocked", unit=MetricUnit.Count, value=1, default_dimensions={"service": "work"}):
        pass


def _report(provider: str, tally: Tally) -> None:
    """The items of a shard whose results are stored, by provider, as the worker counts its own."""
    metrics.add_dimension("provider", provider)
    metrics.add_metric("ItemsSucceeded", MetricUnit.Count, tally.succeeded)
    metrics.add_metric("ItemsFailed", MetricUnit.Count, tally.failed)
    metrics.flush_metrics()


def _look(lane: LaneId) -> LaneNow:
    view = resources.lanes().look(lane)
    limits = resources.lane_catalogue().limits_of(lane.provider, lane.model)
    return LaneNow(view.health, lower(view.pace.rate, limits.calls_per_second(view.pace.tokens_per_call)))


@cache
def _tools() -> Tools:
    settings = load(JobSettings)
    stores, queues = resources.stores(), resources.queues()
    return Tools(
        stores=stores,
        queues=queues,
        vendors=Vendors(
            resources.lane_catalogue(),
            Secrets(client("secretsmanager"), settings.secret_prefix, time.monotonic),
            resources.caller_keys(settings.caller_key_id),
            partial(connect_jobs, exchange=Exchange(stores.objects, settings.bedrock_role_arn)),
            urls=settings.provider_urls,
        ),
        settle=partial(settle, stores=stores, queues=queues, workflow=resources.workflow()),
        limits=JobLimits(
            settings.job_lease_seconds, settings.deployment, settings.job_pace, settings.job_polls_every_seconds
        ),
        clock=time.time,
        new_owner=partial(secrets.token_hex, 8),
        look=_look,
        on_stored=_report,
    )
