"""The main job with the official SDK: upload, create, wait, download, and each of its endpoints."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from batchyard.adapters.catalogue import load
from batchyard.core.usage import Usage
from local.provider import SimulatedProvider, request_hash
from tests.customer import Customer, chat_line, jsonl

EVENTS = Path(__file__).parents[2] / "events"


def test_the_sample_file_runs_from_upload_to_output(customer: Customer, provider: SimulatedProvider) -> None:
    """Every line of events/requests.jsonl has its result, and each good one was sent to the provider once."""
    lines = [json.loads(line) for line in (EVENTS / "requests.jsonl").read_bytes().splitlines()]
    batch, checked = customer.run(lines, metadata={"job": "sample"})
    assert batch.status == "completed"
    assert (checked.succeeded + checked.failed, batch.metadata) == (len(lines), {"job": "sample"})
    assert checked.succeeded >= 200
    served = provider.counts()
    bodies = {line["custom_id"]: line["body"] for line in lines}
    for custom_id, result in customer.output(batch).items():
        if result["response"] and result["response"]["status_code"] == 200:
            assert served[request_hash(bodies[custom_id])].succeeded == 1, custom_id


def test_an_output_line_is_the_providers_answer(customer: Customer) -> None:
    """Status, request id and body are those of the call, in input order, under the right custom_id."""
    lines = [chat_line(number) for number in range(100)]
    batch, _ = customer.run(lines)
    data, _ = customer.files(batch)
    assert data is not None
    results = [json.loads(line) for line in data.splitlines()]
    assert [result["custom_id"] for result in results] == [line["custom_id"] for line in lines]
    for result in results:
        body = result["response"]["body"]
        assert (body["object"], body["model"]) == ("chat.completion", "gpt-4o-mini")
        assert result["response"]["request_id"]


def test_identical_items_are_paid_once(customer: Customer, provider: SimulatedProvider) -> None:
    """If the batch asks for it: three requests are made for 30 items, each of which has its line; one that fails fails
    all that are like it."""
    bodies = [chat_line(number, "status:400" if number == 2 else None)["body"] for number in range(3)]
    lines = [chat_line(number) | {"body": bodies[number % 3]} for number in range(30)]
    batch, checked = customer.run(lines, extra_body={"settings": {"identical_once": True}})
    assert (batch.status, checked.succeeded, checked.codes) == ("completed", 20, {"400": 10})
    assert [provider.counts()[request_hash(body)].received for body in bodies] == [1, 1, 1]
    found = customer.output(batch)
    assert all(found[f"item-{n}"]["response"] == found[f"item-{n % 3}"]["response"] for n in range(30))


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "Once"}),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": ["one", "two"]}),
        ("/v1/responses", {"model": "gpt-4o-mini", "input": "Say hi."}),
        ("/v1/moderations", {"model": "omni-moderation-latest", "input": "Is this fine?"}),
        ("/v1/images/edits", {"model": "gpt-image-2", "prompt": "Add a cat.", "images": [{"file_id": "file-1"}]}),
    ],
)
def test_every_endpoint_works(customer: Customer, endpoint: str, body: dict[str, Any]) -> None:
    """The lines of each endpoint reach their own URL and come back whole."""
    lines = [
        {"custom_id": f"i{n}", "method": "POST", "url": endpoint, "body": body | {"user": f"u{n}"}} for n in range(5)
    ]
    batch, checked = customer.run(lines, endpoint)
    assert (batch.status, batch.endpoint, checked.succeeded) == ("completed", endpoint, 5)


def test_images_come_back_whole_and_are_charged_as_such(customer: Customer) -> None:
    """Answers of several megabytes each: as the provider sent them, and at its price for tokens of images."""
    request = {"model": "gpt-image-2", "quality": "low", "user": "image-bytes:3000000"}
    lines = [
        {
            "custom_id": f"i{number}",
            "method": "POST",
            "url": "/v1/images/generations",
            "body": request | {"prompt": f"Cat {number}"},
        }
        for number in range(12)
    ]
    batch, checked = customer.run(lines, "/v1/images/generations")
    assert (batch.status, checked.succeeded) == ("completed", 12)
    row, _ = customer.rows(batch.id)
    pictures = [result["response"]["body"]["data"][0]["b64_json"] for result in customer.output(batch).values()]
    assert [len(base64.b64decode(picture)) for picture in pictures] == [3_000_000] * 12
    usages = [result["response"]["body"]["usage"] for result in customer.output(batch).values()]
    price = load().find("gpt-image-2")[0].price
    assert price.image is not None
    expected = [each["input_tokens"] * price.input_microusd + 272 * price.image.output_microusd for each in usages]
    assert row["tally"]["cost_picousd"] == sum(expected)


def test_several_models_share_a_batch(customer: Customer, provider: SimulatedProvider) -> None:
    """Each item goes to its own model; cost is that of each model's price; the batch names no single model."""
    models = ["gpt-4o-mini", "gpt-4o", "gpt-4.1-mini"]
    lines = [chat_line(number, model=models[number % 3]) for number in range(90)]
    batch, checked = customer.run(lines)
    assert checked.succeeded == 90
    assert {r["response"]["body"]["model"] for r in customer.output(batch).values()} == set(models)
    row, _ = customer.rows(batch.id)
    assert row["model"] is None
    assert row["tally"]["cost_picousd"] == _cost_of(customer.output(batch))


def test_failures_of_each_kind_end_in_the_error_file(customer: Customer) -> None:
    """HTTP failures keep the provider's answer; those without an answer have an error code; nothing else is hurt."""
    faults = {1: "status:400", 3: "status:404", 5: "status:500", 7: "disconnect", 9: "malformed:html"}
    lines = [chat_line(number, faults.get(number)) for number in range(12)]
    batch, checked = customer.run(lines)
    assert (batch.status, checked.succeeded, checked.failed) == ("completed", 7, 5)
    results = customer.output(batch)
    for number, status_code in ((1, 400), (3, 404), (5, 500)):
        result = results[f"item-{number}"]
        assert (result["response"]["status_code"], result["error"]) == (status_code, None)
        assert result["response"]["body"]["error"]["message"]
    for number in (7, 9):
        assert results[f"item-{number}"]["response"] is None
        assert results[f"item-{number}"]["error"]["code"]


def test_a_batch_of_failures_is_completed_without_an_output_file(customer: Customer) -> None:
    """OpenAI's rule: completed says nothing about success."""
    batch, checked = customer.run([chat_line(number, "status:400") for number in range(3)])
    assert (batch.status, batch.output_file_id, batch.errors) == ("completed", None, None)
    assert checked.failed == 3


def test_passing_faults_are_mended(customer: Customer, provider: SimulatedProvider) -> None:
    """What fails at first and then works is a success; 429s cost no retry budget."""
    faults = ["status:500x2", "status:429x6;retry_after:0.05", "disconnectx1", "malformed:truncatedx1", "status:408x1"]
    lines = [chat_line(number, faults[number % len(faults)]) for number in range(20)]
    _, checked = customer.run(lines)
    assert checked.succeeded == 20


def test_a_bad_file_fails_with_the_line_numbers(customer: Customer, provider: SimulatedProvider) -> None:
    """Nothing runs; every bad line is named with a code, its number and what to do."""
    lines = [chat_line(number) for number in range(4)]
    lines[1]["custom_id"] = "item-0"
    lines[2]["url"] = "/v1/embeddings"
    lines[3]["body"]["model"] = "no-such-model"
    content = jsonl(lines) + b"{not json}\n"
    batch = customer.wait(customer.submit(content).id)
    assert batch.status == "failed"
    assert batch.errors is not None
    found = {(error.line, error.code) for error in batch.errors.data or []}
    expected = {(2, "duplicate_custom_id"), (3, "url_mismatch"), (4, "model_not_found"), (5, "invalid_json_line")}
    assert found == expected
    assert all(error.message for error in batch.errors.data or [])
    assert (batch.output_file_id, batch.error_file_id, provider.stats()["requests"]) == (None, None, 0)


def test_odd_but_legal_files_are_read_right(customer: Customer) -> None:
    """A byte order mark, CRLF, blank lines, no last newline, U+2028 and multi-byte text change no item."""
    texts = ["plain", "line\u2028separator", "日本語テキスト", "emoji 🚚", 'quotes "\\ and \ttabs']
    lines = [chat_line(n, messages=[{"role": "user", "content": text}]) for n, text in enumerate(texts)]
    encoded = [json.dumps(line, ensure_ascii=False).encode() for line in lines]
    content = b"\xef\xbb\xbf" + b"\r\n\r\n".join(encoded)
    batch = customer.wait(customer.submit(content).id)
    assert batch.status == "completed"
    assert customer.check(batch, lines).succeeded == len(texts)


def _cost_of(results: dict[str, dict[str, Any]]) -> int:
    """Pico-dollars, from the price list and the usage in the lines."""
    catalogue = load()
    total = 0
    for result in results.values():
        body = result["response"]["body"]
        usage = body["usage"]
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        (offer, *_) = catalogue.find(body["model"])
        total += offer.price.cost_picousd(Usage(usage["prompt_tokens"], cached, usage["completion_tokens"]))
    return total
