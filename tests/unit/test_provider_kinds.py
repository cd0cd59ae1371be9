"""A provider's kind decides what is sent to it."""

from __future__ import annotations

import pytest

from batchyard.adapters.providers.kinds import TRANSLATORS
from batchyard.core.providers import KINDS, VARIANTS, Provider


def test_every_kind_has_its_translator() -> None:
    """What providers.toml may say and what a worker can speak are the same."""
    assert set(TRANSLATORS) == set(KINDS) == set(VARIANTS)


def test_another_kind_is_refused() -> None:
    """An entry of a kind that nobody speaks does not get as far as a worker."""
    with pytest.raises(ValueError, match="kind 'smoke-signals' is not one of"):
        Provider("signals", "smoke-signals", "https://signals.example")
