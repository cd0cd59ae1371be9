"""What the tests of simulated vendors share: jobs whose clock stands still until a test moves it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from local.provider import SimulatedProvider

JOB_SECONDS = 1000.0
"""What a job takes. It is validated after a tenth of that."""
DAY_SECONDS = 86_400.0


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatedProvider]:
    with SimulatedProvider(seed=7, clock_speed=0, job_seconds=JOB_SECONDS) as provider:
        yield provider


@pytest.fixture
def provider(running: SimulatedProvider) -> SimulatedProvider:
    running.reset()
    return running


def root_of(provider: SimulatedProvider, name: str) -> str:
    """The address without a version, which some SDKs add themselves."""
    return f"{provider.url.removesuffix('/v1')}/{name}"


def chat(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **fields}


def lines_of(bodies: list[dict[str, Any]], url: str = "/v1/chat/completions") -> bytes:
    """Lines in OpenAI's form; the n-th is `item-<n>`."""
    return b"".join(
        orjson.dumps({"custom_id": f"item-{number}", "method": "POST", "url": url, "body": body}) + b"\n"
        for number, body in enumerate(bodies)
    )


def by_id(content: bytes) -> dict[str, dict[str, Any]]:
    """The lines of a file of results by `custom_id`."""
    lines = [orjson.loads(line) for line in content.splitlines()]
    found = {line["custom_id"]: line for line in lines}
    assert len(found) == len(lines), "a custom_id has two results"
    return found
