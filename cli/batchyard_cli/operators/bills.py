"""What a deployment costs: AWS's bill by service, and what the providers were paid."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from batchyard_cli.command import Session
from batchyard_cli.exits import CommandFailed, Done
from batchyard_cli.operators.deployment import Deployed

_DAY_SECONDS = 86_400
_TAG = "batchyard:deployment"


def bills(session: Session, deployment: str | None, days: int) -> Done:
    """The last `days` days."""
    if deployment is None:
        raise CommandFailed(
            "Of what?", "`batchyard cost FILE`, or `batchyard cost --deployment NAME` for what AWS bills.", code="usage"
        )
    deployed = session.deployed(deployment)
    until = datetime.fromtimestamp(session.surroundings.now(), UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = until - timedelta(days=days)
    deployed.variables("admin")  # says clearly if there is no such deployment
    providers = _paid_to_providers(deployed, since, until + timedelta(days=1))
    rows = [{"what": "providers (batches that ended)", "usd": f"{providers:.6f}"}]
    try:
        rows += [{"what": name, "usd": f"{usd:.6f}"} for name, usd in _billed_by_aws(deployed, since, until)]
    except CommandFailed as failure:
        session.console.warn(f"AWS's bill is not known: {failure.message} {failure.way_out}")
    session.console.table("cost", ("what", "usd"), rows, "")
    if len(rows) == 1:
        session.console.say(
            f"AWS shows nothing for this deployment: the tag {_TAG} has to be activated once as a cost-allocation tag "
            "(Billing, Cost allocation tags), and shows a day later."
        )
    total = sum((Decimal(row["usd"]) for row in rows), Decimal(0))
    session.console.write(f"${total} in {days} days")
    return Done({"days": days, "total_usd": str(total)})


def _paid_to_providers(deployed: Deployed, since: datetime, until: datetime) -> Decimal:
    with deployed.asking("cloudwatch:GetMetricStatistics"):
        found = deployed.client("cloudwatch").get_metric_statistics(
            Namespace=deployed.name,
            MetricName="CostMicrousd",
            Dimensions=[{"Name": "service", "Value": "finalize"}],
            StartTime=since,
            EndTime=until,
            Period=_DAY_SECONDS,
            Statistics=["Sum"],
        )
    return Decimal(round(sum(point["Sum"] for point in found["Datapoints"]))) / 1_000_000


def _billed_by_aws(deployed: Deployed, since: datetime, until: datetime) -> list[tuple[str, Decimal]]:
    """By service, dearest first. AWS charges a cent for the question."""
    with deployed.asking("ce:GetCostAndUsage"):
        found: Any = deployed.client("ce").get_cost_and_usage(
            TimePeriod={"Start": since.date().isoformat(), "End": until.date().isoformat()},
            Granularity="MONTHLY",
            Metrics=["UnblendedCost"],
            GroupBy=[{"Type": "DIMENSION", "Key": "SERVICE"}],
            Filter={"Tags": {"Key": _TAG, "Values": [deployed.name]}},
        )
    sums: dict[str, Decimal] = {}
    for period in found["ResultsByTime"]:
        for group in period.get("Groups", []):
            amount = Decimal(group["Metrics"]["UnblendedCost"]["Amount"])
            sums[group["Keys"][0]] = sums.get(group["Keys"][0], Decimal(0)) + amount
    return sorted(sums.items(), key=lambda each: -each[1])
