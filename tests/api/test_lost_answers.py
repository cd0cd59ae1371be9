"""An answer that is lost on its way: the SDKs send the request again by themselves, and nothing is made twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import openai
import pytest

from batchyard.adapters.aws.repeats import REMEMBERED_SECONDS
from batchyard.adapters.aws.table import Key
from batchyard.steps.create import create
from tests.api.api import Cloud, Customer, jsonl, lines
from tests.api.gateway import Gateway

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hello"}]
AGAIN = {"x-stainless-retry-count": "1"}
FIRST = {"x-stainless-retry-count": "0"}


class Lossy(httpx.BaseTransport):
    """Loses the answers to the first `losses` requests that change something: they are carried out all the same."""

    def __init__(self, losses: int) -> None:
        self._gateway = Gateway()
        self.losses = losses

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._gateway.handle_request(request)
        if request.method == "POST" and self.losses:
            self.losses -= 1
            raise httpx.ReadTimeout("the answer is lost", request=request)
        return response


@contextmanager
def losing(customer: Customer, losses: int) -> Iterator[openai.OpenAI]:
    """The SDK as it comes, with its two repeats."""
    with httpx.Client(transport=Lossy(losses)) as web:
        yield openai.OpenAI(api_key=customer.key, base_url=f"https://{Gateway.HOST}/v1", http_client=web)


def test_a_lost_answer_makes_one_batch(cloud: Cloud, alice: Customer) -> None:
    """Two answers in a row are lost; the SDK's third try is answered with the batch of the first."""
    file = alice.openai.files.create(file=jsonl(), purpose="batch")
    with losing(alice, 2) as client:
        made = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    assert [batch.id for batch in alice.openai.batches.list()] == [made.id]
    assert cloud.started == [made.id]


def test_a_lost_answer_makes_one_file(cloud: Cloud, alice: Customer) -> None:
    """An upload whose answer is lost is one file, and one object."""
    with losing(alice, 1) as client:
        made = client.files.create(file=jsonl(), purpose="batch")
    assert [file.id for file in alice.openai.files.list()] == [made.id]
    assert alice.openai.files.content(made.id).read() == lines(3)


def test_a_lost_answer_to_inline_requests(cloud: Cloud, alice: Customer) -> None:
    """KushRouter's inline requests, repeated with the same mark: one batch and one input file."""
    item = {"custom_id": "a", "method": "POST", "url": CHAT, "body": {"model": "gpt-4o-mini", "messages": MESSAGES}}
    sent = {"endpoint": CHAT, "requests": [item]}
    first = alice.http.post("/api/v1/batches", json=sent, headers=FIRST)
    again = alice.http.post("/api/v1/batches", json=sent, headers=AGAIN)
    assert first.is_success, first.text
    assert again.json()["id"] == first.json()["id"]
    assert len(alice.openai.files.list().data) == 1


def test_equal_requests_that_are_no_repeats_are_two(cloud: Cloud, alice: Customer) -> None:
    """Whoever asks twice on purpose gets two batches and two files, also right after a repeat."""
    file = alice.openai.files.create(file=jsonl(), purpose="batch")
    other = alice.openai.files.create(file=jsonl(), purpose="batch")
    assert other.id != file.id
    sent = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    ids = [alice.http.post("/v1/batches", json=sent, headers=marks).json()["id"] for marks in (FIRST, AGAIN, FIRST)]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("change", [{"metadata": {"a": "b"}}, {"endpoint": "/v1/embeddings"}])
def test_a_repeat_of_another_request_is_a_batch(alice: Customer, mallory: Customer, change: dict[str, object]) -> None:
    """Another request with the mark, and the same one of another account, find nothing of this one."""
    file = alice.openai.files.create(file=jsonl(), purpose="batch")
    sent = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    first = alice.http.post("/v1/batches", json=sent).json()["id"]
    assert alice.http.post("/v1/batches", json=sent | change, headers=AGAIN).json()["id"] != first
    assert mallory.http.post("/v1/batches", json=sent, headers=AGAIN).status_code == 404


def test_a_repeat_of_what_never_arrived_makes_the_batch(cloud: Cloud, alice: Customer) -> None:
    """If the first request was lost, the repeat is the one that makes the batch, and its own repeat finds it."""
    file = alice.openai.files.create(file=jsonl(), purpose="batch")
    sent = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    ids = {alice.http.post("/v1/batches", json=sent, headers=AGAIN).json()["id"] for _ in range(2)}
    assert cloud.started == list(ids)


def test_a_repeat_is_known_for_minutes_only(cloud: Cloud, alice: Customer) -> None:
    """Afterwards the same request with the mark is a new one: DynamoDB may keep the row longer."""
    file = alice.openai.files.create(file=jsonl(), purpose="batch")
    sent = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    first = alice.http.post("/v1/batches", json=sent).json()["id"]
    rows = cloud.table.query(f"account#{alice.account_id}", prefix="made-by#")
    key = next(Key(row["pk"], row["sk"]) for row in rows if row["made_id"] == first)
    cloud.table.update(key, add={"ttl": -REMEMBERED_SECONDS})
    assert alice.http.post("/v1/batches", json=sent, headers=AGAIN).json()["id"] != first


def test_a_repeat_that_overtakes_its_first(cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request hangs before it writes, its client repeats it, and then it goes on: it finds what the repeat
    made since."""
    file = alice.openai.files.create(file=jsonl(), purpose="batch")
    sent = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    overtaking: list[str] = []

    def hang(*arguments: object, **options: object) -> object:
        if not overtaking:
            overtaking.append("")
            with monkeypatch.context() as later:
                later.setattr(time, "time", lambda now=time.time(): now + 2)
                overtaking[0] = alice.http.post("/v1/batches", json=sent, headers=AGAIN).json()["id"]
        return create(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("batchyard.steps.create.create", hang)
    first = alice.http.post("/v1/batches", json=sent, headers=FIRST).json()["id"]
    assert cloud.started == [first] == overtaking


def test_a_deleted_file_is_not_answered(cloud: Cloud, alice: Customer) -> None:
    """A repeat after the file was deleted uploads it again."""
    form = {"file": ("a.jsonl", lines(1)), "purpose": (None, "batch")}
    first = alice.http.post("/v1/files", files=form).json()["id"]
    alice.openai.files.delete(first)
    again = alice.http.post("/v1/files", files=form, headers=AGAIN).json()["id"]
    assert again != first and alice.openai.files.content(again).read() == lines(1)
