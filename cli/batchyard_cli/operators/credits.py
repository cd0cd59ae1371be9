"""`credits`: what accounts have, and what became of it. Dollars are texts all the way to the admin function."""

from __future__ import annotations

import re
import secrets
from typing import Any

import click

from batchyard_cli.command import Session, command, deployment_option
from batchyard_cli.exits import CommandFailed, Done, Exit
from batchyard_cli.texts import moment

_DOLLARS = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")
_COLUMNS = ("id", "kind", "about", "usd", "time")


@click.group()
def credits() -> None:
    """Balances of accounts: show, top up, list entries, set how they are billed."""


@command(credits, "show")
@click.argument("account_id")
@deployment_option
def show(session: Session, account_id: str, deployment: str | None) -> Done:
    """What ACCOUNT_ID has, has reserved, and was charged."""
    found = session.deployed(deployment).admin("show_balance", account_id=account_id)
    session.console.write(f"{found['account_id']} is billed {found['billing']}")
    _write_balance(session, found["balance"])
    session.console.write(f"  {'spent today':<12} ${found['spent_today_usd']}")
    limit = found.get("daily_limit_usd")
    session.console.write(f"  {'daily limit':<12} {'none' if limit is None else f'${limit}'}")
    return Done(found)


@command(credits, "top-up")
@click.argument("account_id")
@click.argument("dollars")
@click.option("--id", "top_up_id", help="The same id is booked once, however often it is sent; made up if left out.")
@deployment_option
def top_up(session: Session, account_id: str, dollars: str, top_up_id: str | None, deployment: str | None) -> Done:
    """Add DOLLARS (such as 25 or 12.50) to what ACCOUNT_ID has. (-- -5 takes back.)"""
    amount = _dollars(dollars)
    top_up_id = top_up_id or f"cli-{secrets.token_hex(8)}"
    session.console.say(f"If no answer comes, repeat it with --id {top_up_id}: that books it once.")
    found = session.deployed(deployment).admin("top_up", account_id=account_id, id=top_up_id, usd=amount)
    session.console.write(f"{account_id}: ${amount} booked")
    _write_balance(session, found["balance"])
    return Done(found)


@command(credits, "entries")
@click.argument("account_id")
@click.option("--about", help="Only of this batch, or this top-up.")
@click.option("--limit", "-n", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many at most.")
@deployment_option
def entries(session: Session, account_id: str, about: str | None, limit: int, deployment: str | None) -> Done:
    """What was reserved, charged, released and topped up."""
    found = session.deployed(deployment).admin("list_entries", account_id=account_id, about=about, limit=limit)
    rows = [{**each, "usd": each["amount_usd"], "time": moment(each["at"])} for each in found["entries"]]
    session.console.table("entry", _COLUMNS, rows, "Nothing was booked yet.")
    if found["has_more"]:
        session.console.say("There are more: --limit shows them.")
    return Done({"count": len(rows), "has_more": found["has_more"]})


@command(credits, "billing")
@click.argument("account_id")
@click.argument("billing", type=click.Choice(["prepaid", "postpaid", "free"]))
@deployment_option
def set_billing(session: Session, account_id: str, billing: str, deployment: str | None) -> Done:
    """Set how ACCOUNT_ID pays."""
    found = session.deployed(deployment).admin("set_billing", account_id=account_id, billing=billing)
    session.console.write(f"{account_id} is billed {billing}")
    return Done(found)


@command(credits, "limit")
@click.argument("account_id")
@click.argument("dollars")
@deployment_option
def set_limit(session: Session, account_id: str, dollars: str, deployment: str | None) -> Done:
    """Refuse new batches of ACCOUNT_ID on a day on which it has spent DOLLARS; `none` takes the limit away."""
    amount = None if dollars == "none" else _dollars(dollars)
    found = session.deployed(deployment).admin_with("set_daily_limit", {"account_id": account_id, "usd": amount})
    session.console.write(f"{account_id}: {'no daily limit' if amount is None else f'${amount} a day'}")
    return Done(found)


@command(credits, "check")
@click.argument("account_id")
@deployment_option
def check_books(session: Session, account_id: str, deployment: str | None) -> Done:
    """Add up every entry of ACCOUNT_ID, and compare the sum with its balance."""
    found = session.deployed(deployment).admin("check_books", account_id=account_id)
    session.console.write("the books balance" if found["balances"] else "THE BOOKS DO NOT BALANCE")
    _write_balance(session, found["balance"])
    if not found["balances"]:
        session.console.warn("Stop selling credits to this account, and report it with the entries: `credits entries`.")
    return Done(found, Exit.FINE if found["balances"] else Exit.FAILED)


def _write_balance(session: Session, balance: dict[str, Any]) -> None:
    for name in ("available_usd", "reserved_usd", "charged_usd"):
        session.console.write(f"  {name.removesuffix('_usd'):<12} ${balance[name]}")


def _dollars(text: str) -> str:
    amount = text.removeprefix("$")
    if not _DOLLARS.fullmatch(amount):
        raise CommandFailed(f"'{text}' is no amount of dollars.", "Write it as 25 or 12.50.", code="usage")
    return amount
