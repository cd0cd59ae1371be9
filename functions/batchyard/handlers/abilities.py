"""Whether a provider of this deployment can be asked for what an item wants, by its translator."""

from __future__ import annotations

from functools import cache

from batchyard.adapters import catalogue
from batchyard.adapters.providers.kinds import translator_of
from batchyard.adapters.providers.translator import Translator, Untranslatable
from batchyard.core.catalogue import Offer
from batchyard.core.lanes import Lane


def can_run(offer: Offer, endpoint: str, body: bytes) -> bool:
    """Whether the provider of `offer` can be sent the item. Nothing is sent to find out."""
    asked = _translator(offer.provider).request(endpoint, body, Lane(offer.provider, offer.model))
    return not isinstance(asked, Untranslatable)


@cache
def _translator(provider: str) -> Translator:
    return translator_of(catalogue.load().providers[provider])
