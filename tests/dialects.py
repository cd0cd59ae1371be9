"""All dialects behind one interface: how each sends the same items, and how each shows a batch that has ended.

`SENDERS` create a batch from bodies; `READERS` look at any batch, whichever dialect made it, and return the same values
for the same batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.customer import CHAT, NO_TLS, Customer, jsonl

KUSHROUTER_STATUSES = {
    "validating": "queued",
    "in_progress": "processing",
    "finalizing": "processing",
    "cancelling": "processing",
}
"""OpenAI's statuses that KushRouter has another name for."""


@dataclass(frozen=True)
class Sent:
    """An item that every dialect can express."""

    custom_id: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a client learns of an item: the answer, or why there is none."""

    status: int
    answer: dict[str, Any] | None
    message: str | None


@dataclass(frozen=True)
class Ended:
    """What a client learns of a batch that has ended. `errors`: (line, code). `outcomes`: in input order, as far as the
    dialect keeps one."""

    status: str
    counts: tuple[int, int, int]
    tokens: tuple[int, int, int, int]
    cost_usd: str
    errors: tuple[tuple[int | None, str], ...]
    metadata: dict[str, Any] | None
    input_file_id: str
    outcomes: dict[str, Outcome]


class Dialects:
    """One account's way into every surface."""

    def __init__(self, http: httpx.Client, key: str) -> None:
        self.http = http
        self.plain = {"authorization": f"Bearer {key}"}
        self.portkey = {"x-portkey-api-key": key}
        self.anthropic = {"x-api-key": key, "anthropic-version": "2026-10-21"}
        self.portkey_create = {
            **self.portkey,
            "x-portkey-provider": "openai",
            "authorization": "Bearer sk-the-callers-own",
        }

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        reply = self.http.request(method, path, headers=headers or self.plain, **options)
        assert reply.is_success, f"{method} {path}: {reply.status_code} {reply.text}"
        return reply

    def upload(self, path: str, content: bytes, headers: dict[str, str] | None = None) -> str:
        reply = self.ask("POST", path, headers, files={"file": ("requests.jsonl", content)}, data={"purpose": "batch"})
        file_id: str = reply.json()["id"]
        return file_id

    # Ways to send.

    def send_openai(self, items: Sequence[Sent], metadata: dict[str, str]) -> str:
        lines = [_openai_line(item) for item in items]
        return self._create("/v1/batches", self.upload("/v1/files", jsonl(lines)), metadata)

    def send_fastrouter(self, items: Sequence[Sent], metadata: dict[str, str]) -> str:
        """Lines that name their provider, with models in its namespace."""
        lines = []
        for item in items:
            body = item.body | {"model": f"openai/{item.body['model']}"}
            lines.append(_openai_line(Sent(item.custom_id, body)) | {"provider": "openai"})
        return self._create("/v1/batches", self.upload("/v1/files", jsonl(lines)), metadata)

    def send_portkey(self, items: Sequence[Sent], metadata: dict[str, str]) -> str:
        file_id = self.upload("/v1/files", jsonl([_openai_line(item) for item in items]), self.portkey)
        return self._create("/v1/batches", file_id, metadata, self.portkey_create)

    def send_kushrouter(self, items: Sequence[Sent], metadata: dict[str, str]) -> str:
        lines = [_bare_line(item) for item in items]
        file_id = self.upload("/api/v1/files", jsonl(lines))
        wish = {"input_file_id": file_id, "metadata": metadata}
        return str(self.ask("POST", "/api/v1/batches", json=wish).json()["id"])

    def send_kushrouter_inline(self, items: Sequence[Sent], metadata: dict[str, str]) -> str:
        wish = {"requests": [_bare_line(item) for item in items], "metadata": metadata}
        return str(self.ask("POST", "/api/openai/v1/batches", json=wish).json()["id"])

    def _create(self, path: str, file_id: str, metadata: dict[str, str], headers: dict[str, str] | None = None) -> str:
        wish = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h", "metadata": metadata}
        return str(self.ask("POST", path, headers, json=wish).json()["id"])

    # Ways to look.

    def statuses(self, batch_id: str) -> tuple[str, str, str]:
        """As OpenAI's, as Portkey's and as KushRouter's clients see it."""
        return (
            self.ask("GET", f"/v1/batches/{batch_id}").json()["status"],
            self.ask("GET", f"/v1/batches/{batch_id}", self.portkey).json()["status"],
            self.ask("GET", f"/api/v1/batches/{batch_id}").json()["status"],
        )

    def listed(self) -> list[set[str]]:
        """The newest batches that each surface lists."""
        pages = (
            self.ask("GET", "/v1/batches"),
            self.ask("GET", "/v1/batches", self.portkey),
            self.ask("GET", "/api/v1/batches"),
            self.ask("GET", "/api/openai/v1/batches"),
            self.ask("GET", "/v1/messages/batches", self.anthropic),
        )
        return [{batch["id"].removeprefix("msg") for batch in page.json()["data"]} for page in pages]

    def read_openai(self, batch_id: str) -> Ended:
        return self._read_files(batch_id, self.plain)

    def read_portkey(self, batch_id: str) -> Ended:
        return self._read_files(batch_id, self.portkey)

    def read_portkey_output(self, batch_id: str) -> bytes:
        return self.ask("GET", f"/v1/batches/{batch_id}/output", self.portkey, follow_redirects=True).content

    def read_kushrouter(self, batch_id: str) -> Ended:
        """Page by page."""
        batch = self.ask("GET", f"/api/v1/batches/{batch_id}").json()
        rows: list[dict[str, Any]] = []
        total = 1
        while len(rows) < total and batch["status"] == "completed":
            query = {"offset": len(rows), "limit": 2}
            page = self.ask("GET", f"/api/v1/batches/{batch_id}/results", params=query, follow_redirects=True).json()
            assert page["results"], "a page of a completed batch is empty"
            rows, total = rows + page["results"], page["total"]
        return _ended(batch, _of_rows(rows))

    def read_kushrouter_export(self, batch_id: str) -> Ended:
        """As one file, under the other root."""
        batch = self.ask("GET", f"/api/openai/v1/batches/{batch_id}").json()
        path = f"/api/openai/v1/batches/{batch_id}/export"
        data = self.ask("GET", path, params={"format": "ndjson"}, follow_redirects=True).content
        return _ended(batch, _of_rows([json.loads(line) for line in data.splitlines()]))

    def read_batchrouter(self, batch_id: str) -> Ended:
        """With its receipt, which has the tokens, and by pages of two; by the other spelling of its id."""
        spelled = batch_id.replace("batch_", "bat_")
        query = {"include_billing_receipt": "true"}
        batch = self.ask("GET", f"/v1/batches/{spelled}", params=query).json()
        rows: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None and batch["status"] == "completed":
            query = {"limit": "2", "cursor": cursor}
            page = self.ask("GET", f"/v1/batches/{spelled}/results", params=query, follow_redirects=True).json()
            rows, cursor = rows + page["results"], page["next_cursor"]
        assert [row["index"] for row in rows] == list(range(len(rows))), "rows are not in input order"
        tokens = batch["billing_receipt"]["tokens"]
        return Ended(
            status=batch["status"],
            counts=(batch["item_count"] if rows else 0, batch["succeeded_count"], batch["failed_count"]),
            tokens=(tokens["input"], tokens["cached_input"], tokens["output"], tokens["reasoning"]),
            cost_usd=batch["cost"]["amount"],
            errors=tuple((error["line"], error["code"]) for error in batch["errors"]),
            metadata=batch["metadata"],
            input_file_id=batch["input_file_id"].replace("file_", "file-"),
            outcomes={row["customer_item_id"]: _of_line(row) for row in rows},
        )

    def _read_files(self, batch_id: str, headers: dict[str, str]) -> Ended:
        batch = self.ask("GET", f"/v1/batches/{batch_id}", headers).json()
        outcomes: dict[str, Outcome] = {}
        for file_id in (batch["output_file_id"], batch["error_file_id"]):
            if file_id is not None:
                data = self.ask("GET", f"/v1/files/{file_id}/content", headers, follow_redirects=True).content
                lines = [json.loads(line) for line in data.splitlines()]
                outcomes |= {line["custom_id"]: _of_line(line) for line in lines}
        return _ended(batch, outcomes)


Sender = Callable[[Dialects, Sequence[Sent], dict[str, str]], str]
Reader = Callable[[Dialects, str], Ended]

SENDERS: dict[str, Sender] = {
    "openai": Dialects.send_openai,
    "fastrouter": Dialects.send_fastrouter,
    "portkey": Dialects.send_portkey,
    "kushrouter": Dialects.send_kushrouter,
    "kushrouter, inline": Dialects.send_kushrouter_inline,
}
READERS: dict[str, Reader] = {
    "openai": Dialects.read_openai,
    "portkey": Dialects.read_portkey,
    "kushrouter": Dialects.read_kushrouter,
    "kushrouter, export": Dialects.read_kushrouter_export,
    "batchrouter": Dialects.read_batchrouter,
}


@contextmanager
def dialects(customer: Customer) -> Iterator[Dialects]:
    with httpx.Client(base_url=customer.cloud.api_url, timeout=300, verify=NO_TLS) as http:
        yield Dialects(http, customer.api_key)


def _openai_line(item: Sent) -> dict[str, Any]:
    return {"custom_id": item.custom_id, "method": "POST", "url": CHAT, "body": item.body}


def _bare_line(item: Sent) -> dict[str, Any]:
    return {"custom_id": item.custom_id, **item.body}


def _ended(batch: dict[str, Any], outcomes: dict[str, Outcome]) -> Ended:
    counts, usage = batch["request_counts"], batch["usage"]
    errors = batch["errors"]["data"] if batch["errors"] else []
    return Ended(
        status=batch["status"],
        counts=(counts["total"], counts["completed"], counts["failed"]),
        tokens=(
            usage["input_tokens"],
            usage["input_tokens_details"]["cached_tokens"],
            usage["output_tokens"],
            usage["output_tokens_details"]["reasoning_tokens"],
        ),
        cost_usd=usage["cost_usd"],
        errors=tuple((error["line"], error["code"]) for error in errors),
        metadata=batch["metadata"],
        input_file_id=batch["input_file_id"],
        outcomes=outcomes,
    )


def _of_line(line: dict[str, Any]) -> Outcome:
    response = line["response"]
    if response["status_code"] == 200:
        return Outcome(200, _timeless(response["body"]), None)
    return Outcome(response["status_code"], None, response["body"]["error"]["message"])


def _of_rows(rows: list[dict[str, Any]]) -> dict[str, Outcome]:
    assert [row["index"] for row in rows] == list(range(len(rows))), "rows are not in input order"
    return {row["custom_id"]: _of_row(row) for row in rows}


def _of_row(row: dict[str, Any]) -> Outcome:
    if row["status"] == "succeeded":
        assert row["usage"] == row["result"]["usage"]
        return Outcome(200, _timeless(row["result"]), None)
    return Outcome(row["error"]["status"], None, row["error"]["message"])


def _timeless(answer: dict[str, Any]) -> dict[str, Any]:
    """Without the second at which it was made."""
    return {name: value for name, value in answer.items() if name != "created"}
