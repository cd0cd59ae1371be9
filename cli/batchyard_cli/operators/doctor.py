"""`doctor`: one look at everything that an operator would look at, each finding with what to do about it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from batchyard_cli.command import Session, command, deployment_option
from batchyard_cli.exits import CommandFailed, Done, Exit
from batchyard_cli.operators.deployment import Deployed
from batchyard_cli.operators.lanes import used_lanes, way_out
from batchyard_cli.operators.queues import SUFFIX, queues
from batchyard_cli.texts import duration

_WANTED_CONCURRENCY = 393
"""docs/deploy.md, Quotas."""
_NEAR_DEADLINE_SECONDS = 7200
_NEEDS_NO_KEY = ("bedrock",)


class State(enum.StrEnum):
    """`note`: nobody has to act, but it is worth knowing. `unknown`: we were not allowed to look, or could not."""

    FINE = "fine"
    NOTE = "note"
    ACT = "act"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    area: str
    state: State
    text: str
    way_out: str | None = None


_MARKS = {State.FINE: "✓", State.NOTE: "·", State.ACT: "✗", State.UNKNOWN: "?"}


@command()
@deployment_option
def doctor(session: Session, deployment: str | None) -> Done:
    """What is wrong with a deployment, and what to do about it. Exits with 1 if somebody has to act."""
    deployed = session.deployed(deployment)
    looks: tuple[tuple[str, Callable[[Deployed], Iterator[Finding]]], ...] = (
        ("api", _api),
        ("quotas", _quotas),
        ("secrets", _secrets),
        ("batches", _batches),
        ("lanes", _lanes),
        ("queues", _queues),
        ("alarms", _alarms),
    )
    findings = [*_credentials(deployed)]
    for area, look in looks:
        try:
            findings += look(deployed)
        except CommandFailed as failure:
            findings.append(Finding(area, State.UNKNOWN, failure.message, failure.way_out))
    for each in findings:
        session.console.line("finding", {**each.__dict__, "state": str(each.state)})
        session.console.write(f"{_MARKS[each.state]} {each.area:<11} {each.text}")
        if each.way_out and each.state is not State.FINE:
            session.console.write(f"  {'':<11} → {each.way_out}")
    counts = {str(state): sum(each.state is state for each in findings) for state in State}
    return Done({"findings": counts}, Exit.FAILED if counts["act"] else Exit.FINE)


def _credentials(deployed: Deployed) -> Iterator[Finding]:
    """Raises CommandFailed: without these nothing else can be looked at."""
    with deployed.asking("sts:GetCallerIdentity"):
        caller = deployed.client("sts").get_caller_identity()
    yield Finding("credentials", State.FINE, f"{caller['Arn']} in account {caller['Account']}")
    with deployed.asking(f"lambda:GetFunctionConfiguration on {deployed.function('admin')}"):
        found = deployed.client("lambda").get_function_configuration(FunctionName=deployed.function("admin"))
    yield Finding("deployment", State.FINE, f"{deployed.name}, changed {found.get('LastModified', 'at some time')}")


def _api(deployed: Deployed) -> Iterator[Finding]:
    import httpx

    address = deployed.surroundings.environment.get("BATCHYARD_URL") or _own_address(deployed)
    if address is None:
        yield Finding("api", State.ACT, "API Gateway has no API of that name.", "Deploy the stateless stack.")
        return
    address = address.rstrip("/").removesuffix("/v1")
    try:
        with httpx.Client(transport=deployed.surroundings.transport, timeout=10) as client:
            status = client.get(f"{address}/openapi.json").status_code
    except httpx.HTTPError as error:
        status = 0
        told = f"{address} does not answer ({type(error).__name__})."
    else:
        told = f"{address} answers {status}."
    if status == 200:
        yield Finding("api", State.FINE, f"{address} answers")
    else:
        log = f"/aws/apigateway/{deployed.name}-access"
        yield Finding("api", State.ACT, told, f"Look into its access log, {log}, and the alarm ApiErrors.")


def _own_address(deployed: Deployed) -> str | None:
    with deployed.asking("apigateway:GET on /restapis"):
        client = deployed.client("apigateway")
        for page in client.get_paginator("get_rest_apis").paginate():
            for api in page["items"]:
                if api["name"] == deployed.name:
                    return f"https://{api['id']}.execute-api.{client.meta.region_name}.amazonaws.com/api"
    return None


def _quotas(deployed: Deployed) -> Iterator[Finding]:
    with deployed.asking("lambda:GetAccountSettings"):
        limit = int(deployed.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"])
    if limit >= _WANTED_CONCURRENCY:
        yield Finding("quotas", State.FINE, f"Lambda runs {limit} executions at once")
    else:
        yield Finding(
            "quotas",
            State.NOTE,
            f"Lambda runs only {limit} executions at once; with {_WANTED_CONCURRENCY} each function has its own.",
            "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 "
            "--desired-value 1000, then lambda_concurrency_quota in the deployment's file.",
        )


def _secrets(deployed: Deployed) -> Iterator[Finding]:
    from botocore.exceptions import ClientError

    prefix = deployed.variables("work").get("SECRET_PREFIX", f"{deployed.name}/providers/")
    missing: list[str] = []
    there: list[str] = []
    for provider in deployed.providers():
        with deployed.asking(f"secretsmanager:DescribeSecret on {prefix}*"):
            try:
                found: Any = deployed.client("secretsmanager").describe_secret(SecretId=f"{prefix}{provider}")
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceNotFoundException":
                    raise
                found = None
        is_there = found is not None and not found.get("DeletedDate")
        (there if is_there or provider.startswith(_NEEDS_NO_KEY) else missing).append(provider)
    if there:
        yield Finding("secrets", State.FINE, f"keys of {', '.join(there)}")
    for provider in missing:
        yield Finding(
            "secrets",
            State.NOTE if there else State.ACT,
            f"There is no key of {provider}: its models cannot be run.",
            f'aws secretsmanager create-secret --name "{prefix}{provider}" --secret-string …',
        )


def _batches(deployed: Deployed) -> Iterator[Finding]:
    from batchyard.adapters.aws.batches import Batches

    with deployed.asking("dynamodb:Query and dynamodb:GetItem on its table"):
        batches = Batches(deployed.table())
        open_ones = batches.open.oldest()
        oldest = batches.get(open_ones[0].ref) if open_ones else None
    if oldest is None:
        yield Finding("batches", State.FINE, "none is open")
        return
    left = oldest.expires_at - deployed.surroundings.now()
    told = f"{len(open_ones)} open; the oldest, {oldest.id}, has {duration(left)} left"
    if left > _NEAR_DEADLINE_SECONDS:
        yield Finding("batches", State.FINE, told)
    else:
        yield Finding(
            "batches", State.ACT, told, f"`batchyard tail {oldest.id}` says what it waits for; see its lanes below."
        )


def _lanes(deployed: Deployed) -> Iterator[Finding]:
    prefix = deployed.variables("work").get("SECRET_PREFIX", f"{deployed.name}/providers/")
    used = used_lanes(deployed)
    for each in used:
        health = each.view.health
        if health.state != "closed":
            since = duration(deployed.surroundings.now() - health.since)
            lane = f"{each.id.provider} {each.id.model} {each.id.mode}"
            told = f"{lane} is {health.state} since {since} ({health.reason or 'trouble'})"
            yield Finding("lanes", State.ACT if health.state == "blocked" else State.NOTE, told, way_out(each, prefix))
    if all(each.view.health.state == "closed" for each in used):
        yield Finding("lanes", State.FINE, f"{len(used)} in use, all well" if used else "none in use")


def _queues(deployed: Deployed) -> Iterator[Finding]:
    found = queues(deployed)
    dead = [each for each in found if each.name.endswith(SUFFIX) and each.waiting]
    waiting = [each for each in found if not each.name.endswith(SUFFIX) and each.waiting]
    for each in dead:
        name = each.name.removesuffix(SUFFIX)
        yield Finding(
            "queues",
            State.ACT,
            f"{each.waiting} messages of {name} were given up",
            f"Mend the cause (docs/runbook.md, Dead letters), then `batchyard dead-letters replay {name}`.",
        )
    told = ", ".join(f"{each.waiting} wait in {each.name}" for each in waiting) or "nothing waits"
    yield Finding("queues", State.FINE, told)


def _alarms(deployed: Deployed) -> Iterator[Finding]:
    prefix = f"{deployed.name}-"
    firing: list[Any] = []
    with deployed.asking("cloudwatch:DescribeAlarms"):
        pages = deployed.client("cloudwatch").get_paginator("describe_alarms")
        for page in pages.paginate(AlarmNamePrefix=prefix, StateValue="ALARM"):
            firing += page.get("MetricAlarms", [])
    for alarm in firing:
        name = alarm["AlarmName"].removeprefix(prefix)
        told = f"{name} fires: {alarm.get('AlarmDescription', '')}"
        yield Finding("alarms", State.ACT, told, f"docs/runbook.md has a row for {name}.")
    if not firing:
        yield Finding("alarms", State.FINE, "none fires")
