"""`accounts` and `keys`: who may call."""

from __future__ import annotations

from typing import Any

import click

from batchyard_cli.command import Session, command, deployment_option
from batchyard_cli.exits import CommandFailed, Done
from batchyard_cli.texts import moment

_MODES = ("realtime", "flex", "native")
_ROUTING_MODES = ("cheapest", "sla_aware", "public_only", "edge_only", "hybrid", "privacy_constrained")
_PRIVACY_TIERS = ("standard", "confidential", "restricted")


@click.group()
def accounts() -> None:
    """List and make accounts, set their weights and policies, and say which are operators'."""


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


@command(accounts, "policy")
@click.argument("account_id")
@click.option("--mode", "modes", multiple=True, type=click.Choice(_MODES), help="One that items may run in; repeat it.")
@click.option("--routing-mode", type=click.Choice(_ROUTING_MODES), help="How lanes are chosen.")
@click.option("--privacy-tier", type=click.Choice(_PRIVACY_TIERS), help="Who may see the items.")
@click.option("--early-failover/--late-failover", default=None, help="Whether items leave a lane in trouble at once.")
@click.option("--clear", is_flag=True, help="Say nothing any more.")
@deployment_option
def set_policy(
    session: Session,
    account_id: str,
    modes: tuple[str, ...],
    routing_mode: str | None,
    privacy_tier: str | None,
    early_failover: bool | None,
    clear: bool,
    deployment: str | None,
) -> Done:
    """Say how ACCOUNT_ID's next batches are run that do not say so themselves, instead of what was said before. What is
    left out is as the deployment has it. Without any option, show what is said."""
    said = {
        "modes": list(modes) or None,
        "routing_mode": routing_mode,
        "privacy_tier": privacy_tier,
        "early_failover": early_failover,
    }
    policy = {name: value for name, value in said.items() if value is not None}
    if clear and policy:
        raise CommandFailed("`--clear` goes with no other option.", "Leave it out, or the others.", code="usage")
    if not clear and not policy:
        return _show_policy(session, account_id, deployment)
    changed = session.deployed(deployment).admin_with("set_policy", {"account_id": account_id, "policy": policy})
    session.console.write(f"{changed['account_id']}: {_policy_text(changed['policy'])}")
    return Done(changed)


def _show_policy(session: Session, account_id: str, deployment: str | None) -> Done:
    accounts = session.deployed(deployment).admin("list_accounts")["accounts"]
    found = next((each for each in accounts if each["id"] == account_id), None)
    if found is None:
        raise CommandFailed(f"There is no account {account_id}.", "`batchyard accounts list` shows all.")
    policy = found.get("policy") or {}
    session.console.write(f"{account_id}: {_policy_text(policy)}")
    return Done({"account_id": account_id, "policy": policy})


def _policy_text(policy: dict[str, Any]) -> str:
    """A policy on one line."""
    words = {"modes": " and ".join(policy.get("modes") or ())}
    words |= {name: policy[name] for name in ("routing_mode", "privacy_tier") if name in policy}
    if "early_failover" in policy:
        words["failover"] = "early" if policy["early_failover"] else "late"
    said = [f"{name.replace('_', ' ')} {word}" for name, word in words.items() if word]
    return ", ".join(said) or "as the deployment has it"


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
