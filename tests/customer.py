"""A customer of the local cloud: an account with its OpenAI client, who submits, waits, downloads and checks."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from openai import DefaultHttpxClient, OpenAI
from openai.types import Batch

from batchyard.adapters.aws.table import Key, Table
from tests.invariants import TERMINAL, Checked, check_batch, check_credits, check_rows, check_unmoved, copies_of

if TYPE_CHECKING:  # the quick tests use `eventually`, and import no local cloud
    from local.cloud import LocalCloud

CHAT = "/v1/chat/completions"
WAIT_SECONDS = 600
POLL_SECONDS = 0.1
END_POLL_SECONDS = 0.25
"""For the end of a batch, which nobody has to see at once: a look through the API takes a fiftieth of a second of CPU
time, and all looks together would take as much as the batch."""

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""The local cloud speaks plain HTTP. A client that is not told so reads all the certificates of this machine first,
which takes longer than a call."""

T = TypeVar("T")


def chat_line(number: int, simulate: str | None = None, *, model: str = "gpt-4o-mini", **body: Any) -> dict[str, Any]:
    """A line whose body differs from every other number's, so that the simulator can count it. `simulate`: what the
    simulated provider is to do with it."""
    content = {"model": model, "messages": [{"role": "user", "content": f"Say {number}."}], **body}
    if simulate:
        content["metadata"] = content.get("metadata", {}) | {"simulate": simulate}
    return {"custom_id": f"item-{number}", "method": "POST", "url": CHAT, "body": content}


def jsonl(lines: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def eventually(
    look: Callable[[], T | None], what: str, seconds: float = WAIT_SECONDS, *, pause: float = POLL_SECONDS
) -> T:
    """What `look` finds, as soon as it finds something; fails after `seconds`. `pause`: seconds between two looks."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(pause)
    raise AssertionError(f"not within {seconds} seconds: {what}")


def pause_until(statuses: frozenset[str]) -> float:
    """Seconds between two looks whether a batch is in one of `statuses`."""
    return END_POLL_SECONDS if statuses >= TERMINAL else POLL_SECONDS


CREDITS = "1000"
"""Dollars: more than any test spends."""


class Customer:
    """An account that has paid in advance, so that every run checks the books of its credits, too."""

    def __init__(self, cloud: LocalCloud, name: str) -> None:
        self.cloud = cloud
        self.account_id, self.api_key = cloud.create_account(name)
        self.operator("set_billing", billing="prepaid")
        self.operator("top_up", id="first", usd=CREDITS)
        http = DefaultHttpxClient(verify=NO_TLS)
        self.openai = OpenAI(
            base_url=f"{cloud.api_url}/v1", api_key=self.api_key, max_retries=2, timeout=300, http_client=http
        )
        self._table = Table(cloud.client("dynamodb"), cloud.table_name)

    def __enter__(self) -> Customer:
        return self

    def __exit__(self, *_: object) -> None:
        self.openai.close()

    def operator(self, action: str, **fields: Any) -> dict[str, Any]:
        """What an operator does about this account."""
        answer: dict[str, Any] = self.cloud.operator(action, account_id=self.account_id, **fields)
        assert "error" not in answer, answer
        return answer

    def upload(self, content: bytes, filename: str = "requests.jsonl") -> str:
        return self.openai.files.create(file=(filename, content), purpose="batch").id

    def submit(self, lines: Sequence[dict[str, Any]] | bytes, endpoint: str = CHAT, **options: Any) -> Batch:
        content = lines if isinstance(lines, bytes) else jsonl(lines)
        return self.openai.batches.create(
            input_file_id=self.upload(content),
            endpoint=endpoint,  # type: ignore[arg-type]
            completion_window="24h",
            **options,
        )

    def lose_answers(self, *functions: str) -> None:
        """The next transaction of each of these functions for this customer happens, and seems to have failed: the API
        answers 500 to what it has done."""
        for function in functions:
            lost = {"status": 400, "code": "InternalFailure", "when": "after"}
            self.cloud.fail(function, operation="TransactWriteItems", about=self.account_id, **lost)

    def wait(self, batch_id: str, until: frozenset[str] = TERMINAL, seconds: float = WAIT_SECONDS) -> Batch:
        def look() -> Batch | None:
            batch = self.openai.batches.retrieve(batch_id)
            return batch if batch.status in until else None

        return eventually(look, f"{batch_id} in {sorted(until)}", seconds, pause=pause_until(until))

    def run(self, lines: Sequence[dict[str, Any]], endpoint: str = CHAT, **options: Any) -> tuple[Batch, Checked]:
        """Submit, wait, check."""
        batch = self.wait(self.submit(lines, endpoint, **options).id)
        return batch, self.check(batch, lines)

    def files(self, batch: Batch) -> tuple[bytes | None, bytes | None]:
        """The output and the error file."""
        ids = (batch.output_file_id, batch.error_file_id)
        output, errors = (self.openai.files.content(id).read() if id else None for id in ids)
        return output, errors

    def output(self, batch: Batch) -> dict[str, dict[str, Any]]:
        """custom_id -> line, of both files."""
        lines = [json.loads(line) for data in self.files(batch) if data for line in data.splitlines()]
        return {line["custom_id"]: line for line in lines}

    def check(self, batch: Batch, lines: Sequence[dict[str, Any]]) -> Checked:
        """Every invariant: files, counts, usage, ledger, and that nothing moves any more."""
        output, errors = self.files(batch)
        row, shards = self.rows(batch.id)
        custom_ids = [line["custom_id"] for line in lines]
        checked = check_batch(batch.to_dict(), custom_ids, output, errors, copies_of(row))
        check_rows(row, shards)
        check_unmoved(batch.to_dict(), self.openai.batches.retrieve(batch.id).to_dict())
        check_unmoved(row, self.rows(batch.id)[0])
        self.check_credits()
        return checked

    def check_credits(self) -> None:
        """The books of the account's credits, at a moment in which nobody has changed them."""
        pk = f"account#{self.account_id}"

        def look() -> bool:
            before = self._table.get(Key(pk, "balance"), consistent=True)
            entries = list(self._table.query(pk, prefix="ledger#", consistent=True))
            batches = list(self._table.query(pk, prefix="batch#", consistent=True))
            if self._table.get(Key(pk, "balance"), consistent=True) != before:
                return False
            check_credits(before, entries, batches)
            return True

        eventually(look, f"a quiet moment of the ledger of {self.account_id}")

    def status(self, batch_id: str) -> str:
        """The status in the batch's row, which is cheaper to read than the API."""
        row = self._table.get(Key(f"account#{self.account_id}", f"batch#{batch_id}"), consistent=True)
        assert row is not None, f"{batch_id} has no row"
        return str(row["status"])

    def rows(self, batch_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The batch row and its shard rows."""
        row = self._table.get(Key(f"account#{self.account_id}", f"batch#{batch_id}"), consistent=True)
        assert row is not None, f"{batch_id} has no row"
        return row, list(self._table.query(f"batch#{batch_id}", prefix="shard#", consistent=True))
