"""The API gateway's answers that need a function which is slow, busy or odd."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import orjson
import pytest

from local.api import gateway
from local.api.gateway import Gateway
from local.deployment.declared import Deployment, FunctionConfig, GatewayResponse, Method
from local.functions.invocation import Function, Functions, Throttled
from local.functions.sandboxes import InvocationResult
from local.http_server import Request, Response
from local.meter import Meter


@pytest.fixture(autouse=True)
def aws() -> None:
    """These tests need no AWS in the process."""


Behaviour = Callable[[bytes], InvocationResult]


class OneFunction:
    """Stands for all functions; `behave` answers every invoke."""

    def __init__(self, behave: Behaviour) -> None:
        self.config = FunctionConfig("it", "it", "arn:it", "arn:role", "it.handler", 128, 60.0, None, None, {})
        self.invoke = behave

    def get(self, _: str) -> OneFunction:
        return self


@pytest.fixture
def serve() -> Iterator[Callable[..., Response]]:
    """Asks a gateway in front of a function that behaves as given."""
    opened: list[Gateway] = []

    def ask(behave: Behaviour, responses: dict[str, GatewayResponse] | None = None) -> Response:
        deployment = Deployment(
            methods=[Method("GET", "/", "it")], gateway_responses=responses or {}, binary_media_types=("*/*",)
        )
        opened.append(Gateway(deployment, cast(Functions, OneFunction(behave)), Meter()))
        return opened[-1](Request("GET", "/", [("host", "x")], b"", "127.0.0.1"))

    yield ask
    for each in opened:
        each.close()


def answering(answer: Any) -> Behaviour:
    return lambda _: InvocationResult(orjson.dumps(answer))


def test_a_slow_function_is_a_504(serve: Callable[..., Response], monkeypatch: pytest.MonkeyPatch) -> None:
    """After the integration's time, with the template's answer, while the function goes on to its end."""
    monkeypatch.setattr(gateway, "INTEGRATION_SECONDS", 0.05)
    may_end, ended = threading.Event(), threading.Event()

    def slow(_: bytes) -> InvocationResult:
        may_end.wait(10)
        ended.set()
        return InvocationResult(b"{}")

    declared = GatewayResponse(None, {}, '{"error":$context.error.messageString,"id":"$context.requestId"}')
    response = serve(slow, {"DEFAULT_5XX": declared})
    assert response.status == 504
    assert orjson.loads(response.body)["error"] == "Endpoint request timed out"
    assert orjson.loads(response.body)["id"]
    assert not ended.is_set()
    may_end.set()
    assert ended.wait(10)


def test_a_throttled_function_is_a_500(serve: Callable[..., Response]) -> None:
    """Concurrency in use: API Gateway calls that an internal error, and only its own throttling THROTTLED."""

    def busy(_: bytes) -> InvocationResult:
        raise Throttled("Rate Exceeded.")

    declared = {
        "THROTTLED": GatewayResponse(429, {}, "{}"),
        "DEFAULT_5XX": GatewayResponse(None, {"Retry-After": "'1'"}, "{}"),
    }
    response = serve(busy, declared)
    assert response.status == 500
    assert ("Retry-After", "1") in response.headers


def test_a_key_on_no_route_is_taken_for_a_signature() -> None:
    """As AWS does it: a 403 of another kind than without the header, whose message quotes it. So whatever the template
    passes on of that message shows in tests."""
    deployment = Deployment(methods=[Method("GET", "/", "it")], gateway_responses={}, binary_media_types=("*/*",))
    no_route = Gateway(deployment, cast(Functions, None), Meter())
    for headers, message in (
        ([("authorization", "Bearer by_live_x")], "Bearer by_live_x"),
        ([("host", "x")], "Missing Authentication Token"),
    ):
        answer = no_route(Request("POST", "/v1/chat/completions", headers, b"", "127.0.0.1"))
        assert answer.status == 403 and message in orjson.loads(answer.body)["message"]
    no_route.close()


@pytest.mark.parametrize(
    "answer", ["text", None, 7, [], {}, {"body": "x"}, {"statusCode": "no"}, {"statusCode": 200, "headers": 7}]
)
def test_what_is_no_proxy_response_is_a_502(serve: Callable[..., Response], answer: Any) -> None:
    """Whatever the function returns instead."""
    assert serve(answering(answer)).status == 502


def test_binary_answers_are_decoded(serve: Callable[..., Response]) -> None:
    """isBase64Encoded: bytes on the wire; what is not base64 is a 502."""
    good = serve(answering({"statusCode": 200, "body": "AP8=", "isBase64Encoded": True}))
    assert (good.status, good.body) == (200, b"\x00\xff")
    assert serve(answering({"statusCode": 200, "body": "?", "isBase64Encoded": True})).status == 502


def test_headers_cannot_break_the_answer(serve: Callable[..., Response]) -> None:
    """Line breaks are taken out, headers that belong to the connection are renamed, the length is the server's."""
    headers = {"x-a": "1\r\nx-b: 2", "Connection": "keep-alive", "Content-Length": "99"}
    response = serve(answering({"statusCode": 200, "headers": headers, "body": "ok"}))
    assert ("x-a", "1 x-b: 2") in response.headers
    assert ("x-amzn-Remapped-Connection", "keep-alive") in response.headers
    assert not any(name.lower() == "content-length" for name, _ in response.headers)


def test_functions_have_what_the_gateway_uses() -> None:
    """The stand-in above is a subset of the real classes."""
    assert hasattr(Functions, "get")
    assert hasattr(Function, "invoke")
