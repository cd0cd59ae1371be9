"""A client of the KushRouter surface that takes nothing but what is documented: a missing field, an unknown one or one
of another type is an error. And `curl`, for command lines as the documents print them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, TypeAdapter

from tests.customer import NO_TLS, WAIT_SECONDS, eventually, pause_until

TERMINAL = frozenset({"completed", "cancelled", "expired", "failed"})
OPENAI, UNIFIED = "/api/openai/v1", "/api/v1"
BatchStatus = Literal["queued", "processing", "completed", "cancelled", "expired", "failed"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class File(Strict):
    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    filename: str
    purpose: str


class FileList(Strict):
    object: Literal["list"]
    data: list[File]
    has_more: bool


class DeletedFile(Strict):
    id: str
    object: Literal["file"]
    deleted: Literal[True]


class BatchError(Strict):
    code: str
    message: str
    param: str | None
    line: int | None


class BatchErrors(Strict):
    object: Literal["list"]
    data: list[BatchError]


class Counts(Strict):
    total: int
    completed: int
    failed: int


class Wait(Strict):
    provider: str
    model: str
    state: Literal["blocked", "trouble", "queued", "throttled"]
    since: int | None
    message: str


class Batch(Strict):
    id: str
    object: Literal["batch"]
    endpoint: Literal["/v1/chat/completions"]
    model: str | None
    errors: BatchErrors | None
    input_file_id: str
    completion_window: Literal["24h"]
    status: BatchStatus
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    # Batchyard's
    waiting_for: list[Wait] | None
    lanes: list[dict[str, Any]] | None
    request_counts: Counts
    usage: dict[str, Any]
    metadata: dict[str, Any] | None


class BatchList(Strict):
    object: Literal["list"]
    data: list[Batch]
    has_more: bool


class ItemError(Strict):
    message: str
    code: str
    status: int


class Row(Strict):
    index: int
    status: Literal["succeeded", "failed"]
    result: dict[str, Any] | None
    usage: dict[str, Any] | None = None
    error: ItemError | None = None
    custom_id: str | None = None


class Results(Strict):
    id: str
    status: BatchStatus
    total: int
    offset: int
    limit: int
    results: list[Row]


class ErrorDetail(Strict):
    message: str
    type: str
    param: str | None
    code: str | None
    status: int


class Error(Strict):
    error: ErrorDetail


class RateError(Strict):
    error: Literal["Rate limit exceeded (key)"]


T = TypeVar("T", bound=BaseModel)


class Refused(Exception):
    """An answer that is no success; `body` is its JSON."""

    def __init__(self, reply: httpx.Response) -> None:
        super().__init__(f"{reply.status_code}: {reply.text}")
        self.status = reply.status_code
        self.headers = reply.headers
        self.body = reply.json()

    @property
    def detail(self) -> ErrorDetail:
        return Error.model_validate(self.body).error


class KushRouter:
    """`family`: under which of the two roots batches and files are asked for."""

    def __init__(
        self, base_url: str, key: str, family: str = OPENAI, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.family = family
        self.http = httpx.Client(
            base_url=base_url,
            headers={"authorization": f"Bearer {key}"},
            follow_redirects=True,
            timeout=300,
            transport=transport,
            verify=NO_TLS,
        )

    def upload(self, content: bytes, filename: str = "requests.jsonl") -> File:
        return self._ask(File, "POST", "/files", files={"file": (filename, content)})

    def upload_text(self, content: str, filename: str = "requests.jsonl") -> File:
        return self._ask(File, "POST", "/files", json={"content": content, "filename": filename})

    def files(self, **query: Any) -> FileList:
        return self._ask(FileList, "GET", "/files", params=query)

    def file(self, file_id: str) -> File:
        return self._ask(File, "GET", f"/files/{file_id}")

    def content(self, file_id: str) -> bytes:
        return self.ask("GET", f"/files/{file_id}/content").content

    def delete(self, file_id: str) -> DeletedFile:
        return self._ask(DeletedFile, "DELETE", f"/files/{file_id}")

    def create(self, **body: Any) -> Batch:
        return self._ask(Batch, "POST", "/batches", json=body)

    def batches(self, **query: Any) -> BatchList:
        return self._ask(BatchList, "GET", "/batches", params=query)

    def batch(self, batch_id: str) -> Batch:
        return self._ask(Batch, "GET", f"/batches/{batch_id}")

    def cancel(self, batch_id: str) -> Batch:
        return self._ask(Batch, "POST", f"/batches/{batch_id}/cancel")

    def results(self, batch_id: str, **query: Any) -> Results:
        return self._ask(Results, "GET", f"/batches/{batch_id}/results", params=query)

    def export(self, batch_id: str, **query: Any) -> bytes:
        return self.ask("GET", f"/batches/{batch_id}/export", params=query).content

    def wait(self, batch_id: str, until: frozenset[str] = TERMINAL, seconds: float = WAIT_SECONDS) -> Batch:
        def look() -> Batch | None:
            batch = self.batch(batch_id)
            return batch if batch.status in until else None

        return eventually(look, f"{batch_id} in {sorted(until)}", seconds, pause=pause_until(until))

    def all_results(self, batch_id: str, step: int = 100) -> list[Row]:
        """Every row, page by page, as the total says."""
        page = self.results(batch_id, offset=0, limit=step)
        rows = list(page.results)
        while (offset := page.offset + page.limit) < page.total:
            page = self.results(batch_id, offset=offset, limit=step)
            rows += page.results
        return rows

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        reply = self.http.request(method, self.family + path, **options)
        if not reply.is_success:
            raise Refused(reply)
        return reply

    def _ask(self, kind: type[T], method: str, path: str, **options: Any) -> T:
        reply = self.ask(method, path, **options)
        assert reply.headers["content-type"] == "application/json"
        return TypeAdapter(kind).validate_json(reply.content)


@dataclass(frozen=True)
class Shell:
    """Runs the documents' curl command lines in `folder`. Only base address and key are put in."""

    base_url: str
    key: str
    folder: Path

    def __call__(self, command: str) -> bytes:
        """What the command printed. Without a curl on this machine, httpx does what the command says."""
        command = command.replace("https://api.kushrouter.com", self.base_url).replace("$API_KEY", self.key)
        if shutil.which("curl") is None:
            return self._without_curl(shlex.split(command.replace("\\\n", " "))[1:])
        command = command.replace("curl ", "curl --silent --show-error --fail-with-body ", 1)
        done = subprocess.run(["bash", "-c", command], cwd=self.folder, capture_output=True, timeout=300)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def _without_curl(self, words: list[str]) -> bytes:
        method, url, headers, options, output, follow = "GET", "", {}, {}, None, False
        rest = iter(words)
        for word in rest:
            match word:
                case "-X":
                    method = next(rest)
                case "-H":
                    name, _, value = next(rest).partition(": ")
                    headers[name] = value
                case "-d":
                    options["content"] = next(rest).encode()
                case "-F":
                    name, _, path = next(rest).partition("=@")
                    options["files"] = {name: (Path(path).name, (self.folder / path).read_bytes())}
                case "-o":
                    output = self.folder / next(rest)
                case "-L":
                    follow = True
                case _:
                    url = word
        options |= {"headers": headers, "follow_redirects": follow, "verify": NO_TLS}
        reply = httpx.request(method, url, **options)  # type: ignore[arg-type]
        assert reply.is_success, (words, reply.text)
        if output is None:
            return reply.content
        output.write_bytes(reply.content)
        return b""


def line(number: int, simulate: str | None = None, *, model: str = "gpt-4o-mini", **more: Any) -> dict[str, Any]:
    """A bare chat body that differs from every other number's."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": f"Tell {number}."}], **more}
    if simulate:
        body["metadata"] = body.get("metadata", {}) | {"simulate": simulate}
    return body
