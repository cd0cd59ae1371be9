"""Trigger: the API, for models, limits, webhooks, its own description, what an account knows and does of itself, and
the dashboard's files."""

from __future__ import annotations

import secrets
from functools import cache
from pathlib import Path

from batchyard.adapters import catalogue
from batchyard.core.accounts import AccountView, ApiKey
from batchyard.core.catalogue import Offer
from batchyard.core.errors import NotFound
from batchyard.core.limits import ShownLimits
from batchyard.core.requests import ApiKeyRequest
from batchyard.handlers import page_files, resources, views, webhooks
from batchyard.handlers.http import Call, api, serve, serve_page
from batchyard.handlers.ids import mint
from batchyard.handlers.limits import shown_limits
from batchyard.steps import accounts
from batchyard.surfaces.http import JSON_TYPE, Reply
from batchyard.surfaces.operations import NamedOffer, ShownApiKey

OPENAPI_FILE = Path(__file__).parents[1] / "openapi.json"


def list_models(call: Call, _: None) -> list[Offer]:
    """Each name once, even if several providers offer it."""
    offers = {offer.model: offer for offer in reversed(catalogue.load().models())}
    return sorted(offers.values(), key=lambda offer: offer.model)


def retrieve_model(call: Call, name: str) -> NamedOffer:
    offers = catalogue.load().find(name)
    if not offers:
        raise NotFound(
            f"The model '{name}' does not exist. GET /v1/models lists the models that can be used.",
            param="model",
            code="model_not_found",
        )
    return NamedOffer(name, offers[0])


def describe_limits(call: Call, _: None) -> ShownLimits:
    """Those that hold on this surface."""
    return shown_limits(call.surface, call.settings)


def describe_api(call: Call, _: None) -> Reply:
    return Reply(200, _document(), {"content-type": JSON_TYPE})


def show_account(call: Call, _: None) -> AccountView:
    account = resources.accounts().get(call.account_id)
    if account is None:
        raise NotFound("The account does not exist.", code="account_not_found")
    return AccountView(account, resources.ledger().balance(account.id))


def create_api_key(call: Call, request: ApiKeyRequest) -> ShownApiKey:
    new = accounts.request_key(
        request,
        call.account_id,
        key_id=mint("key_"),
        random=secrets.token_bytes(accounts.KEY_RANDOM_BYTES),
        now=call.now,
        accounts=resources.accounts(),
    )
    return ShownApiKey(new.key, new.secret)


def list_api_keys(call: Call, _: None) -> list[ApiKey]:
    return accounts.list_keys(call.account_id, accounts=resources.accounts())


def revoke_api_key(call: Call, key_id: str) -> ApiKey:
    return accounts.revoke_key(call.account_id, key_id, now=call.now, accounts=resources.accounts())


@cache
def _document() -> bytes:
    return OPENAPI_FILE.read_bytes()


handler = api(
    {
        "list_models": serve(lambda surface: surface.list_models, list_models),
        "retrieve_model": serve(lambda surface: surface.retrieve_model, retrieve_model),
        "show_account": serve(lambda surface: surface.show_account, show_account),
        "create_api_key": serve(lambda surface: surface.create_api_key, create_api_key),
        "list_api_keys": serve(lambda surface: surface.list_api_keys, list_api_keys),
        "revoke_api_key": serve(lambda surface: surface.revoke_api_key, revoke_api_key),
        "set_webhook": serve(lambda surface: surface.set_webhook, webhooks.set_webhook),
        "retrieve_webhook": serve(lambda surface: surface.retrieve_webhook, webhooks.retrieve_webhook),
        "delete_webhook": serve(lambda surface: surface.delete_webhook, webhooks.delete_webhook),
        "list_deliveries": serve_page(lambda surface: surface.list_deliveries, webhooks.list_deliveries),
        "retrieve_delivery": serve(lambda surface: surface.retrieve_delivery, webhooks.retrieve_delivery),
        "replay_delivery": serve(lambda surface: surface.replay_delivery, webhooks.replay_delivery),
        "show_page": serve(lambda surface: surface.show_page, page_files.show_page),
        "show_session": serve(lambda surface: surface.show_session, views.show_session),
        "view_usage": serve(lambda surface: surface.view_usage, views.view_usage),
        "view_accounts": serve(lambda surface: surface.view_accounts, views.view_accounts),
        "view_lanes": serve(lambda surface: surface.view_lanes, views.view_lanes),
        "describe_limits": serve(lambda surface: surface.describe_limits, describe_limits),
        "describe_api": serve(lambda surface: surface.describe_api, describe_api),
    }
)
