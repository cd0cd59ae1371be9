"""Metadata that one surface takes can be shown by every other."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.api import Customer

TEXT = st.text(max_size=20)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}]}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(metadata=st.dictionaries(TEXT, ANY_JSON, max_size=4))
def test_any_metadata_can_be_shown(alice: Customer, metadata: dict[str, Any]) -> None:
    """KushRouter takes any JSON and gives it back as it was; OpenAI's clients see texts; lists show the batch."""
    made = alice.http.post("/api/v1/batches", json={"requests": [BODY], "metadata": metadata})
    if made.status_code == 400:
        assert made.json()["error"]["param"] == "metadata", made.text
        return
    assert made.status_code == 200, made.text
    batch_id = made.json()["id"]
    for root in ("/v1", "/api/v1", "/api/openai/v1"):
        shown = alice.http.get(f"{root}/batches/{batch_id}")
        assert shown.status_code == 200, shown.text
        seen = shown.json()["metadata"]
        if root == "/v1":
            assert set(seen) == set(metadata) and all(isinstance(value, str) for value in seen.values()), seen
        else:
            assert seen == metadata
        assert alice.http.get(f"{root}/batches?limit=1").json()["data"][0]["id"] == batch_id
