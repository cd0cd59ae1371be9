"""`tail`: the story of a batch, from its rows and from the logs of the functions that worked on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from batchyard_cli.command import Session, command, deployment_option
from batchyard_cli.exits import CommandFailed, Done, interrupted
from batchyard_cli.operators.deployment import Deployed
from batchyard_cli.texts import moment

if TYPE_CHECKING:
    from batchyard.core.batches import Batch

_FOLLOW_SECONDS = 5.0
_LATE_SECONDS = 30
"""CloudWatch shows a line some seconds after it was written: looks overlap by so much."""
_NOT_TOLD = frozenset(
    {
        "level",
        "location",
        "message",
        "timestamp",
        "service",
        "batch_id",
        "cold_start",
        "function_name",
        "function_memory_size",
        "function_arn",
        "function_request_id",
        "xray_trace_id",
        "account_id",
        "request_id",
    }
)


class Event(NamedTuple):
    """`at`: unix seconds. `order`: of what happened within the same second, as far as that is known. `where`: a
    function's short name, or `batch`, `plan`, `job`."""

    at: float
    order: int
    where: str
    text: str


@command()
@click.argument("batch")
@deployment_option
@click.option("--account", metavar="ID", help="Whose it is; every account is tried if it is left out.")
@click.option("--follow", "-f", is_flag=True, help="Go on until the batch ends.")
def tail(session: Session, batch: str, deployment: str | None, account: str | None, follow: bool) -> Done:
    """The story of BATCH: what it went through, and what the functions logged about it."""
    deployed, console = session.deployed(deployment), session.console
    found = _find(deployed, batch, account)
    told: set[Event] = set()
    since = float(found.created_at)
    try:
        while True:
            looked_at = session.surroundings.now()
            for event in sorted({*_from_rows(deployed, found), *_from_logs(deployed, batch, since)} - told):
                told.add(event)
                console.line("event", event._asdict())
                console.write(f"{moment(event.at)}  {event.where:<10} {event.text}")
            if not follow or found.status.is_terminal:
                break
            since = max(since, looked_at - _LATE_SECONDS)
            session.surroundings.sleep(_FOLLOW_SECONDS)
            found = _find(deployed, batch, found.account_id)
    except KeyboardInterrupt:
        raise interrupted("Stopped looking.", f"`batchyard tail {batch} --follow` looks again.") from None
    for error in found.errors:
        console.warn(f"{error.code}: {error.message}")
    return Done({"batch_id": batch, "account_id": found.account_id, "status": str(found.status), "events": len(told)})


def _find(deployed: Deployed, batch_id: str, account_id: str | None) -> Batch:
    from batchyard.adapters.aws.accounts import Accounts
    from batchyard.adapters.aws.batches import Batches
    from batchyard.core.batches import BatchRef

    with deployed.asking("dynamodb:GetItem and dynamodb:Query on its table"):
        table = deployed.table()
        batches = Batches(table)
        owners = [account_id] if account_id else [each.id for each in Accounts(table).all()]
        for owner in owners:
            if found := batches.get(BatchRef(owner, batch_id)):
                return batches.with_progress(found)
    raise CommandFailed(
        f"No account has a batch {batch_id}." if account_id is None else f"{account_id} has no batch {batch_id}.",
        "Check the id, --deployment and --account.",
        code="not_found",
    )


def _from_rows(deployed: Deployed, batch: Batch) -> Iterator[Event]:
    from batchyard.adapters.aws.jobs import Jobs
    from batchyard.core.batches import Status

    made = f"created by {batch.account_id} for {batch.endpoint} ({batch.surface})"
    yield Event(float(batch.created_at), 0, "batch", made)
    life = [each for each in Status if each is not Status.VALIDATING and each in batch.status_times]
    for order, status in enumerate(sorted(life, key=lambda each: each.is_terminal), start=1):
        yield Event(float(batch.status_times[status]), order, "batch", f"is {status}")
    if batch.plan is not None:
        planned_at = float(batch.status_times.get("in_progress", batch.created_at))
        for lane in batch.plan.lanes:
            yield Event(planned_at, 1, "plan", f"{lane.items} items on {lane.lane}, {lane.shards} shards")
    with deployed.asking("dynamodb:Query on its table"):
        for job in Jobs(deployed.table()).rows(batch.id):
            begun_at = float(job.submitted_at or job.asked_at or batch.created_at)
            named = f" as {job.provider_job_id}" if job.provider_job_id else ""
            because = f": {job.reason}" if job.reason else ""
            yield Event(begun_at, 2, "job", f"{job.number} at {job.provider or '?'} is {job.state}{named}{because}")


def _from_logs(deployed: Deployed, batch_id: str, since: float) -> Iterator[Event]:
    """Lines of every function's log that name the batch."""
    logs = deployed.client("logs")
    prefix = f"/aws/lambda/{deployed.name}-"
    with deployed.asking("logs:DescribeLogGroups and logs:FilterLogEvents"):
        for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix):
            for group in page["logGroups"]:
                name = group["logGroupName"]
                lines = logs.get_paginator("filter_log_events").paginate(
                    logGroupName=name, filterPattern=f'"{batch_id}"', startTime=int(since * 1000)
                )
                for found in lines:
                    for each in found["events"]:
                        yield Event(each["timestamp"] / 1000, 0, name.removeprefix(prefix), _line(each["message"]))


def _line(text: str) -> str:
    """A function's JSON line as people read it: the message, then what else it says."""
    try:
        fields: Any = json.loads(text)
    except ValueError:
        return text.strip()
    if not isinstance(fields, dict) or "message" not in fields:
        return text.strip()
    level = "" if fields.get("level", "INFO") == "INFO" else f"{fields['level']} "
    rest = " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in fields.items()
        if name not in _NOT_TOLD and value not in (None, "", {}, [])
    )
    return f"{level}{fields['message']}  {rest}".rstrip()
