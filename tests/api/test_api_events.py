"""Every event in events/ that comes from the API, from an operator or from another function, through its handler."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from batchyard.adapters.aws.accounts import Accounts
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.deliveries import Deliveries
from batchyard.adapters.aws.files import Files, Uploads
from batchyard.core.accounts import Account, ApiKey, key_hash
from batchyard.core.batches import Batch, Status
from batchyard.core.deliveries import OF_ACCOUNT, Delivery
from batchyard.core.files import File, FileStatus, Upload, UploadPart, UploadRef
from batchyard.core.items import Item, work_line
from batchyard.core.keys import file_key, manifest_key, upload_part_key, work_key
from batchyard.core.lanes import Lane
from batchyard.core.sharding import LaneShards, Plan, Shard, manifest_record
from batchyard.core.webhooks import WebhookStyle, WebhookTarget
from batchyard.handlers import admin, assemble, resources
from batchyard.surfaces.forms import read_form
from batchyard.surfaces.registry import ROUTES
from tests.api.api import Cloud, lines
from tests.api.gateway import EVENTS, HANDLERS, Context, body, call, event

ACCOUNT = event("assemble")["account_id"]
UPLOAD = event("assemble")["upload_id"]
FILE = event("api/retrieve_file")["pathParameters"]["file_id"]
BATCH = event("api/retrieve_batch")["pathParameters"]["batch_id"]
ENDED = event("api/download_output")["pathParameters"]["batch_id"]
DELIVERY = event("deliver")["delivery_id"]
KEY_ID = event("admin/revoke_key")["key_id"]
KEY = event("api/list_files")["headers"]["Authorization"].removeprefix("Bearer ")
ANTHROPICS_ONLY = {"delete_batch"}
"""Operations whose event is in Anthropic's dialect, because no other has them."""
FAR = 4_000_000_000
BATCHROUTERS = {"code", "message", "details"}
"""The members of its errors."""
FUNCTION_OF = {route.operation: route.function for route in ROUTES} | {"unknown": "account"}
API_EVENTS = sorted(path.stem for path in (EVENTS / "api").glob("*.json"))


@pytest.fixture(autouse=True)
def seeded(cloud: Cloud) -> None:
    """The account, key, file, batch, upload, webhook and delivery that the events name."""
    table = cloud.table
    Accounts(table).create(
        Account(ACCOUNT, "team", 1, is_operator=True), ApiKey(KEY_ID, ACCOUNT, "default", "aesi", 1), key_hash(KEY)
    )
    Files(table).put(File(FILE, ACCOUNT, "requests.jsonl", "batch", len(lines(3)), 1, expires_at=FAR))
    cloud.objects.put(file_key(ACCOUNT, FILE), lines(3))
    Batches(table).create(
        Batch(BATCH, ACCOUNT, "openai", "/v1/chat/completions", FILE, "24h", Status.VALIDATING, 1, FAR)
    )
    ended = Batch(ENDED, ACCOUNT, "openai", "/v1/chat/completions", FILE, "24h", Status.COMPLETED, 1, FAR)
    ended = replace(ended, status_times={Status.COMPLETED: 1})
    plan = Plan("run", 1, 1, (LaneShards(Lane("openai", "gpt-4o-mini"), 0, 1, 1),), 1, False, None)
    work = work_line(Item(0, "r-0", "gpt-4o-mini", b"{}"))
    cloud.objects.put(work_key(ACCOUNT, ENDED, plan.run), work)
    cloud.objects.put(manifest_key(ACCOUNT, ENDED, plan.run), manifest_record(Shard(0, 0, 0, len(work), 1, 0)))
    ended = replace(ended, output_file_id=FILE, plan=plan, status_times={str(Status.COMPLETED): 2})
    Batches(table).create(ended)
    part = upload_content(event("api/add_upload_part"))
    upload = Upload(UPLOAD, ACCOUNT, "requests.jsonl", "batch", len(part), FAR - 9, FAR)
    Uploads(table).create(upload)
    (part_id,) = body_of(event("api/complete_upload"))["part_ids"]
    Uploads(table).add_part(UploadPart(part_id, UPLOAD, len(part), 1), ttl=FAR)
    cloud.objects.put(upload_part_key(ACCOUNT, UPLOAD, part_id), part)
    target = WebhookTarget("https://example.com/hook", "a-strong-shared-secret", WebhookStyle.OPENAI)
    resources.webhooks().set_of_account(ACCOUNT, target, 1)
    made = Delivery(
        DELIVERY, ACCOUNT, ENDED, OF_ACCOUNT, "batch.completed", target.style, target.url, b"{}", 1, FAR, FAR
    )
    Deliveries(table).make(made)


def body_of(proxy_event: dict[str, object]) -> dict[str, list[str]]:
    decoded: dict[str, list[str]] = json.loads(base64.b64decode(str(proxy_event["body"])))
    return decoded


def upload_content(proxy_event: dict[str, object]) -> bytes:
    headers = proxy_event["headers"]
    assert isinstance(headers, dict)
    form = read_form(headers["Content-Type"], base64.b64decode(str(proxy_event["body"])))
    return form.files["data"].data


def test_every_route_has_its_event() -> None:
    """A route without an event would not be tested here; an operation is served by the same function in all dialects,
    so that one event stands for all."""
    assert {route.operation for route in ROUTES} | {"unknown"} == set(API_EVENTS)
    assert all(FUNCTION_OF[route.operation] == route.function for route in ROUTES)


@pytest.mark.parametrize("name", API_EVENTS)
def test_an_api_event_goes_through_its_handler(name: str) -> None:
    """Each event is answered 200 by the function its route names (the unknown path: 404), with a request id."""
    answer = call(FUNCTION_OF[name], event(f"api/{name}"))
    assert answer["statusCode"] == (404 if name == "unknown" else 200), answer["body"]
    assert answer["headers"]["x-request-id"].startswith("req_")


def test_a_function_refuses_what_is_not_its_own() -> None:
    """An event that reaches the wrong function is a 404 in the envelope, not a crash."""
    for function in HANDLERS:
        for name in API_EVENTS:
            if FUNCTION_OF[name] != function:
                answer = call(function, event(f"api/{name}"))
                assert answer["statusCode"] == 404
                envelope = {"message", "type", "param", "code", "status"}
                wanted = [{"message", "type"}] if name in ANTHROPICS_ONLY else [envelope, BATCHROUTERS]
                assert set(body(answer)["error"]) in wanted


def test_the_assemble_event_joins_a_completed_upload(cloud: Cloud) -> None:
    """The event that `files` sends to `assemble` ends with the file's bytes in place and the file processed."""
    uploads = Uploads(cloud.table)
    upload = uploads.get(UploadRef(ACCOUNT, UPLOAD))
    assert upload is not None
    part_ids = tuple(body_of(event("api/complete_upload"))["part_ids"])
    file = File("file-x", ACCOUNT, "r.jsonl", "batch", upload.bytes, 1, FileStatus.UPLOADED, upload_id=UPLOAD)
    uploads.complete(upload, file, part_ids, None)
    assert assemble.handler(event("assemble"), Context()) == {"file_id": "file-x", "status": "processed"}
    assert cloud.objects.get(file_key(ACCOUNT, "file-x")) == upload_content(event("api/add_upload_part"))


@pytest.mark.parametrize("name", sorted(path.stem for path in Path(EVENTS / "admin").glob("*.json")))
def test_an_admin_event_goes_through_its_handler(name: str) -> None:
    """Each thing an operator can ask for is answered, and not by an error."""
    answer = admin.handler(event(f"admin/{name}"), Context())
    assert "error" not in answer
