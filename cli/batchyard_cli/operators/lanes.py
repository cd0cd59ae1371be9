"""`lanes`: how the lanes are that open batches use, as their rows say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchyard_cli.command import Session, command, deployment_option
from batchyard_cli.exits import Done
from batchyard_cli.texts import duration

if TYPE_CHECKING:
    from batchyard.adapters.aws.lanes import LaneView
    from batchyard.core.lanes import LaneId
    from batchyard_cli.operators.deployment import Deployed

_MOST_BATCHES = 200
_COLUMNS = ("provider", "model", "mode", "state", "since", "reason", "rate", "workers", "batches")
_WHAT_TO_DO = {
    "key_refused": "put a key that works: aws secretsmanager put-secret-value --secret-id {secret} --secret-string …",
    "secret_missing": "store the key: aws secretsmanager create-secret --name {secret} --secret-string …",
    "out_of_money": "put money into the account at {provider}",
}


@dataclass(frozen=True)
class UsedLane:
    """`batches`: how many open batches have it in their plan."""

    id: LaneId
    view: LaneView
    batches: int


@command()
@deployment_option
def lanes(session: Session, deployment: str | None) -> Done:
    """How the lanes of open batches are: closed (well), open (in trouble; time mends it), blocked (people must act)."""
    deployed = session.deployed(deployment)
    now = session.surroundings.now()
    rows = [_row(each, now) for each in used_lanes(deployed)]
    session.console.table("lane", _COLUMNS, rows, "No batch is open, so no lane is used.")
    for each in rows:
        if each["way_out"]:
            session.console.warn(f"{each['provider']} {each['model']}: {each['way_out']}")
    return Done({"count": len(rows), "troubled": sum(each["state"] != "closed" for each in rows)})


def used_lanes(deployed: Deployed) -> list[UsedLane]:
    """The lanes of the oldest open batches, with what their rows say."""
    from batchyard.adapters.aws.batches import Batches
    from batchyard.adapters.aws.lanes import Lanes
    from batchyard.core.lanes import LaneId

    counted: dict[LaneId, int] = {}
    with deployed.asking("dynamodb:Query and dynamodb:GetItem on its table"):
        table = deployed.table()
        batches, rows = Batches(table), Lanes(table)
        for each in batches.open.oldest(_MOST_BATCHES):
            batch = batches.get(each.ref)
            if batch is None or batch.plan is None:
                continue
            owner = batch.account_id if batch.caller_pays else None
            for lane in {each.lane for each in batch.plan.lanes}:
                used = LaneId(lane.provider, lane.model, owner, lane.mode)
                counted[used] = counted.get(used, 0) + 1
        return [
            UsedLane(lane, rows.look(lane), n) for lane, n in sorted(counted.items(), key=lambda each: str(each[0]))
        ]


def way_out(used: UsedLane, secret_prefix: str) -> str | None:
    """What people have to do about a lane that is not well."""
    health = used.view.health
    if health.state == "closed":
        return None
    if health.state == "open":
        return f"look at the status page of {used.id.provider}; it is tried again by itself, and nothing is lost"
    told = _WHAT_TO_DO.get(
        health.reason or "", "look at the log of the worker; the alarm LaneBlocked has a runbook row"
    )
    return told.format(provider=used.id.provider, secret=f"{secret_prefix}{used.id.provider}")


def _row(used: UsedLane, now: float) -> dict[str, Any]:
    health, pace = used.view.health, used.view.pace
    return {
        "provider": used.id.provider,
        "model": used.id.model,
        "mode": str(used.id.mode),
        "key_owner": used.id.key_owner,
        "state": str(health.state),
        "since": duration(now - health.since) if health.since else "-",
        "reason": health.reason,
        "rate": f"{pace.rate:.1f}/s" if pace.rate else "-",
        "workers": len(pace.present(now)),
        "batches": used.batches,
        "way_out": way_out(used, "…/providers/"),
    }
