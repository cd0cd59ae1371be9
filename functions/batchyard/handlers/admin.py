"""Trigger: an operator who invokes the function directly. It is not part of the API.

{"action": "create_account", "name": …}                → {"account_id", "name", "api_key", "key_id"}
{"action": "create_key", "account_id": …, "name": …}   → {"account_id", "api_key", "key_id"}
{"action": "list_accounts"}                            → {"accounts": [{"id", "name", "created_at", "weight"}]}
{"action": "set_weight", "account_id": …, "weight": 3} → {"account_id", "weight"}
{"action": "list_keys", "account_id": …}               → {"keys": [{"id", "name", "hint", "created_at", "revoked_at",
                                                          "expires_at"}]}
{"action": "revoke_key", "account_id": …, "key_id": …} → {"key_id", "revoked_at"}

A refusal is a value too: {"error": {"message", "param"}}. `api_key` is shown once; nobody can read it again. `weight`
(1 to 1000, at first 1): on a busy lane an account of weight 3 gets three times what one of weight 1 gets.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from batchyard.core.errors import InvalidRequest, NotFound, RequestError
from batchyard.core.json_types import JsonObject
from batchyard.handlers import resources
from batchyard.handlers.ids import mint
from batchyard.steps import accounts

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
    return {"accounts": [asdict(account) for account in resources.accounts().all()]}


def _set_weight(event: JsonObject) -> JsonObject:
    account = accounts.set_weight(_id(event, "account_id"), event.get("weight"), accounts=resources.accounts())
    return {"account_id": account.id, "weight": account.weight}


def _list_keys(event: JsonObject) -> JsonObject:
    keys = accounts.list_keys(_id(event, "account_id"), accounts=resources.accounts())
    return {"keys": [asdict(key) for key in keys]}


def _revoke_key(event: JsonObject) -> JsonObject:
    key = accounts.revoke_key(
        _id(event, "account_id"), _id(event, "key_id"), now=int(time.time()), accounts=resources.accounts()
    )
    return {"key_id": key.id, "revoked_at": key.revoked_at}


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
    "list_keys": _list_keys,
    "revoke_key": _revoke_key,
}
