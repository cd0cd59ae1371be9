"""Bedrock on the wire: signed as AWS wants it, against a stub of its endpoint that checks what it hears."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from botocore.session import Session
from openai.types.chat import ChatCompletion

from batchyard.adapters.providers.answer_memory import AnswerMemory
from batchyard.adapters.providers.bedrock import signing
from batchyard.adapters.providers.kinds import connect
from batchyard.adapters.providers.provider_client import CallLimits
from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.lanes import Lane
from batchyard.core.providers import Provider
from batchyard.core.retry import FailureReason
from tests.bedrock_model import assert_is_converse

CHAT = "/v1/chat/completions"
REGION = "eu-central-1"
PROVIDER = Provider("bedrock", "bedrock", f"https://bedrock-runtime.{REGION}.amazonaws.com")
KEY_ID, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "the-session's-token"
NOVA = "amazon.nova-pro-v1:0"
ARN = f"arn:aws:bedrock:{REGION}:123456789012:application-inference-profile/abc"
ANSWER = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
    "metrics": {"latencyMs": 1},
}


@dataclass(frozen=True)
class Heard:
    """A request as it came over the wire; names of headers in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Stub:
    """Stands for Bedrock's endpoint."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"x-amzn-RequestId": "r-1"})
    answer: Any = field(default_factory=lambda: ANSWER)
    heard: list[Heard] = field(default_factory=list)


@pytest.fixture
def stub() -> Iterator[Stub]:
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            stub.heard.append(Heard(self.path, headers, body))
            content = orjson.dumps(stub.answer)
            self.send_response(stub.status)
            for name, value in (stub.headers | {"content-length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *values: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield stub
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a role in the environment, as Lambda puts them there."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setattr(signing, "session", cache(Session))


def send(stub: Stub, document: dict[str, Any], api_key: str = "", lane: Lane | None = None) -> ProviderReply:
    async def call() -> ProviderReply:
        client = connect(PROVIDER, stub.url, CallLimits(5.0, 20.0, 4, 100_000), AnswerMemory(600_000, 100_000))
        try:
            return await client.call(CHAT, api_key, orjson.dumps(document), lane)
        finally:
            await client.close()

    return asyncio.run(call())


def chat(model: str = NOVA, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Grüße"}]} | fields


def signature(heard: Heard, signed: list[str]) -> str:
    """The signature that the request must have, computed from what came over the wire, step by step as in
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html"""
    moment = heard.headers["x-amz-date"]
    scope = f"{moment[:8]}/{REGION}/bedrock/aws4_request"
    headers = "".join(f"{name}:{heard.headers[name].strip()}\n" for name in signed)
    digest = hashlib.sha256(heard.body).hexdigest()
    canonical = "\n".join(["POST", quote(heard.path, safe="/-_.~"), "", headers, ";".join(signed), digest])
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{SECRET}".encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


@pytest.mark.parametrize("model", [NOVA, ARN])
def test_what_arrives_is_signed_by_the_role(stub: Stub, model: str) -> None:
    """Over the path, the host, the role's token and the body as they came, whatever characters a model's name has."""
    reply = send(stub, chat(), lane=Lane("bedrock", model))
    assert isinstance(reply, Answer) and reply.failure is None, reply
    (heard,) = stub.heard
    assert heard.path == f"/model/{quote(model, safe='')}/converse"
    assert_is_converse(heard.path, heard.body, model)
    assert heard.headers["x-amz-security-token"] == TOKEN
    algorithm, _, rest = heard.headers["authorization"].partition(" ")
    told = dict(part.split("=", 1) for part in rest.split(", "))
    signed = told["SignedHeaders"].split(";")
    assert (algorithm, signed) == ("AWS4-HMAC-SHA256", ["content-type", "host", "x-amz-date", "x-amz-security-token"])
    assert told["Credential"] == f"{KEY_ID}/{heard.headers['x-amz-date'][:8]}/{REGION}/bedrock/aws4_request"
    assert told["Signature"] == signature(heard, signed)


def test_the_answer(stub: Stub) -> None:
    """Is a chat completion that OpenAI's SDK reads, with its tokens counted."""
    reply = send(stub, chat())
    assert isinstance(reply, Answer) and reply.request_id == "r-1"
    found = ChatCompletion.model_validate_json(reply.body, strict=True)
    assert found.choices[0].message.content == "Hello"
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (3, 2)


def test_a_failure(stub: Stub) -> None:
    """Is told apart by the header that AWS puts its name into."""
    stub.status, stub.answer = 424, {"message": "No.", "originalStatusCode": 500}
    stub.headers["x-amzn-ErrorType"] = "ModelErrorException:http://internal.amazon.com/coral/com.amazon.bedrock/"
    reply = send(stub, chat())
    assert isinstance(reply, Answer) and (reply.status, reply.failure) == (424, FailureReason.SERVER_ERROR)
    assert orjson.loads(reply.body)["error"]["type"] == "ModelErrorException"


def test_what_cannot_be_done_is_not_sent(stub: Stub) -> None:
    """The item's error names the parameter, and the vendor hears nothing."""
    reply = send(stub, chat(logprobs=True))
    assert isinstance(reply, Answer) and (reply.status, reply.failure) == (400, FailureReason.UNSUPPORTED)
    assert orjson.loads(reply.body)["error"]["param"] == "logprobs"
    assert stub.heard == []


def test_a_callers_own_key_counts_instead_of_the_role(stub: Stub) -> None:
    """Nothing is signed with the deployment's role for somebody who pays themselves."""
    send(stub, chat(), "bedrock-api-key")
    (heard,) = stub.heard
    assert heard.headers["authorization"] == "Bearer bedrock-api-key"
    assert "x-amz-date" not in heard.headers and "x-amz-security-token" not in heard.headers


class NoSession:
    """Stands for a session that finds no credentials."""

    def get_credentials(self) -> None:
        """None at all."""


def test_without_a_role_bedrock_refuses(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unsigned request is what a missing key is elsewhere: the lane waits until a person acts."""
    monkeypatch.setattr(signing, "session", NoSession)
    stub.status, stub.answer = 403, {"message": "Missing Authentication Token"}
    stub.headers["x-amzn-ErrorType"] = "MissingAuthenticationTokenException"
    assert send(stub, chat()).failure is FailureReason.KEY_REFUSED
    assert "authorization" not in stub.heard[0].headers
