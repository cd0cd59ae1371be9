"""Trigger: an operator who invokes the function directly. It is not part of the API.

{"action": "create_account", "name": …}                → {"account_id", "name", "api_key", "key_id"}
{"action": "create_key", "account_id": …, "name": …}   → {"account_id", "api_key", "key_id"}
{"action": "list_accounts"}                            → {"accounts": [{"id", "name", "created_at", "weight", "billing",
                                                                        "daily_limit_usd", "is_operator", "policy"}]}
{"action": "set_weight", "account_id": …, "weight": 3} → {"account_id", "weight"}
{"action": "set_operator", "account_id": …, "is_operator": true} → {"account_id", "is_operator"}
{"action": "set_policy", "account_id": …, "policy": {…}} → {"account_id", "policy"}
{"action": "list_keys", "account_id": …}               → {"keys": [{"id", "name", "hint", "created_at", "revoked_at",
                                                          "expires_at"}]}
{"action": "revoke_key", "account_id": …, "key_id": …} → {"key_id", "revoked_at"}

Credits (docs/money.md); dollars are texts, "12.50", because a JSON number may not be exact:

{"action": "set_billing", "account_id": …, "billing": "prepaid" | "postpaid" | "free"} → {"account_id", "billing"}
{"action": "set_daily_limit", "account_id": …, "usd": "100" | null} → {"account_id", "daily_limit_usd"}
{"action": "top_up", "account_id": …, "id": …, "usd": "25.00"}      → {"entry", "balance"}
{"action": "show_balance", "account_id": …}                         → {"account_id", "billing", "balance",
                                                                       "spent_today_usd", "daily_limit_usd"}
{"action": "list_entries", "account_id": …, "about": …, "after": …, "limit": 100} → {"entries": […], "has_more"}
{"action": "check_books", "account_id": …}                          → {"balances": true, "balance", "entries_come_to"}

The same `id` with the same amount is the same top-up, however often it is sent; a negative amount takes back. `about`
is the id of a batch or of a top-up, `after` the id of an entry. A balance is {"available_usd", "reserved_usd",
"charged_usd"}, an entry {"id", "kind", "about", "at", "amount_usd"}.

A refusal is a value too: {"error": {"message", "param"}}. `api_key` is shown once; nobody can read it again. `weight`
(1 to 1000, at first 1): on a busy lane an account of weight 3 gets three times what one of weight 1 gets. The API keys
of an operator's account also show all accounts and lanes, in the dashboard. `policy` (docs/lanes.md) says how batches
are run that do not say so themselves, {"modes": ["realtime", "native"], "routing_mode": "sla_aware", "privacy_tier":
"confidential", "early_failover": true}; what is left out is as the deployment's policy says.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from batchyard.core.accounts import Account
from batchyard.core.errors import InvalidRequest, NotFound, RequestError
from batchyard.core.json_types import JsonObject
from batchyard.core.ledger import Credits, Entry, write_dollars
from batchyard.handlers import resources
from batchyard.handlers.ids import mint
from batchyard.steps import accounts
from batchyard.steps import credits as money

logger = Logger()

_ID = re.compile(r"[a-z]+_[0-9a-z]{1,40}")


@logger.inject_lambda_context(clear_state=True)
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    try:
        action = event.get("action") if isinstance(event, dict) else None
        if not isinstance(action, str) or action not in _ACTIONS:
            raise InvalidRequest(f"'action' must be one of: {', '.join(_ACTIONS)}.", param="action")
        result = _ACTIONS[action](event)
    except RequestError as error:
        logger.info("refused", extra={"param": error.param})
        return {"error": {"message": error.message, "param": error.param}}
    logger.info("done", extra={"action": action})
    return result


def _create_account(event: JsonObject) -> JsonObject:
    account, new = accounts.create_account(
        _text(event, "name"),
        account_id=mint("acct_"),
        key_id=mint("key_"),
        random=secrets.token_bytes(accounts.KEY_RANDOM_BYTES),
        now=int(time.time()),
        accounts=resources.accounts(),
    )
    return {"account_id": account.id, "name": account.name, "api_key": new.secret, "key_id": new.key.id}


def _create_key(event: JsonObject) -> JsonObject:
    new = accounts.create_key(
        _id(event, "account_id"),
        _text(event, "name"),
        key_id=mint("key_"),
        random=secrets.token_bytes(accounts.KEY_RANDOM_BYTES),
        now=int(time.time()),
        accounts=resources.accounts(),
    )
    return {"account_id": new.key.account_id, "api_key": new.secret, "key_id": new.key.id}


def _list_accounts(event: JsonObject) -> JsonObject:
    return {"accounts": [_shown(account) for account in resources.accounts().all()]}


def _shown(account: Account) -> JsonObject:
    shown = asdict(account) | {"billing": str(account.billing), "daily_limit_usd": _limit(account)}
    shown["policy"] = account.policy.to_json()
    del shown["daily_limit_picousd"]
    return shown


def _set_weight(event: JsonObject) -> JsonObject:
    account = accounts.set_weight(_id(event, "account_id"), event.get("weight"), accounts=resources.accounts())
    return {"account_id": account.id, "weight": account.weight}


def _set_operator(event: JsonObject) -> JsonObject:
    account = accounts.set_operator(_id(event, "account_id"), event.get("is_operator"), accounts=resources.accounts())
    return {"account_id": account.id, "is_operator": account.is_operator}


def _set_policy(event: JsonObject) -> JsonObject:
    account = accounts.set_policy(_id(event, "account_id"), event.get("policy"), accounts=resources.accounts())
    return {"account_id": account.id, "policy": account.policy.to_json()}


def _list_keys(event: JsonObject) -> JsonObject:
    keys = accounts.list_keys(_id(event, "account_id"), accounts=resources.accounts())
    return {"keys": [asdict(key) for key in keys]}


def _revoke_key(event: JsonObject) -> JsonObject:
    key = accounts.revoke_key(
        _id(event, "account_id"), _id(event, "key_id"), now=int(time.time()), accounts=resources.accounts()
    )
    return {"key_id": key.id, "revoked_at": key.revoked_at}


def _set_billing(event: JsonObject) -> JsonObject:
    account = money.set_billing(_id(event, "account_id"), _text(event, "billing"), accounts=resources.accounts())
    return {"account_id": account.id, "billing": str(account.billing)}


def _set_daily_limit(event: JsonObject) -> JsonObject:
    usd = None if "usd" in event and event["usd"] is None else _text(event, "usd")
    account = money.set_daily_limit(_id(event, "account_id"), usd, accounts=resources.accounts())
    return {"account_id": account.id, "daily_limit_usd": _limit(account)}


def _top_up(event: JsonObject) -> JsonObject:
    entry, balance = money.top_up(
        _id(event, "account_id"), _text(event, "id"), _text(event, "usd"), now=int(time.time()), books=_books()
    )
    return {"entry": _entry(entry), "balance": _balance(balance)}


def _show_balance(event: JsonObject) -> JsonObject:
    shown = money.show_balance(_id(event, "account_id"), now=int(time.time()), books=_books())
    return {
        "account_id": shown.account.id,
        "billing": str(shown.account.billing),
        "balance": _balance(shown.balance),
        "spent_today_usd": write_dollars(shown.spent_today_picousd),
        "daily_limit_usd": _limit(shown.account),
    }


def _list_entries(event: JsonObject) -> JsonObject:
    entries, has_more = money.list_entries(
        _id(event, "account_id"),
        about=_text(event, "about") if "about" in event else "",
        after=_text(event, "after") if "after" in event else None,
        limit=event.get("limit", money.ENTRIES_AT_ONCE),
        books=_books(),
    )
    return {"entries": [_entry(entry) for entry in entries], "has_more": has_more}


def _check_books(event: JsonObject) -> JsonObject:
    balance, total = money.check_books(_id(event, "account_id"), books=_books())
    return {"balances": balance == total, "balance": _balance(balance), "entries_come_to": _balance(total)}


def _books() -> money.Books:
    return money.Books(resources.accounts(), resources.ledger())


def _limit(account: Account) -> str | None:
    return None if account.daily_limit_picousd is None else write_dollars(account.daily_limit_picousd)


def _balance(credits: Credits) -> JsonObject:
    return {
        "available_usd": write_dollars(credits.available_picousd),
        "reserved_usd": write_dollars(credits.reserved_picousd),
        "charged_usd": write_dollars(credits.charged_picousd),
    }


def _entry(entry: Entry) -> JsonObject:
    amount = write_dollars(entry.amount_picousd)
    return {"id": entry.id, "kind": str(entry.kind), "about": entry.about, "at": entry.at, "amount_usd": amount}


def _text(event: JsonObject, param: str) -> str:
    value = event.get(param)
    if not isinstance(value, str):
        raise InvalidRequest(f"'{param}' is missing, or no string.", param=param)
    return value


def _id(event: JsonObject, param: str) -> str:
    value = _text(event, param)
    if not _ID.fullmatch(value):
        raise NotFound(f"'{param}' is no id.", param=param)
    return value


_ACTIONS: dict[str, Callable[[JsonObject], JsonObject]] = {
    "create_account": _create_account,
    "create_key": _create_key,
    "list_accounts": _list_accounts,
    "set_weight": _set_weight,
    "set_operator": _set_operator,
    "set_policy": _set_policy,
    "list_keys": _list_keys,
    "revoke_key": _revoke_key,
    "set_billing": _set_billing,
    "set_daily_limit": _set_daily_limit,
    "top_up": _top_up,
    "show_balance": _show_balance,
    "list_entries": _list_entries,
    "check_books": _check_books,
}
