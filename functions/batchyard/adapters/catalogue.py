"""Reads providers.toml (people write it) and catalogue.json (`tools/compile_catalogue.py` writes it)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import orjson

from batchyard.core.catalogue import Catalogue, Model, ModelLimits
from batchyard.core.json_types import JsonObject
from batchyard.core.lane_limits import LaneLimits
from batchyard.core.lanes import Mode
from batchyard.core.native_limits import BY_VARIANT, native_limits
from batchyard.core.providers import Provider, default_variant
from batchyard.core.usage import ImagePrice, Price

PROVIDERS_FILE = Path(__file__).parents[1] / "providers.toml"
CATALOGUE_FILE = Path(__file__).parents[1] / "catalogue.json"


@cache
def load() -> Catalogue:
    """The catalogue of this deployment."""
    return read_catalogue(PROVIDERS_FILE.read_text(), CATALOGUE_FILE.read_bytes())


@cache
def load_providers() -> tuple[Provider, ...]:
    """The providers of this deployment, in the order of the file."""
    return read_providers(tomllib.loads(PROVIDERS_FILE.read_text()))


def read_providers(document: JsonObject) -> tuple[Provider, ...]:
    """The `[[providers]]` of a parsed providers.toml. Raises ValueError or TypeError, naming what is wrong."""
    providers = [_provider(entry) for entry in document.get("providers", ())]
    names = [provider.name for provider in providers]
    if len(set(names)) != len(names):
        raise ValueError("providers.toml names a provider twice")
    return tuple(providers)


def _provider(entry: JsonObject) -> Provider:
    fields = dict(entry)
    for name in ("endpoints", "regions", "flex_models", "native_models"):
        if name in fields:
            fields[name] = tuple(fields[name])
    if "modes" in fields:
        fields["modes"] = tuple(Mode(mode) for mode in fields["modes"])
    if Mode.NATIVE in fields.get("modes", ()):
        variant = fields.get("variant") or default_variant(fields["kind"])
        if variant in BY_VARIANT:
            fields["native"] = native_limits(variant, fields.get("native", {}))
    return Provider(**fields)


def read_catalogue(providers_toml: str, catalogue_json: bytes) -> Catalogue:
    """The catalogue that the two files make together: a deployment's own `[[models]]` come first, `[aliases]` are
    further names of a provider's models. Raises ValueError if one of them names something that does not exist."""
    document = tomllib.loads(providers_toml)
    providers = read_providers(document)
    compiled = orjson.loads(catalogue_json)["providers"]
    models: dict[str, list[Model]] = {provider.name: [] for provider in providers}
    for entry in document.get("models", ()):
        if entry["provider"] not in models:
            raise ValueError(f"providers.toml: model {entry['id']!r} names unknown provider {entry['provider']!r}")
        models[entry["provider"]].append(_own_model(**entry))
    for provider in providers:
        if provider.catalogue is not None:
            if provider.catalogue not in compiled:
                raise ValueError(f"provider {provider.name}: catalogue.json has no {provider.catalogue!r}")
            models[provider.name] += [_compiled_model(entry) for entry in compiled[provider.catalogue]]
    for provider_name, names in document.get("aliases", {}).items():
        shelf = models.get(provider_name, [])
        models[provider_name] = shelf + [_alias(name, called, shelf) for name, called in names.items()]
    return Catalogue(providers, models, read_lane_limits(document.get("lane_limits", ()), providers))


def read_lane_limits(entries: Iterable[JsonObject], providers: Iterable[Provider]) -> tuple[ModelLimits, ...]:
    """The `[[lane_limits]]` of a parsed providers.toml or deployment's file. Raises ValueError or TypeError, naming
    what is wrong."""
    names = {provider.name for provider in providers}
    return tuple(_model_limits(names, **entry) for entry in entries)


def _model_limits(
    providers: set[str],
    *,
    provider: str,
    model: str = "*",
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
) -> ModelLimits:
    if provider not in providers:
        raise ValueError(f"limits of the model {model!r} name unknown provider {provider!r}")
    try:
        return ModelLimits(provider, model, LaneLimits(requests_per_minute, tokens_per_minute))
    except ValueError as error:
        raise ValueError(f"limits of the model {model!r} at {provider}: {error}") from error


def _alias(name: str, called: str, shelf: list[Model]) -> Model:
    for model in shelf:
        if model.id == called:
            return Model(name, model.price, sent_as=called, context_window=model.context_window)
    raise ValueError(f"providers.toml: the alias {name!r} is of a model that is not there, {called!r}")


def _own_model(
    *,
    provider: str,
    id: str,
    input_microusd: int,
    output_microusd: int,
    cached_microusd: int | None = None,
    cache_write_microusd: int | None = None,
    image_input_microusd: int | None = None,
    image_output_microusd: int | None = None,
    context_window: int | None = None,
) -> Model:
    cached = input_microusd if cached_microusd is None else cached_microusd
    prefixes = (id.removesuffix("*"),) if id.endswith("*") else ()
    image = None
    if image_input_microusd is not None and image_output_microusd is not None:
        image = ImagePrice(image_input_microusd, image_output_microusd)
    elif image_input_microusd is not None or image_output_microusd is not None:
        raise ValueError(
            f"providers.toml: model {id!r} has one price of images; image input and image output go together"
        )
    price = Price(input_microusd, cached, output_microusd, cache_write_microusd, image=image)
    return Model(id, price, prefixes=prefixes, context_window=context_window)


def _compiled_model(entry: JsonObject) -> Model:
    return Model(
        entry["id"],
        _compiled_price(entry),
        tuple(entry.get("aliases", ())),
        tuple(entry.get("prefixes", ())),
        tuple(entry.get("patterns", ())),
        context_window=entry.get("context"),
    )


def _compiled_price(entry: JsonObject) -> Price:
    above = tuple((threshold, Price(*microusd)) for threshold, *microusd in entry.get("above", ()))
    image = ImagePrice(*entry["image"]) if "image" in entry else None
    return replace(Price(*entry["microusd"]), above=above, image=image)
