"""What the page's own tests let the API answer has the shape of what it does answer, under the same policy: else they
would prove a page that fits nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from batchyard.handlers import page_files
from batchyard.surfaces.dashboard import batches, items, operators, usage
from tests.dashboard.stub_account import furnish
from tests.dashboard.stub_api import API_KEY, POLICY, Asked, StubApi

NOW = 1_800_000_000
ANSWERS: list[tuple[str, str, Any]] = [
    ("session", "", operators.SessionObject),
    ("batches", "", batches.BatchCards),
    ("batches/{batch}", "", batches.BatchPage),
    ("batches/{batch}/throughput", "", batches.ThroughputChart),
    ("batches/{batch}/items", "", items.ItemCards),
    ("batches/{batch}/items/17", "", items.ItemPage),
    ("usage", "30", usage.UsageCharts),
    ("operator/accounts", "", operators.OperatorsAccounts),
    ("operator/lanes", "", operators.OperatorsLanes),
]


@pytest.mark.parametrize(("path", "days", "shape"), ANSWERS, ids=[path for path, _, _ in ANSWERS])
def test_the_stub_answers_as_the_api_does(path: str, days: str, shape: Any) -> None:
    """Every field is there and has its type; no batch, item or lane has one that the API does not have."""
    api = StubApi()
    furnish(api, NOW)

    def ask(what: str) -> Any:
        query = {"days": days} if days else {}
        return api.answer(Asked("GET", f"dashboard/api/{what}", query, b"", {"authorization": f"Bearer {API_KEY}"}))

    first = ask("batches")["batches"][0]["id"]
    answer = json.loads(json.dumps(ask(path.format(batch=first))))
    TypeAdapter(shape).validate_python(answer, strict=False)


def test_the_stub_has_the_pages_policy() -> None:
    """What Chromium refuses in tests it refuses of the deployed page, and the other way round."""
    assert POLICY == page_files._POLICY
