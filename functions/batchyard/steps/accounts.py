"""Accounts: who may call, and with which keys. The secret of a key is shown once, to the person who made it."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from dataclasses import dataclass

from batchyard.adapters.aws.accounts import Accounts
from batchyard.core.accounts import Account, ApiKey, key_hash
from batchyard.core.errors import Conflict, InvalidRequest, NotFound, RateLimited, Unauthenticated
from batchyard.core.memory import ExpiringMemory
from batchyard.core.policies import read_policy
from batchyard.core.requests import ApiKeyRequest

KEY_PREFIX = "by_live_"
KEY_RANDOM_BYTES = 20
"""160 bits: 32 characters of base 32."""
_HINT_CHARACTERS = 4
_NAME_CHARACTERS = 100
_KEYS_AT_MOST = 100
"""That an account can make itself."""
_LARGEST_WEIGHT = 1000
_SECRET_CHARACTERS = 200
_REMEMBERED_KEYS = 1000
_UNKNOWN_FOR_SECONDS = 10.0
_UNKNOWN_KEYS_PER_MINUTE = 300
"""Of one source and process; each costs a read. A client with one wrong key costs one read in ten seconds."""
_WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class NewKey:
    """`secret` is shown now and never again."""

    key: ApiKey
    secret: str


def create_account(
    name: str, *, account_id: str, key_id: str, random: bytes, now: int, accounts: Accounts
) -> tuple[Account, NewKey]:
    """An account and its first key. `random`: 20 bytes from the caller's entropy source."""
    account = Account(account_id, _checked(name), now)
    new = _new_key(account_id, "default", key_id, random, now)
    accounts.create(account, new.key, key_hash(new.secret))
    return account, new


def create_key(account_id: str, name: str, *, key_id: str, random: bytes, now: int, accounts: Accounts) -> NewKey:
    """One more key of an account. Raises NotFound if there is no such account."""
    if accounts.get(account_id) is None:
        raise _no_account(account_id)
    new = _new_key(account_id, _checked(name), key_id, random, now)
    accounts.add_key(new.key, key_hash(new.secret))
    return new


def request_key(
    request: ApiKeyRequest, account_id: str, *, key_id: str, random: bytes, now: int, accounts: Accounts
) -> NewKey:
    """One more key of an account, which its owner asks for by one that it has. Raises InvalidRequest, or Conflict if it
    has too many."""
    if request.expires_at is not None and request.expires_at <= now:
        raise InvalidRequest("'expires_at' is in the past.", param="expires_at", code="invalid_value")
    if sum(key.is_good(now) for key in accounts.keys(account_id)) >= _KEYS_AT_MOST:
        message = f"The account has {_KEYS_AT_MOST} API keys, which is as many as it can have. Revoke one."
        raise Conflict(message, code="too_many_api_keys")
    new = _new_key(account_id, _checked(request.name), key_id, random, now, request.expires_at)
    accounts.add_key(new.key, key_hash(new.secret))
    return new


def set_weight(account_id: str, weight: object, *, accounts: Accounts) -> Account:
    """How large the account's share of a busy lane is, for batches that it makes from now on. Raises InvalidRequest,
    or NotFound if there is no such account."""
    if type(weight) is not int or not 1 <= weight <= _LARGEST_WEIGHT:
        raise InvalidRequest(f"A weight is a whole number from 1 to {_LARGEST_WEIGHT}.", param="weight")
    account = accounts.change(account_id, weight=weight)
    if account is None:
        raise _no_account(account_id)
    return account


def set_operator(account_id: str, is_operator: object, *, accounts: Accounts) -> Account:
    """Whether the account's keys may see the whole deployment. Raises InvalidRequest, or NotFound if there is no such
    account."""
    if type(is_operator) is not bool:
        raise InvalidRequest("'is_operator' must be true or false.", param="is_operator")
    account = accounts.change(account_id, is_operator=is_operator)
    if account is None:
        raise _no_account(account_id)
    return account


def set_policy(account_id: str, members: object, *, accounts: Accounts) -> Account:
    """How the account's batches are run from now on that do not say so themselves, instead of what was set before.
    Raises InvalidRequest, or NotFound if there is no such account."""
    try:
        if not isinstance(members, dict):
            raise ValueError("a policy is an object; an empty one says nothing")
        policy = read_policy(members)
    except ValueError as error:
        raise InvalidRequest(f"'policy' cannot be used: {error}.", param="policy") from error
    account = accounts.change(account_id, policy=policy.to_json())
    if account is None:
        raise _no_account(account_id)
    return account


def list_keys(account_id: str, *, accounts: Accounts) -> list[ApiKey]:
    if accounts.get(account_id) is None:
        raise _no_account(account_id)
    return accounts.keys(account_id)


def revoke_key(account_id: str, key_id: str, *, now: int, accounts: Accounts) -> ApiKey:
    """Functions refuse the key as soon as their Keyring has forgotten it."""
    key = accounts.revoke_key(account_id, key_id, now)
    if key is None:
        raise NotFound(f"The account {account_id} has no key {key_id}.", param="key_id")
    return key


class Keyring:
    """Tells whose an API key is, and remembers good ones for `remember_seconds` of `clock`, so that a revoked key is
    refused that much later at most. Keys that are nobody's are remembered for some seconds, apart from the good ones,
    and a source that keeps bringing others is refused without a look."""

    def __init__(self, accounts: Accounts, clock: Callable[[], float], remember_seconds: float = 30.0) -> None:
        self._accounts = accounts
        self._clock = clock
        self._remember_seconds = remember_seconds
        self._known: ExpiringMemory[str] = ExpiringMemory(_REMEMBERED_KEYS)
        """Hash of an API key -> id of its account."""
        self._unknown: ExpiringMemory[bool] = ExpiringMemory(_REMEMBERED_KEYS)
        """Hashes of keys that are nobody's."""
        self._guesses: ExpiringMemory[tuple[int, float]] = ExpiringMemory(_REMEMBERED_KEYS)
        """Source -> how many keys of nobody it has brought, and when the count begins anew."""

    def account_of(self, secret: str, source: str = "", *, at: int = 0) -> str:
        """The id of the account that the key belongs to. `source`: the address that it came from, if known; `at`: the
        unix second, by which keys expire. Raises Unauthenticated, or RateLimited if too many of this source's keys were
        nobody's."""
        if len(secret) > _SECRET_CHARACTERS:
            raise _bad_key()
        digest, now = key_hash(secret), self._clock()
        account_id = self._known.get(digest, now)
        if account_id is not None:
            return account_id
        if self._unknown.get(digest, now):
            raise _bad_key()
        guesses, until = self._guesses.get(source, now) or (0, now + _WINDOW_SECONDS)
        if source and guesses >= _UNKNOWN_KEYS_PER_MINUTE:
            raise _too_many_guesses(until - now)
        key = self._accounts.find_key(digest)
        if key is None or not key.is_good(at):
            self._unknown.put(digest, True, until=now + _UNKNOWN_FOR_SECONDS, now=now)
            self._guesses.put(source, (guesses + 1, until), until=until, now=now)
            raise _bad_key()
        self._known.put(digest, key.account_id, until=now + self._seconds_of(key, at), now=now)
        return key.account_id

    def _seconds_of(self, key: ApiKey, at: int) -> float:
        """How long a good key may be remembered: never beyond its end, and `at` may be up to a second old."""
        if key.expires_at is None:
            return self._remember_seconds
        return min(self._remember_seconds, key.expires_at - at - 1)


def _new_key(account_id: str, name: str, key_id: str, random: bytes, now: int, expires_at: int | None = None) -> NewKey:
    if len(random) != KEY_RANDOM_BYTES:
        raise ValueError(f"a key takes {KEY_RANDOM_BYTES} random bytes, got {len(random)}")
    secret = KEY_PREFIX + base64.b32encode(random).decode().lower()
    key = ApiKey(key_id, account_id, name, secret[-_HINT_CHARACTERS:], now, expires_at=expires_at)
    return NewKey(key, secret)


def _checked(name: str) -> str:
    name = name.strip()
    if not name or len(name) > _NAME_CHARACTERS or not name.isprintable():
        raise InvalidRequest(f"A name has 1 to {_NAME_CHARACTERS} printable characters.", param="name")
    return name


def _no_account(account_id: str) -> NotFound:
    return NotFound(f"There is no account {account_id}.", param="account_id")


def _bad_key() -> Unauthenticated:
    return Unauthenticated(
        "Incorrect API key provided, or the key was revoked. The operator of this deployment makes keys.",
        code="invalid_api_key",
    )


def _too_many_guesses(seconds_left: float) -> RateLimited:
    return RateLimited(
        "Too many keys from your address were nobody's. Check your API key, and try again later.",
        retry_after_seconds=max(1, math.ceil(seconds_left)),
    )
