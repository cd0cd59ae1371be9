"""Trigger: the API, for models and for the API's own description."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from batchyard.adapters import catalogue
from batchyard.core.errors import NotFound
from batchyard.handlers.http import Call, api
from batchyard.surfaces.http import JSON_TYPE, Reply

OPENAPI_FILE = Path(__file__).parents[1] / "openapi.json"


def list_models(call: Call) -> Reply:
    """Each name once, though several providers may offer it."""
    offers = {offer.model: offer for offer in reversed(catalogue.load().models())}
    return call.surface.write_models(sorted(offers.values(), key=lambda offer: offer.model))


def retrieve_model(call: Call) -> Reply:
    name = call.surface.read_id(call.request, "model")
    offers = catalogue.load().find(name)
    if not offers:
        raise NotFound(
            f"The model '{name}' does not exist. GET /v1/models lists the models that can be used.",
            param="model",
            code="model_not_found",
        )
    return call.surface.write_model(name, offers[0])


def describe_api(call: Call) -> Reply:
    return Reply(200, _document(), {"content-type": JSON_TYPE})


@cache
def _document() -> bytes:
    return OPENAPI_FILE.read_bytes()


handler = api({"list_models": list_models, "retrieve_model": retrieve_model, "describe_api": describe_api})
