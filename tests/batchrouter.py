"""A client of the BatchRouter surface that takes nothing but what is documented: a missing field, an unknown one or one
of another type is an error. And `curl`, for the command lines that its document prints."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter

from tests.customer import NO_TLS, WAIT_SECONDS, eventually, pause_until

TERMINAL = frozenset({"completed", "cancelled", "expired", "failed"})
ACTIVE = ("pending", "queued", "routing", "dispatched", "processing", "completing")
"""In the order in which a batch goes through them."""

Status = Literal[
    "pending",
    "queued",
    "routing",
    "dispatched",
    "processing",
    "completing",
    "completed",
    "failed",
    "cancelled",
    "expired",
]
SlaTier = Literal["standard", "flex", "priority"]
RoutingMode = Literal["cheapest", "sla_aware", "public_only", "edge_only", "hybrid", "privacy_constrained"]
PrivacyTier = Literal["standard", "confidential", "restricted"]
LaneMode = Literal["realtime", "flex", "native"]
Time = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
BatchId = Annotated[str, StringConstraints(pattern=r"^bat_[0-9a-z]+$")]
FileId = Annotated[str, StringConstraints(pattern=r"^file_[0-9a-z]+$")]
QuoteId = Annotated[str, StringConstraints(pattern=r"^qlock_[0-9a-z]+$")]
KeyId = Annotated[str, StringConstraints(pattern=r"^key_[0-9a-z]+$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Money(Strict):
    currency: Literal["usd"]
    amount: Annotated[str, StringConstraints(pattern=r"^-?\d+\.\d{6}$")]


class Breakdown(Strict):
    items: int
    input_tokens: int
    output_tokens: int
    list_price: Money
    discount: Money
    total: Money


class Estimate(Strict):
    currency: Literal["usd"]
    amount: str
    breakdown: Breakdown


class QuoteLane(Strict):
    provider: str
    model: str
    mode: LaneMode
    selected: bool
    verdict: str
    reason: str | None
    items: int
    estimated_cost: Money
    expected_completion_at: Time | None


class Quote(Strict):
    quote_id: QuoteId
    created_at: Time
    expires_at: Time
    item_count: int
    sampled_items: int | None
    sla_tier: SlaTier
    routing_mode: RoutingMode
    privacy_tier: PrivacyTier
    models: list[str] | None
    allowed_regions: list[str] | None
    max_price: Money | None
    sla_deadline: Time
    expected_completion_at: Time
    pricing_estimate: Estimate
    quote_lanes: list[QuoteLane]


class Created(Strict):
    id: BatchId
    status: Literal["pending"]
    item_count: int
    created_at: Time
    sla_deadline: Time


class Creation(Strict):
    batch: Created


class Issue(Strict):
    code: str
    message: str
    path: str | None
    line: int | None


class Wait(Strict):
    provider: str
    model: str
    state: Literal["blocked", "trouble", "queued", "throttled"]
    since: int | None
    message: str


class Batch(Strict):
    id: BatchId
    status: Status
    item_count: int
    succeeded_count: int
    failed_count: int
    created_at: Time
    sla_deadline: Time
    ended_at: Time | None
    sla_tier: SlaTier
    routing_mode: RoutingMode
    privacy_tier: PrivacyTier
    quote_id: QuoteId | None
    input_file_id: FileId
    output_file_id: FileId | None
    error_file_id: FileId | None
    cost: Money
    max_price: Money | None
    errors: list[Issue]
    waiting_for: list[Wait] | None
    lanes: list[dict[str, Any]] | None
    metadata: dict[str, Any] | None


class Tokens(Strict):
    input: int
    cached_input: int
    output: int
    reasoning: int


class ProviderLane(Strict):
    provider: str
    model: str
    mode: LaneMode
    items: int
    cost: Money
    tokens: Tokens


class RejectedLane(Strict):
    provider: str
    model: str
    mode: LaneMode
    verdict: str
    reason: str


class UnheardCalls(Strict):
    items: int
    interrupted_runs: int


class Receipt(Strict):
    status: Literal["open", "settled"]
    quote_id: QuoteId | None
    reserved: Money
    charged: Money
    released: Money
    list_price: Money
    tokens: Tokens
    provider_lanes: list[ProviderLane]
    rejected_lanes: list[RejectedLane]
    may_be_paid_twice: UnheardCalls


class Billed(Batch):
    billing_receipt: Receipt


class BatchList(Strict):
    batches: list[Batch]
    next_cursor: str | None


class ItemError(Strict):
    code: str
    message: str


class Response(Strict):
    status_code: int
    body: dict[str, Any]


class Row(Strict):
    customer_item_id: str
    index: int
    status: Literal["succeeded", "failed", "cancelled", "expired"]
    response: Response | None
    error: ItemError | None


class Results(Strict):
    batch_id: BatchId
    status: Status
    item_count: int
    next_cursor: str | None
    results: list[Row]


class Artifact(Strict):
    batch_id: BatchId
    url: str
    content_type: Literal["application/x-ndjson"]
    expires_at: Time


class File(Strict):
    id: FileId
    file_id: FileId
    filename: str
    bytes: int
    created_at: Time
    expires_at: Time | None


class Account(Strict):
    id: str
    name: str
    billing: Literal["free", "prepaid", "postpaid"]
    credit_balance: Money
    reserved: Money
    created_at: Time


class NewKey(Strict):
    api_key: str
    api_key_id: KeyId
    name: str
    expires_at: Time | None


class ApiKey(Strict):
    api_key_id: KeyId
    name: str
    hint: str
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None


class ApiKeys(Strict):
    api_keys: list[ApiKey]


class Prices(Strict):
    input: Money
    cached_input: Money
    output: Money


class Model(Strict):
    model: str
    provider: str
    context_window: int | None
    price_per_million_tokens: Prices


class Catalog(Strict):
    models: list[Model]


class Details(Strict):
    preflight: list[Issue] = []
    param: str | None = None


class ErrorDetail(Strict):
    code: str
    message: str
    details: Details


class Error(Strict):
    error: ErrorDetail


T = TypeVar("T", bound=BaseModel)


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, reply: httpx.Response) -> None:
        super().__init__(f"{reply.status_code}: {reply.text}")
        self.status = reply.status_code
        self.headers = reply.headers
        self.error = Error.model_validate_json(reply.content).error

    @property
    def issues(self) -> list[tuple[str, str | None, int | None]]:
        """(code, path, line) of everything that preflight found."""
        return [(each.code, each.path, each.line) for each in self.error.details.preflight]


class BatchRouter:
    def __init__(self, base_url: str, key: str, transport: httpx.BaseTransport | None = None) -> None:
        self.http = httpx.Client(
            base_url=base_url,
            headers={"authorization": f"Bearer {key}"},
            timeout=300,
            transport=transport,
            verify=NO_TLS,
        )

    def quote(self, items: Sequence[dict[str, Any]] | None = None, **body: Any) -> Quote:
        return self._ask(Quote, "POST", "/v1/quotes/model", json=_with_items(items, body))

    def create(
        self, quote_id: str | None, items: Sequence[dict[str, Any]] | None = None, key: str | None = None, **body: Any
    ) -> Created:
        reply = self.post(quote_id, items, key, **body)
        if reply.status_code != 202:
            raise Refused(reply)
        return Creation.model_validate_json(reply.content).batch

    def post(
        self, quote_id: str | None, items: Sequence[dict[str, Any]] | None = None, key: str | None = None, **body: Any
    ) -> httpx.Response:
        """The reply to a creation, whatever it is."""
        if quote_id is not None:
            body = {"quote_id": quote_id} | body
        headers = {"idempotency-key": key or str(uuid.uuid4())}
        return self.http.post("/v1/batches", json=_with_items(items, body), headers=headers)

    def run(self, items: Sequence[dict[str, Any]], **body: Any) -> Created:
        """A batch of these items, by way of a quote."""
        routing = {name: body[name] for name in ("sla_tier", "routing_mode", "privacy_tier") if name in body}
        return self.create(self.quote(items, **routing).quote_id, items, **body)

    def batch(self, batch_id: str) -> Batch:
        return self._ask(Batch, "GET", f"/v1/batches/{batch_id}")

    def billed(self, batch_id: str) -> Billed:
        return self._ask(Billed, "GET", f"/v1/batches/{batch_id}", params={"include_billing_receipt": "true"})

    def batches(self, cursor: str = "", **query: Any) -> BatchList:
        return self._ask(BatchList, "GET", "/v1/batches", params={"cursor": cursor} | query)

    def cancel(self, batch_id: str) -> Batch:
        return self._ask(Batch, "POST", f"/v1/batches/{batch_id}/cancel")

    def results(self, batch_id: str, **query: Any) -> Results:
        return self._ask(Results, "GET", f"/v1/batches/{batch_id}/results", params=query, follow_redirects=True)

    def all_results(self, batch_id: str, limit: int = 100) -> list[Row]:
        """Every row, page by page."""
        page = self.results(batch_id, limit=limit)
        rows = list(page.results)
        while page.next_cursor is not None:
            page = self.results(batch_id, limit=limit, cursor=page.next_cursor)
            rows += page.results
        return rows

    def artifact(self, batch_id: str) -> Artifact:
        return self._ask(Artifact, "GET", f"/v1/batches/{batch_id}/artifact-url")

    def upload(self, content: bytes, filename: str = "batch.jsonl") -> File:
        return self._ask(File, "POST", "/v1/files", files={"file": (filename, content)})

    def file(self, file_id: str) -> File:
        return self._ask(File, "GET", f"/v1/files/{file_id}")

    def account(self) -> Account:
        return self._ask(Account, "GET", "/v1/auth/account")

    def create_key(self, **body: Any) -> NewKey:
        return self._ask(NewKey, "POST", "/v1/auth/account/api-keys", json=body)

    def api_keys(self) -> list[ApiKey]:
        return self._ask(ApiKeys, "GET", "/v1/auth/account/api-keys").api_keys

    def revoke_key(self, key_id: str) -> ApiKey:
        return self._ask(ApiKey, "DELETE", f"/v1/auth/account/api-keys/{key_id}")

    def catalog(self) -> list[Model]:
        return self._ask(Catalog, "GET", "/v1/catalog/models", headers={"authorization": ""}).models

    def wait(self, batch_id: str, until: frozenset[str] = TERMINAL, seconds: float = WAIT_SECONDS) -> Batch:
        def look() -> Batch | None:
            batch = self.batch(batch_id)
            return batch if batch.status in until else None

        return eventually(look, f"{batch_id} in {sorted(until)}", seconds, pause=pause_until(until))

    def _ask(self, kind: type[T], method: str, path: str, **options: Any) -> T:
        reply = self.http.request(method, path, **options)
        if not reply.is_success:
            raise Refused(reply)
        return TypeAdapter(kind).validate_json(reply.content)


@dataclass(frozen=True)
class Shell:
    """Runs the document's curl command lines in `folder`. Only base address, key and ids are put in."""

    base_url: str
    key: str
    folder: Path

    def __call__(self, command: str, **ids: str) -> bytes:
        """What the command printed. `ids`: what stands for an id in the document -> the id. Without a curl on this
        machine, httpx does what the command says."""
        for shown, real in ids.items():
            command = command.replace(shown, real)
        command = command.replace("https://api.batchrouter.com", self.base_url)
        command = command.replace("$BATCHROUTER_API_KEY", self.key).replace("$(uuidgen)", str(uuid.uuid4()))
        if shutil.which("curl") is None:
            return self._without_curl(shlex.split(command.replace("\\\n", " "))[1:])
        command = command.replace("curl ", "curl --silent --show-error --fail-with-body ", 1)
        done = subprocess.run(["bash", "-c", command], cwd=self.folder, capture_output=True, timeout=300)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def _without_curl(self, words: list[str]) -> bytes:
        method, url, headers, content = "GET", "", {}, None
        rest = iter(words)
        for word in rest:
            match word:
                case "-X":
                    method = next(rest)
                case "-H":
                    name, _, value = next(rest).partition(": ")
                    headers[name] = value
                case "-d":
                    content = next(rest).encode()
                case _:
                    url = word
        reply = httpx.request(method, url, headers=headers, content=content, verify=NO_TLS)
        assert reply.is_success, (words, reply.text)
        return reply.content


def item(number: int = 1, simulate: str | None = None, *, model: str = "gpt-4o-mini", **changes: Any) -> dict[str, Any]:
    """An item that differs from every other number's."""
    body: dict[str, Any] = {"messages": [{"role": "user", "content": f"Tell {number}."}]}
    if simulate:
        body["metadata"] = {"simulate": simulate}
    made = {"customer_item_id": f"item-{number}", "operation": "responses", "model": model, "input": body} | changes
    return {name: value for name, value in made.items() if value is not ...}


def _with_items(items: Sequence[dict[str, Any]] | None, body: dict[str, Any]) -> dict[str, Any]:
    return body if items is None else {"items": items} | body
