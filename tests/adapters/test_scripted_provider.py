"""The worker tests' scripted provider answers as a provider's client does, in all that the worker reads of a reply."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from batchyard.core.calls import Answer, NoAnswer
from local.provider import SimulatedProvider
from tests.adapters.test_provider_openai import call, chat, simulate
from tests.worker.workshop import TIMED_OUT, ScriptedProvider, after, status, succeed


@pytest.fixture(scope="module")
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider(seed=7) as running:
        yield running


def scripted(outcome: Any) -> Any:
    """The reply of the double to one call."""
    double = ScriptedProvider(after(0, lambda index: outcome))
    return asyncio.run(double(b'{"n":0}'))


@pytest.mark.parametrize("code", [400, 401, 404, 408, 409, 429, 500, 502, 503, 529])
def test_a_refusal(provider: SimulatedProvider, code: int) -> None:
    """Status and failure, and a body that is JSON."""
    real, double = call(provider.url, simulate(f"status:{code}")), scripted(status(code))
    assert type(real) is type(double) is Answer
    assert (real.status, real.failure) == (double.status, double.failure)
    assert "error" in orjson.loads(real.body) and "error" in orjson.loads(double.body)
    assert real.request_id and double.request_id


def test_a_success(provider: SimulatedProvider) -> None:
    """No failure, a request id, one line of JSON, tokens."""
    for reply in (call(provider.url, chat("hello")), scripted(succeed(0))):
        assert (reply.status, reply.failure) == (200, None)
        assert reply.request_id and reply.usage.input_tokens > 0 and reply.usage.output_tokens > 0
        assert orjson.loads(reply.body) and b"\n" not in reply.body


def test_no_answer(provider: SimulatedProvider) -> None:
    """A call that times out is the value that the double gives."""
    real = call(provider.url, simulate("hang"), connect_timeout_seconds=1.0, read_timeout_seconds=0.1)
    assert isinstance(real, NoAnswer) and real == scripted(TIMED_OUT)
