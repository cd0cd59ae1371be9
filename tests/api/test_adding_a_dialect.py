"""docs/adding-a-dialect.md, followed: a dialect that is all here goes through the handlers to a batch and its answers.

The page shows pieces of this file; the last test says that they are the same.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict

from batchyard.adapters.aws.shards import Shards
from batchyard.core.batches import Batch
from batchyard.core.errors import InvalidRequest, NotFound, RequestError, Unauthenticated
from batchyard.core.items import Item, LineError
from batchyard.core.keys import part_key
from batchyard.core.limits import Limits
from batchyard.core.parts import encode_part
from batchyard.core.requests import BatchRequest, ResultWindow
from batchyard.core.results import Outcome, Result, StoredResult, failed, tally
from batchyard.handlers import finalize, validate
from batchyard.surfaces import registry
from batchyard.surfaces.bodies import Body, parse_body
from batchyard.surfaces.checks import bearer_key, is_id
from batchyard.surfaces.http import Reply, Request, json_reply
from batchyard.surfaces.json_lines import read_json_line
from batchyard.surfaces.openapi import document
from batchyard.surfaces.operations import (
    Operation,
    OperationDoc,
    ResultsForm,
    ResultsFrame,
    ResultsRequest,
    as_it_is,
)
from batchyard.surfaces.registry import Dialect
from batchyard.surfaces.route import Route
from batchyard.surfaces.surface import LineContext, Surface, SurfaceRules
from tests.api.api import Cloud, Customer
from tests.api.gateway import Context

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-dialect.md"
NOW = 1_790_000_000

# 1. Routes

ROUTES = (
    Route("POST", "/telegraph/wires", "batches", "create_batch", "telegraph"),
    Route("GET", "/telegraph/wires/{wire}", "batches", "retrieve_batch", "telegraph"),
    Route("GET", "/telegraph/wires/{wire}/answers", "results", "list_results", "telegraph"),
)


# 2. The line parser


def parse_line(raw: bytes, index: int, line: int, context: LineContext) -> Item | LineError:
    fields = read_json_line(raw, line)
    if isinstance(fields, LineError):
        return fields
    if not isinstance(fields, dict) or not isinstance(fields.get("ask"), str):
        return LineError("nothing_asked", "Write 'ask' and a text on each line.", line, "ask")
    body = {"model": fields.get("of", "gpt-4o-mini"), "messages": [{"role": "user", "content": fields["ask"]}]}
    return Item(index, f"wire-{index}", body["model"], orjson.dumps(body))


# 3. Requests


class CreateWires(Body):
    wires: list[dict[str, str]]


def read_batch(request: Request) -> BatchRequest:
    wires = parse_body(CreateWires, request.json(), refusal).wires
    lines = b"".join(orjson.dumps(wire, option=orjson.OPT_APPEND_NEWLINE) for wire in wires)
    return BatchRequest("telegraph", "/v1/chat/completions", input_file_id="", lines=lines)


def refusal(problem: ErrorDetails) -> InvalidRequest:
    return InvalidRequest(f"STOP {problem['msg']} STOP", param=".".join(map(str, problem["loc"])))


def read_id(request: Request) -> str:
    batch_id = request.parameters["wire"]
    if not is_id("batch", batch_id):
        raise NotFound("STOP no such wire STOP")
    return batch_id


def read_results(request: Request) -> ResultsRequest:
    return ResultsRequest(read_id(request), ResultWindow())


# 4. Replies


class Wires(TypedDict):
    wire: str
    state: str
    answered: int


class Trouble(TypedDict):
    trouble: str


def write_batch(batch: Batch) -> Reply:
    wires: Wires = {"wire": batch.id, "state": str(batch.status), "answered": batch.tally.succeeded}
    return json_reply(wires)


def write_result(result: StoredResult) -> bytes:
    if result.outcome is not Outcome.SUCCEEDED:
        return orjson.dumps({"wire": result.index, "silence": result.error_code})
    return b'{"wire":%d,"answer":%b}' % (result.index, result.body)


def frame_results(batch: Batch, window: ResultWindow) -> ResultsFrame:
    return ResultsFrame(b"[", b",", b"]")


def write_error(error: RequestError | None) -> Reply:
    trouble: Trouble = {"trouble": error.message if error else "STOP our fault STOP"}
    return json_reply(trouble, error.status if error else 500)


# 5. The table


def read_api_key(request: Request) -> str:
    key = bearer_key(request)
    if not key:
        raise Unauthenticated("STOP who is there STOP")
    return key


SURFACE = Surface(
    name="telegraph",
    rules=SurfaceRules(
        read_api_key=read_api_key,
        write_error=write_error,
        error_shape=Trouble,
        allowance_headers=lambda allowance: {"x-wires-left": str(allowance.remaining)},
        limits=Limits(max_batch_items=10, requests_per_minute=60),
    ),
    parse_line=parse_line,
    results=ResultsForm(write_result, frame_results),
    create_batch=Operation(read_batch, write_batch, OperationDoc("Send wires", request=CreateWires, reply=Wires)),
    retrieve_batch=Operation(read_id, write_batch, OperationDoc("Look after wires", reply=Wires)),
    list_results=Operation(read_results, as_it_is, OperationDoc("Read the answers")),
)

# 6. The registry


@pytest.fixture(autouse=True)
def telegraph(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry that a real dialect has in `registry.DIALECTS`."""
    monkeypatch.setitem(registry.DIALECTS, "telegraph", Dialect(ROUTES, lambda: SURFACE))


# What that is enough for.


def send(customer: Customer, *wires: dict[str, str]) -> dict[str, Any]:
    reply = customer.http.post("/telegraph/wires", json={"wires": wires})
    assert reply.status_code == 200, reply.text
    sent: dict[str, Any] = reply.json()
    return sent


def state(customer: Customer, wire: str) -> tuple[str, int]:
    shown = customer.http.get(f"/telegraph/wires/{wire}").json()
    return shown["state"], shown["answered"]


def validated(customer: Customer, wire: str) -> str:
    event = {"account_id": customer.account_id, "batch_id": wire}
    return str(validate.handler(event, Context())["status"])


def work(cloud: Cloud, customer: Customer, wire: str) -> None:
    """One of the two wires is answered."""
    shards = Shards(cloud.table)
    claim = shards.claim(wire, 0, "worker", NOW, NOW + 60)
    results = [
        Result(0, "wire-0", Outcome.SUCCEEDED, 200, "r", b'{"text":"ALL WELL"}'),
        failed(1, "wire-1", "request_timeout", "No answer."),
    ]
    key = part_key(customer.account_id, wire, 0, 1, 0)
    cloud.objects.put(key, encode_part(wire, results))
    shards.flush(wire, claim, part_key=key, done=b"\x03", tally=tally(results), lease_until=NOW, settled=True)


def test_a_batch_goes_through_the_new_dialect(cloud: Cloud, alice: Customer) -> None:
    """Created, validated by the dialect's line parser, worked on, finalized, shown and read back in its own words."""
    sent = send(alice, {"ask": "ARE YOU WELL"}, {"ask": "WHEN DO YOU COME"})
    assert sent == {"wire": sent["wire"], "state": "validating", "answered": 0}
    assert cloud.started == [sent["wire"]]
    assert validated(alice, sent["wire"]) == "in_progress"
    work(cloud, alice, sent["wire"])
    ending = {"account_id": alice.account_id, "batch_id": sent["wire"], "ending": "completed"}
    assert finalize.handler(ending, Context()) == {"status": "completed"}
    assert state(alice, sent["wire"]) == ("completed", 1)
    answers = alice.http.get(f"/telegraph/wires/{sent['wire']}/answers")
    assert answers.json() == [{"wire": 0, "answer": {"text": "ALL WELL"}}, {"wire": 1, "silence": "request_timeout"}]
    assert answers.headers["x-wires-left"].isdigit()


def test_what_is_wrong_is_said_in_its_words(cloud: Cloud, alice: Customer, mallory: Customer) -> None:
    """Body, key, id, another account's batch, and a line."""
    wrong = alice.http.post("/telegraph/wires", json={"wires": 1})
    assert (wrong.status_code, wrong.json()["trouble"][:5]) == (400, "STOP ")
    nobody = alice.http.get("/telegraph/wires/x", headers={"authorization": ""})
    assert (nobody.status_code, nobody.json()) == (401, {"trouble": "STOP who is there STOP"})
    assert alice.http.get("/telegraph/wires/x").json() == {"trouble": "STOP no such wire STOP"}
    sent = send(alice, {"say": "HELLO"})
    assert mallory.http.get(f"/telegraph/wires/{sent['wire']}").status_code == 404
    assert validated(alice, sent["wire"]) == "failed"


def test_its_limits_hold(cloud: Cloud, alice: Customer) -> None:
    """Those in its rules: ten items, sixty requests a minute."""
    wires = [{"ask": str(number)} for number in range(11)]
    assert "10 are allowed" in alice.http.post("/telegraph/wires", json={"wires": wires}).json()["trouble"]
    statuses = [alice.http.get("/telegraph/wires/x").status_code for _ in range(130)]
    assert {404, 429} == set(statuses), "130 requests fit into no two windows of a minute"


def test_it_is_in_the_openapi_document() -> None:
    """With the schemas of its bodies; and a schema that takes another's name fails the build."""
    made = document("1")
    operation = made["paths"]["/telegraph/wires"]["post"]
    assert operation["operationId"] == "telegraph_create_batch"
    assert {"CreateWires", "Wires", "Trouble"} <= set(made["components"]["schemas"])


def test_an_operation_that_it_lacks_is_no_route(alice: Customer) -> None:
    """The function that serves it for others answers 404."""
    reply: httpx.Response = alice.http.post("/telegraph/wires/batch_1/cancel")
    assert reply.status_code == 404
    with pytest.raises(LookupError):
        SURFACE.operation("cancel_batch")


def test_the_page_shows_this() -> None:
    """Each step of the page is a part of this file, in the same order, and its code is code of this file."""
    page, source = PAGE.read_text(), Path(__file__).read_text()
    steps = re.findall(r"^## (\d\. .+)$", page, re.MULTILINE)
    assert steps == re.findall(r"^# (\d\. .+)$", source, re.MULTILINE) and len(steps) == 6
    code = re.findall(r"```python\n(.+?)```", page, re.DOTALL)
    assert len(code) >= 6
    for piece in code:
        assert piece in source, piece
