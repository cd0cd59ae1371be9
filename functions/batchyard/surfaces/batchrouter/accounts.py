"""What BatchRouter answers about an account: its credits, its API keys, and the models that it can use."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from batchyard.core.accounts import AccountView, ApiKey
from batchyard.core.catalogue import Offer
from batchyard.core.usage import PICOUSD_PER_MICROUSD
from batchyard.surfaces.batchrouter.money import Money, money
from batchyard.surfaces.batchrouter.times import iso, iso_or_none


class CreatedApiKey(TypedDict):
    """`api_key` is shown once."""

    api_key: str
    api_key_id: str
    name: str
    expires_at: str | None


class RoutedApiKey(TypedDict):
    """`hint`: how the key ends."""

    api_key_id: str
    name: str
    hint: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class ApiKeyList(TypedDict):
    api_keys: list[RoutedApiKey]


class RoutedAccount(TypedDict):
    """`credit_balance`: what new batches may reserve; `reserved`: what unfinished ones have. An account that is free of
    credits has none of either, and needs none."""

    id: str
    name: str
    billing: Literal["free", "prepaid", "postpaid"]
    credit_balance: Money
    reserved: Money
    created_at: str


class PricePerMillion(TypedDict):
    """For a million tokens."""

    input: Money
    cached_input: Money
    output: Money


class CatalogModel(TypedDict):
    model: str
    provider: str
    context_window: int | None
    price_per_million_tokens: PricePerMillion


class Catalog(TypedDict):
    models: list[CatalogModel]


def api_key_object(key: ApiKey) -> RoutedApiKey:
    return {
        "api_key_id": key.id,
        "name": key.name,
        "hint": key.hint,
        "created_at": iso(key.created_at),
        "expires_at": iso_or_none(key.expires_at),
        "revoked_at": iso_or_none(key.revoked_at),
    }


def account_object(view: AccountView) -> RoutedAccount:
    account = view.account
    return {
        "id": account.id,
        "name": account.name,
        "billing": account.billing.value,
        "credit_balance": money(view.credits.available_picousd),
        "reserved": money(view.credits.reserved_picousd),
        "created_at": iso(account.created_at),
    }


def catalog_model(offer: Offer) -> CatalogModel:
    price = offer.price
    return {
        "model": offer.model,
        "provider": offer.provider,
        "context_window": offer.context_window,
        "price_per_million_tokens": {
            "input": money(price.input_microusd * PICOUSD_PER_MICROUSD),
            "cached_input": money(price.cached_microusd * PICOUSD_PER_MICROUSD),
            "output": money(price.output_microusd * PICOUSD_PER_MICROUSD),
        },
    }
