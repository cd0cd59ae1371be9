"""`cost`: of a file that may be sent (nothing is uploaded), or of a whole deployment."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchyard_cli.command import FILE, Session, command, deployment_option, lines_options
from batchyard_cli.exits import CommandFailed, Done
from batchyard_cli.texts import moment

if TYPE_CHECKING:
    from batchyard_cli.checking import Asked

_COLUMNS = ("provider", "model", "mode", "items", "input_tokens", "cost_usd", "verdict", "done_by", "reason")


@command()
@click.argument("file", type=FILE, required=False)
@deployment_option
@lines_options
@click.option("--output-tokens", type=click.IntRange(0), help="What each item will be answered with, if you know.")
@click.option("--days", type=click.IntRange(1, 365), default=30, show_default=True, help="With --deployment.")
def cost(session: Session, file: str | None, deployment: str | None, days: int, **wanted: Any) -> Done:
    """What FILE would cost, and on which lanes (nothing is sent); without FILE, what the deployment costs."""
    if file is None:
        from batchyard_cli.operators.bills import bills

        return bills(session, deployment, days)
    return _of_file(session, Path(file), **wanted)


def _of_file(session: Session, path: Path, lines: str | None, endpoint: str | None, output_tokens: int | None) -> Done:
    from batchyard_cli import checking

    checked = checking.check_file(path, checking.form_of(path, lines, endpoint), None)
    if not checked.asked:
        raise CommandFailed(
            f"{path} has no good line.", f"`batchyard check {path}` says what is wrong.", code="invalid_file"
        )
    api = session.api()
    plans = [api.post("/plan", _wanted(each, output_tokens)) for each in checked.asked]
    rows = [row for plan in plans for route in plan["routes"] for row in _lanes(route)]
    session.console.table("lane", _COLUMNS, rows, "No lane.")
    total = sum((Decimal(plan["expected_cost_usd"]) for plan in plans), Decimal(0))
    realtime = sum((Decimal(plan["realtime_cost_usd"]) for plan in plans), Decimal(0))
    finish = max(plan["expected_finish_at"] for plan in plans)
    session.console.write(f"about ${total}, instead of ${realtime} in realtime; done by {moment(finish)}")
    notes = dict.fromkeys(note for plan in plans for note in plan["notes"])
    for note in notes:
        session.console.say(note)
    if checked.errors:
        session.console.warn(f"{path} has errors and would be refused: `batchyard check {path}`.")
    return Done(
        {
            "file": str(path),
            "items": sum(each.items for each in checked.asked),
            "expected_cost_usd": str(total),
            "realtime_cost_usd": str(realtime),
            "expected_finish_at": finish,
            "notes": list(notes),
        }
    )


def _wanted(asked: Asked, output_tokens: int | None) -> dict[str, Any]:
    from batchyard_cli.checking import planned_as

    wanted: dict[str, Any] = {
        "endpoint": planned_as(asked.endpoint),
        "items": asked.items,
        "model": asked.model,
        "tokens": asked.tokens,
    }
    if asked.provider is not None:
        wanted["provider"] = asked.provider
    if output_tokens is not None:
        wanted["output_tokens"] = output_tokens * asked.items
    return wanted


def _lanes(route: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "provider": lane["provider"],
            "model": lane["model"],
            "mode": lane["mode"],
            "items": lane["items"] or route["items"],
            "input_tokens": route["input_tokens"],
            "cost_usd": lane["expected_cost_usd"],
            "verdict": lane["verdict"],
            "done_by": moment(lane["expected_finish_at"]) if lane["expected_finish_at"] else "-",
            "reason": lane["reason"],
        }
        for lane in route["candidates"]
    ]
