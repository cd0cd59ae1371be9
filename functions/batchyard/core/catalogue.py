"""Which provider offers which model, at what price.

A name is matched exactly as it was sent. Two spellings lead to a model: the vendor's own id (`gpt-4o-mini`,
`openai/gpt-oss-120b` at Groq) and that id behind a provider's name (`anthropic/claude-opus-4-5`). Vendors publish
families of ids (dated snapshots, fine-tunes), so a model may also be known by prefix or pattern; an exact id anywhere
beats a pattern elsewhere, so that no vendor's pattern catches a name that is another vendor's. Names that gateways
made up for a model, and that its vendor does not know, are entries of their own which say what to send.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass

from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.lane_limits import NO_LIMITS, LaneLimits
from batchyard.core.lanes import Mode
from batchyard.core.providers import Provider
from batchyard.core.usage import Price

_REMEMBERED_NAMES = 4096


@dataclass(frozen=True, slots=True)
class Model:
    """A model, or a family that shares a price. `id` always matches too, unless it ends in `*`. `sent_as`: what the
    provider calls it, if `id` is a name from elsewhere. `context_window`: the most tokens of a call, if that is known.
    """

    id: str
    price: Price
    aliases: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    sent_as: str | None = None
    context_window: int | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A provider offers a model. `model` is the name that this provider knows it by. `context_window`: the most tokens
    of a call, if that is known."""

    provider: str
    model: str
    price: Price
    context_window: int | None = None


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """An operator's limits for one of a provider's models, or for those whose names begin alike (`gpt-4o*`, `*`)."""

    provider: str
    model: str
    limits: LaneLimits

    def is_about(self, provider: str, model: str) -> bool:
        prefix = self.model.removesuffix("*")
        return provider == self.provider and (model.startswith(prefix) if prefix != self.model else model == prefix)


class Catalogue:
    """Answers `find`. Remembers its answers, because validation asks once per line."""

    def __init__(
        self,
        providers: Sequence[Provider],
        models: Mapping[str, Sequence[Model]],
        model_limits: Sequence[ModelLimits] = (),
    ) -> None:
        """`models`: provider name -> its models; if two match a name, the first one counts. So it is with
        `model_limits`, each limit for itself."""
        self._model_limits = tuple(model_limits)
        self.providers = {provider.name: provider for provider in providers}
        self._shelves = {name: _Shelf(models.get(name, ())) for name in self.providers}
        self._found: dict[tuple[str, str | None], tuple[Offer, ...]] = {}

    def in_modes(self, modes: Mapping[str, Sequence[str]]) -> Catalogue:
        """The same, with other `modes` (by provider) than their entries have. Raises KeyError for a provider that does
        not exist, ValueError for a mode that it cannot have."""
        changed = copy(self)
        changed.providers = self.providers | {
            name: self.providers[name].in_modes(tuple(map(Mode, wanted))) for name, wanted in modes.items()
        }
        return changed

    def find(self, model: str, provider: str | None = None) -> tuple[Offer, ...]:
        """Every offer of `model`, at `provider` only if one is named; empty if nobody has it."""
        key = (model, provider)
        offers = self._found.get(key)
        if offers is None:
            if len(self._found) >= _REMEMBERED_NAMES:
                self._found.clear()
            offers = self._found[key] = self._search(model, provider)
        return offers

    def price_of(self, provider: str, model: str) -> Price:
        """Of a model as its provider calls it. Raises BooksDoNotBalance if it is not offered any more."""
        offers = self.find(model, provider)
        if not offers:
            raise BooksDoNotBalance(f"{provider} no longer offers {model}: its price is not known")
        return offers[0].price

    def limits_of(self, provider: str, model: str) -> LaneLimits:
        """What the operator allows this model: its own limits before those of all models of its provider."""
        limits = NO_LIMITS
        for each in self._model_limits:
            if each.is_about(provider, model):
                limits = limits.within(each.limits)
        return limits.within(self.providers[provider].limits)

    def limited(self, model_limits: Sequence[ModelLimits]) -> Catalogue:
        """The same catalogue with further limits, which come before those that it has."""
        return Catalogue(
            tuple(self.providers.values()),
            {name: shelf.models for name, shelf in self._shelves.items()},
            (*model_limits, *self._model_limits),
        )

    def models(self) -> tuple[Offer, ...]:
        """Every model with a name of its own, by provider in the order of providers.toml."""
        return tuple(
            Offer(provider, model.id, model.price, model.context_window)
            for provider, shelf in self._shelves.items()
            for model in shelf.models
            if not model.id.endswith("*") and model.sent_as is None
        )

    def _search(self, model: str, provider: str | None) -> tuple[Offer, ...]:
        names = [provider] if provider is not None else list(self._shelves)
        exact, loose = [], []
        for name in names:
            if name not in self._shelves:
                continue
            shelf = self._shelves[name]
            for spelling in (model, model.removeprefix(f"{name}/")):
                if entry := shelf.exact.get(spelling):
                    exact.append(Offer(name, entry.sent_as or spelling, entry.price, entry.context_window))
                    break
            else:
                spelling = model.removeprefix(f"{name}/")
                if entry := shelf.loose(spelling):
                    loose.append(Offer(name, spelling, entry.price, entry.context_window))
        return tuple(exact or loose)


class _Shelf:
    """One provider's models, ready to be searched."""

    def __init__(self, models: Sequence[Model]) -> None:
        self.models = tuple(models)
        self.exact: dict[str, Model] = {}
        for model in models:
            for name in (model.id, *model.aliases):
                self.exact.setdefault(name, model)

    def loose(self, name: str) -> Model | None:
        for model in self.models:
            if name.startswith(model.prefixes) or any(re.search(pattern, name) for pattern in model.patterns):
                return model
        return None
