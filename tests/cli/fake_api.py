"""A deployment's API in memory, as far as the command line uses it. It takes requests as httpx sends them, and can lose
or refuse them. What it says of models is the server's own routing with the server's catalogue."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesParser
from typing import Any

import httpx

from batchyard.adapters import catalogue
from batchyard.core.routing import Refusal, eligible
from batchyard_cli.limits import Limits

KEY = "by_live_test"
ADDRESS = "https://api.example.test/api"
ELSEWHERE = "https://storage.example.test"
START = 1_800_000_000.0

Fault = Callable[[httpx.Request], httpx.Response | None]
Step = dict[str, Any]


def step(status: str, done: int = 0, failed: int = 0, total: int = 4, **fields: Any) -> Step:
    """A look at a batch."""
    counts = {"total": total, "completed": done, "failed": failed}
    return {"status": status, "request_counts": counts, **fields}


@dataclass
class FakeApi:
    """`life`: what the next looks at the batch see; the last one stays. `faults`: asked before each request; what they
    answer or raise is the answer."""

    now: float = START
    life: list[Step] = field(default_factory=lambda: [step("in_progress"), step("completed", 4)])
    faults: list[Fault] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    upload_seconds: float = 3600
    told_limits: dict[str, int] | None = field(default_factory=dict)
    """Those that differ from the defaults; None: an older deployment, which tells none."""
    told_of_dialects: dict[str, dict[str, int]] = field(default_factory=dict)
    """The limits of dialects, as the dashboard is told them."""
    rows: list[bytes] = field(default_factory=list)
    """Results as the dialect of the batch has them."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        for fault in self.faults:
            if (answer := fault(request)) is not None:
                return answer
        if request.url.path.endswith("/openapi.json"):
            return httpx.Response(200, json={})
        if str(request.url).startswith(ELSEWHERE):
            assert "authorization" not in request.headers
            return self.all_rows(request, "")
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return refusal(401, "Incorrect API key provided.", "invalid_api_key")
        path = request.url.path.removeprefix("/api/v1")
        for method, pattern, answer_to in _ROUTES:
            if request.method == method and (match := re.fullmatch(pattern, path)):
                return answer_to(self, request, *match.groups())
        return refusal(404, f"Invalid URL ({request.method} {path})", "unknown_url")

    @property
    def calls(self) -> list[str]:
        """`GET /batches` and so on."""
        return [f"{each.method} {each.url.path.removeprefix('/api/v1')}" for each in self.requests]

    def add_batch(self, number: int, **fields: Any) -> dict[str, Any]:
        batch = {
            "id": f"batch_{number:026d}",
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "model": "gpt-4o-mini",
            "input_file_id": "file-in",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": int(self.now),
            "in_progress_at": int(self.now) + 1,
            "expires_at": int(self.now) + 86_400,
            "errors": None,
            "metadata": None,
            "lanes": [],
            "waiting_for": [],
            "usage": {"total_tokens": 100, "cost_usd": "0.001000", "realtime_cost_usd": "0.002000"},
            **step("validating", total=0),
            **fields,
        }
        self.batches[batch["id"]] = batch
        return batch

    # What the routes do.

    def create_file(self, request: httpx.Request) -> httpx.Response:
        _, data = form(request)["file"]
        return httpx.Response(200, json={"id": self._new_file(data), "bytes": len(data)})

    def create_upload(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        upload_id = f"upload_{len(self.uploads)}"
        self.uploads[upload_id] = {
            "bytes": body["bytes"],
            "filename": body["filename"],
            "parts": {},
            "status": "pending",
        }
        return httpx.Response(200, json={"id": upload_id, "expires_at": int(self.now + self.upload_seconds)})

    def add_part(self, request: httpx.Request, upload_id: str) -> httpx.Response:
        upload = self.uploads.get(upload_id)
        if upload is None:
            return refusal(404, f"No such Upload object: {upload_id}", "upload_not_found")
        _, data = form(request)["data"]
        part_id = f"part_{hashlib.sha256(data).hexdigest()[:8]}_{len(upload['parts'])}"
        upload["parts"][part_id] = data
        return httpx.Response(200, json={"id": part_id})

    def complete_upload(self, request: httpx.Request, upload_id: str) -> httpx.Response:
        body, upload = json.loads(request.content), self.uploads[upload_id]
        data = b"".join(upload["parts"][part] for part in body["part_ids"])
        assert len(data) == upload["bytes"]
        assert hashlib.md5(data, usedforsecurity=False).hexdigest() == body["md5"]
        upload["status"] = "completed"
        return httpx.Response(200, json={"id": upload_id, "file": {"id": self._new_file(data), "bytes": len(data)}})

    def create_batch(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if "quote_id" in body:
            batch_id = self._made(request, "batchrouter")
            return httpx.Response(200, json={"batch": {"id": batch_id.replace("batch_", "bat_")}})
        batch = self.add_batch(len(self.batches), input_file_id=body["input_file_id"], metadata=body.get("metadata"))
        return httpx.Response(200, json=batch)

    def create_anthropic(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["anthropic-version"] == "2023-06-01"
        assert json.loads(request.content)["requests"] == []
        return httpx.Response(200, json={"id": f"msg{self._made(request, 'anthropic')}"})

    def create_kushrouter(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"id": self._made(request, "kushrouter")})

    def quote(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"quote_id": f"quote of {json.loads(request.content)['input_file_id']}"})

    def _made(self, request: httpx.Request, dialect: str) -> str:
        file_id = json.loads(request.content)["input_file_id"]
        return str(self.add_batch(len(self.batches), input_file_id=file_id, surface=dialect)["id"])

    def view_batch(self, request: httpx.Request, batch_id: str) -> httpx.Response:
        return httpx.Response(200, json={"surface": self.batches[batch_id].get("surface", "openai")})

    def session(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"deployment": {"dialects": self.told_of_dialects}})

    def all_rows(self, request: httpx.Request, batch_id: str) -> httpx.Response:
        return httpx.Response(200, content=b"".join(row + b"\n" for row in self.rows))

    def artifact(self, request: httpx.Request, batch_id: str) -> httpx.Response:
        return httpx.Response(200, json={"url": f"{ELSEWHERE}/{batch_id}"})

    def list_batches(self, request: httpx.Request) -> httpx.Response:
        limit, after = int(request.url.params["limit"]), request.url.params.get("after")
        ids = sorted(self.batches, reverse=True)
        ids = ids[ids.index(after) + 1 :] if after else ids
        page = [self.batches[each] for each in ids[:limit]]
        last = page[-1]["id"] if page else None
        return httpx.Response(200, json={"data": page, "has_more": len(ids) > limit, "last_id": last})

    def retrieve_batch(self, request: httpx.Request, batch_id: str) -> httpx.Response:
        batch = self.batches.get(batch_id)
        if batch is None:
            return refusal(404, f"There is no batch with the id '{batch_id}'.", None)
        if self.life:
            batch |= self.life.pop(0) if len(self.life) > 1 else self.life[0]
            if batch["status"] == "completed":
                batch.setdefault("completed_at", int(self.now))
                counts = batch["request_counts"]
                if counts["completed"] and not batch["output_file_id"]:
                    batch["output_file_id"] = self._new_file(b'{"custom_id": "a"}\n' * counts["completed"])
                if counts["failed"] and not batch["error_file_id"]:
                    batch["error_file_id"] = self._new_file(b'{"custom_id": "b"}\n' * counts["failed"])
        return httpx.Response(200, json=batch)

    def cancel_batch(self, request: httpx.Request, batch_id: str) -> httpx.Response:
        self.batches[batch_id]["status"] = "cancelling"
        return httpx.Response(200, json=self.batches[batch_id])

    def content(self, request: httpx.Request, file_id: str) -> httpx.Response:
        return httpx.Response(200, content=self.files[file_id])

    def limits(self, request: httpx.Request) -> httpx.Response:
        if self.told_limits is None:
            return refusal(404, "Invalid URL (GET /v1/limits)", "unknown_url")
        return httpx.Response(200, json=vars(Limits()) | self.told_limits)

    def plan(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        found = eligible(body["model"], body.get("provider"), catalogue.load(), body["endpoint"])
        if isinstance(found, Refusal):
            return refusal(400, found.message, found.code)
        offer = found[0]
        tokens = body.get("tokens", body["items"] * 500)
        lane = {
            "provider": offer.provider,
            "model": offer.model,
            "mode": "realtime",
            "items": body["items"],
            "verdict": "selected",
            "reason": "It is the cheapest lane that will do.",
            "expected_cost_usd": "0.010000",
            "expected_finish_at": int(self.now) + 600,
        }
        planned = {"items": body["items"], "input_tokens": tokens, "candidates": [lane]}
        return httpx.Response(
            200,
            json={
                "routes": [{"provider": offer.provider, "model": offer.model, **planned}],
                "expected_cost_usd": "0.010000",
                "realtime_cost_usd": "0.020000",
                "expected_finish_at": int(self.now) + 600,
                "notes": ["Nobody knows how much the models will answer."],
            },
        )

    def _new_file(self, data: bytes) -> str:
        file_id = f"file-{len(self.files)}"
        self.files[file_id] = data
        return file_id


def refusal(status: int, message: str, code: str | None) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message, "code": code, "type": "invalid_request_error"}})


def form(request: httpx.Request) -> dict[str, tuple[str | None, bytes]]:
    """name -> (file name, bytes) of a multipart form."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    members = BytesParser().parsebytes(head + request.content).get_payload()
    assert isinstance(members, list)
    found = {}
    for member in members:
        name = member.get_param("name", header="content-disposition")
        found[str(name)] = (member.get_filename(), member.get_payload(decode=True))
    return found  # type: ignore[return-value]


_ROUTES: tuple[tuple[str, str, Callable[..., httpx.Response]], ...] = (
    ("POST", "/files", FakeApi.create_file),
    ("GET", "/files/([^/]+)/content", FakeApi.content),
    ("POST", "/uploads", FakeApi.create_upload),
    ("POST", "/uploads/([^/]+)/parts", FakeApi.add_part),
    ("POST", "/uploads/([^/]+)/complete", FakeApi.complete_upload),
    ("POST", "/batches", FakeApi.create_batch),
    ("GET", "/batches", FakeApi.list_batches),
    ("GET", "/batches/([^/]+)", FakeApi.retrieve_batch),
    ("POST", "/batches/([^/]+)/cancel", FakeApi.cancel_batch),
    ("POST", "/messages/batches", FakeApi.create_anthropic),
    ("GET", "/messages/batches/([^/]+)/results", FakeApi.all_rows),
    ("POST", "/api/api/v1/batches", FakeApi.create_kushrouter),
    ("GET", "/api/api/v1/batches/([^/]+)/export", FakeApi.all_rows),
    ("POST", "/quotes/model", FakeApi.quote),
    ("GET", "/batches/([^/]+)/artifact-url", FakeApi.artifact),
    ("GET", "/api/dashboard/api/batches/([^/]+)", FakeApi.view_batch),
    ("GET", "/api/dashboard/api/session", FakeApi.session),
    ("POST", "/plan", FakeApi.plan),
    ("GET", "/limits", FakeApi.limits),
)
