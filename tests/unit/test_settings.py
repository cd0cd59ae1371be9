"""Settings come from environment variables, which hold a function's credentials too."""

from __future__ import annotations

import os

import pytest
from pydantic import BaseModel, ValidationError

from batchyard import settings

KINDS = [
    kind
    for kind in vars(settings).values()
    if isinstance(kind, type)
    and issubclass(kind, BaseModel)
    and kind not in (BaseModel, settings.Limits, settings.LaneSettings)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_missing_variable_is_named_and_no_other_is_shown(
    kind: type[BaseModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error, which Lambda logs, names what is missing. It shows nothing of what is there."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "IQoJb3JpZ2lu")
    settings.load.cache_clear()
    with pytest.raises(ValidationError) as caught:
        settings.load(kind)
    assert "table_name" in str(caught.value)
    assert "IQ" not in str(caught.value)
