"""JSON bodies with a fault in each of very many places cost no more than others."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from batchyard.core.errors import InvalidRequest
from batchyard.surfaces import registry
from batchyard.surfaces.http import Request

MANY = 30_000
OPENAI = {"input_file_id": "file-1", "endpoint": "/v1/embeddings", "completion_window": "24h"}
WRONG = {f"{number:x}": 1 for number in range(MANY)}


@pytest.mark.parametrize(
    ("surface", "operation", "body", "param"),
    [
        ("openai", "create_batch", WRONG, None),
        ("openai", "create_batch", OPENAI | {"metadata": WRONG}, "metadata"),
        ("openai", "create_batch", OPENAI | {"settings": WRONG}, "settings"),
        ("openai", "create_batch", OPENAI | {"output_expires_after": WRONG}, "output_expires_after"),
        ("openai", "complete_upload", {"part_ids": [1] * MANY}, "part_ids"),
        ("openai", "presign_file", WRONG, None),
        ("portkey", "create_batch", WRONG, None),
        ("kushrouter", "create_batch", WRONG, None),
        ("kushrouter", "create_batch", {"requests": [1] * MANY}, "requests[0]"),
        ("kushrouter", "create_batch", {"requests": [], "settings": WRONG}, "settings"),
        ("kushrouter", "create_file", WRONG, None),
    ],
)
def test_many_faults_cost_no_more_than_one(surface: str, operation: str, body: Any, param: str | None) -> None:
    """pydantic notes every fault it finds: two million, in a body that API Gateway lets through, take two gigabytes,
    and the function dies of it. They are refused for their number instead, before they are looked at."""
    headers = {"x-portkey-provider": "@openai"}
    ids = {"upload_id": f"upload_{'0' * 26}"}
    request = Request("POST", "/", "req_1", headers, parameters=ids, body=json.dumps(body).encode())
    read = registry.surface(surface).operation(operation).read
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest) as refused:
            read(request)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.param == param
    assert peak < 12_000_000, f"{peak:,} bytes for a body of {len(request.body):,}"
