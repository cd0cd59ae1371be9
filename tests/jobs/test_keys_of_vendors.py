"""With which key a native lane's vendor is called."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from batchyard.adapters.aws.secrets import SecretMissing
from batchyard.core.catalogue import Catalogue, Model
from batchyard.core.lanes import Lane, Mode
from batchyard.core.providers import Provider
from batchyard.core.usage import Price
from batchyard.jobs.vendors import Vendors
from tests.steps.running import make_batch

BY_ROLE = Provider("bedrock", "bedrock", "https://bedrock-runtime.eu-central-1.amazonaws.com")
BY_KEY = Provider("openai", "openai", "https://api.openai.com/v1")


class NoSecrets:
    """Stands for `Secrets` without any, and for `CallerKeys` with one for every batch."""

    def provider_key(self, provider: str) -> str:
        raise SecretMissing(provider)

    def read(self, account_id: str, batch_id: str) -> str:
        return "caller's"


def vendors(keys: list[str]) -> Vendors:
    modes = (Mode.REALTIME, Mode.NATIVE)
    providers = [each.in_modes(modes) for each in (BY_ROLE, BY_KEY)]
    catalogue = Catalogue(providers, {each.name: [Model("m", Price(1, 1, 1))] for each in providers})
    nobodys = cast(Any, NoSecrets())
    return Vendors(catalogue, nobodys, nobodys, lambda _, __, key: cast(Any, keys.append(key)), urls={})


def test_a_provider_by_role_needs_no_secret() -> None:
    """Others wait for theirs; a caller's own key is used wherever there is one."""
    keys: list[str] = []
    batch = make_batch("batch_1")
    vendors(keys).of(batch, Lane("bedrock", "m", Mode.NATIVE))
    with pytest.raises(SecretMissing):
        vendors(keys).of(batch, Lane("openai", "m", Mode.NATIVE))
    vendors(keys).of(replace(batch, caller_pays=True), Lane("bedrock", "m", Mode.NATIVE))
    assert keys == ["", "caller's"]
