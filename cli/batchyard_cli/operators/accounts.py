"""`accounts` and `keys`: who may call."""

from __future__ import annotations

from typing import Any

import click

from batchyard_cli.command import Session, command, deployment_option
from batchyard_cli.exits import Done
from batchyard_cli.texts import moment


@click.group()
def accounts() -> None:
    """List and make accounts, set their weights, and say which are operators'."""


@command(accounts, "list")
@deployment_option
def list_accounts(session: Session, deployment: str | None) -> Done:
    """Every account, oldest first."""
    found = session.deployed(deployment).admin("list_accounts")["accounts"]
    rows = [{**account, "created": moment(account["created_at"])} for account in found]
    rows = [row | ({"operator": "yes"} if row.get("is_operator") else {}) for row in rows]
    sometimes = [name for name in ("billing", "operator") if any(name in row for row in rows)]
    columns = ["id", "name", "weight", *sometimes, "created"]
    session.console.table("account", columns, rows, "No accounts yet: `batchyard accounts create NAME` makes one.")
    return Done({"count": len(rows)})


@command(accounts, "create")
@click.argument("name")
@deployment_option
def create_account(session: Session, name: str, deployment: str | None) -> Done:
    """Make an account called NAME, and its first API key, which is shown this once."""
    made = session.deployed(deployment).admin("create_account", name=name)
    return _show_key(session, made)


@command(accounts, "weight")
@click.argument("account_id")
@click.argument("weight", type=click.IntRange(1, 1000))
@deployment_option
def set_weight(session: Session, account_id: str, weight: int, deployment: str | None) -> Done:
    """Give ACCOUNT_ID's next batches WEIGHT times what others get of a busy lane."""
    changed = session.deployed(deployment).admin("set_weight", account_id=account_id, weight=weight)
    session.console.write(f"{changed['account_id']} has weight {changed['weight']}")
    return Done(changed)


@command(accounts, "operator")
@click.argument("account_id")
@click.option("--off", is_flag=True, help="Take it back.")
@deployment_option
def set_operator(session: Session, account_id: str, off: bool, deployment: str | None) -> Done:
    """Let the API keys of ACCOUNT_ID see all accounts and lanes in the dashboard."""
    changed = session.deployed(deployment).admin("set_operator", account_id=account_id, is_operator=not off)
    state = "an operator's account" if changed["is_operator"] else "an account like others"
    session.console.write(f"{changed['account_id']} is {state}")
    return Done(changed)


@click.group()
def keys() -> None:
    """List, make and revoke API keys."""


@command(keys, "list")
@click.argument("account_id")
@deployment_option
def list_keys(session: Session, account_id: str, deployment: str | None) -> Done:
    """Every API key of ACCOUNT_ID, revoked ones too."""
    found = session.deployed(deployment).admin("list_keys", account_id=account_id)["keys"]
    rows = [
        {
            **key,
            "ends_in": key["hint"],
            "created": moment(key["created_at"]),
            "expires": moment(key["expires_at"]) if key.get("expires_at") else "-",
            "revoked": moment(key["revoked_at"]) if key.get("revoked_at") else "-",
        }
        for key in found
    ]
    session.console.table("key", ("id", "name", "ends_in", "created", "expires", "revoked"), rows, "No keys.")
    return Done({"count": len(rows)})


@command(keys, "create")
@click.argument("account_id")
@click.argument("name")
@deployment_option
def create_key(session: Session, account_id: str, name: str, deployment: str | None) -> Done:
    """Make one more API key called NAME for ACCOUNT_ID; it is shown this once."""
    return _show_key(session, session.deployed(deployment).admin("create_key", account_id=account_id, name=name))


@command(keys, "revoke")
@click.argument("account_id")
@click.argument("key_id")
@deployment_option
def revoke_key(session: Session, account_id: str, key_id: str, deployment: str | None) -> Done:
    """Revoke KEY_ID of ACCOUNT_ID. It works for up to 30 seconds more."""
    revoked = session.deployed(deployment).admin("revoke_key", account_id=account_id, key_id=key_id)
    session.console.write(f"{revoked['key_id']} is revoked since {moment(revoked['revoked_at'])}")
    session.console.say("Functions that have just seen it take it for up to 30 seconds more.")
    return Done(revoked)


def _show_key(session: Session, made: dict[str, Any]) -> Done:
    """The secret is data: it goes to stdout, alone on its line."""
    session.console.say(f"account {made['account_id']}, key {made['key_id']}; the key is shown this once:")
    session.console.write(made["api_key"])
    return Done(made)
