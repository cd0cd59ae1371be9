"""Trigger: the API, for models, webhooks and the API's own description."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from batchyard.adapters import catalogue
from batchyard.core.catalogue import Offer
from batchyard.core.errors import NotFound
from batchyard.handlers import webhooks
from batchyard.handlers.http import Call, api, serve, serve_page
from batchyard.surfaces.http import JSON_TYPE, Reply
from batchyard.surfaces.operations import NamedOffer

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


def describe_api(call: Call, _: None) -> Reply:
    return Reply(200, _document(), {"content-type": JSON_TYPE})


@cache
def _document() -> bytes:
    return OPENAPI_FILE.read_bytes()


handler = api(
    {
        "list_models": serve(lambda surface: surface.list_models, list_models),
        "retrieve_model": serve(lambda surface: surface.retrieve_model, retrieve_model),
        "set_webhook": serve(lambda surface: surface.set_webhook, webhooks.set_webhook),
        "retrieve_webhook": serve(lambda surface: surface.retrieve_webhook, webhooks.retrieve_webhook),
        "delete_webhook": serve(lambda surface: surface.delete_webhook, webhooks.delete_webhook),
        "list_deliveries": serve_page(lambda surface: surface.list_deliveries, webhooks.list_deliveries),
        "retrieve_delivery": serve(lambda surface: surface.retrieve_delivery, webhooks.retrieve_delivery),
        "replay_delivery": serve(lambda surface: surface.replay_delivery, webhooks.replay_delivery),
        "describe_api": serve(lambda surface: surface.describe_api, describe_api),
    }
)
