"""Uploads in parts, through the handlers, driven by the openai SDK."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

import openai
import pytest
from openai.types import Upload as UploadObject
from openai.types.uploads import UploadPart

from batchyard.adapters.aws.files import Files, Uploads
from batchyard.core.files import FileRef, UploadRef
from batchyard.core.keys import upload_part_key
from batchyard.handlers import assemble
from batchyard.steps import upload as step
from tests.api.api import Cloud, Customer, lines
from tests.api.gateway import Context

CONTENT = lines(400)


def begin(customer: Customer, size: int = len(CONTENT)) -> str:
    made = customer.openai.uploads.create(
        bytes=size, filename="requests.jsonl", mime_type="application/jsonl", purpose="batch"
    )
    return made.id


def send(customer: Customer, upload_id: str, *parts: bytes) -> list[str]:
    return [customer.openai.uploads.parts.create(upload_id, data=part).id for part in parts]


def test_the_sdk_uploads_in_chunks(cloud: Cloud, alice: Customer) -> None:
    """`upload_file_chunked` with an MD5 ends in a processed file with exactly the bytes, and no part is left behind."""
    done = alice.openai.uploads.upload_file_chunked(
        file=CONTENT,
        filename="requests.jsonl",
        bytes=len(CONTENT),
        mime_type="application/jsonl",
        purpose="batch",
        part_size=10_000,
        md5=hashlib.md5(CONTENT).hexdigest(),
    )
    assert (done.status, done.bytes, done.file and done.file.status) == ("completed", len(CONTENT), "processed")
    assert done.file is not None
    assert alice.openai.files.content(done.file.id).content == CONTENT
    file = Files(cloud.table).get(FileRef(alice.account_id, done.file.id))
    assert file is not None and file.lines == 400
    part_ids = Uploads(cloud.table).parts(done.id)
    keys = [upload_part_key(alice.account_id, done.id, part_id) for part_id in part_ids]
    assert len(keys) > 1 and not any(cloud.objects.head(key) for key in keys)


def test_replies_have_every_field(alice: Customer) -> None:
    """Upload and part carry all of OpenAI's fields, `file` null until there is one; an upload lives for an hour."""
    body = {"bytes": 3, "filename": "r.jsonl", "mime_type": "application/jsonl", "purpose": "batch"}
    raw = alice.http.post("/v1/uploads", json=body).json()
    assert set(raw) == set(UploadObject.model_fields) and raw["file"] is None
    made = UploadObject.model_validate(raw, strict=True)
    assert (made.status, made.expires_at - made.created_at) == ("pending", 3600)
    part = alice.http.post(f"/v1/uploads/{made.id}/parts", files={"data": ("upload", b"{}\n")}).json()
    assert set(part) == set(UploadPart.model_fields)
    assert UploadPart.model_validate(part, strict=True).upload_id == made.id


def test_parts_join_in_the_order_named(alice: Customer) -> None:
    """Parts may be sent in any order: `part_ids` decides."""
    upload_id = begin(alice)
    second, first = send(alice, upload_id, CONTENT[700:], CONTENT[:700])
    done = alice.openai.uploads.complete(upload_id, part_ids=[first, second])
    assert done.file is not None
    assert alice.openai.files.content(done.file.id).content == CONTENT


def test_completing_twice_is_one_file(alice: Customer) -> None:
    """A repeated complete answers the same file; one that names other parts is refused."""
    upload_id = begin(alice)
    one, two = send(alice, upload_id, CONTENT[:700], CONTENT[700:])
    first = alice.openai.uploads.complete(upload_id, part_ids=[one, two])
    again = alice.openai.uploads.complete(upload_id, part_ids=[one, two])
    assert first == again
    with pytest.raises(openai.BadRequestError, match="completed"):
        alice.openai.uploads.complete(upload_id, part_ids=[two, one])


def test_a_large_upload_is_joined_later(cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit the file stays `uploaded` until the assemble function ran, and running it twice does no harm."""
    monkeypatch.setattr(step, "JOIN_AT_ONCE_BYTES", 1000)
    upload_id = begin(alice)
    parts = send(alice, upload_id, CONTENT[:9000], CONTENT[9000:])
    done = alice.openai.uploads.complete(upload_id, part_ids=parts, md5=hashlib.md5(CONTENT).hexdigest())
    assert done.file is not None and done.file.status == "uploaded"
    assert cloud.assembled == [{"account_id": alice.account_id, "upload_id": upload_id}]
    for _ in range(2):
        answer = assemble.handler(cloud.assembled[0], Context())
        assert answer == {"file_id": done.file.id, "status": "processed"}
    assert alice.openai.files.content(done.file.id).content == CONTENT


def test_an_upload_that_is_never_joined_becomes_an_error(
    cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When Assemble has given up, the file says so wherever it is looked at and no batch can be made from it; an
    operator who has the parts joined after all mends it."""
    monkeypatch.setattr(step, "JOIN_AT_ONCE_BYTES", 1000)
    upload_id = begin(alice)
    done = alice.openai.uploads.complete(upload_id, part_ids=send(alice, upload_id, CONTENT))
    assert done.file is not None and alice.openai.files.retrieve(done.file.id).status == "uploaded"
    hours_later = time.time() + 4_600
    monkeypatch.setattr(time, "time", lambda: hours_later)
    for file in (alice.openai.files.retrieve(done.file.id), *alice.openai.files.list()):
        assert file.status == "error" and "new upload" in str(file.status_details)
    with pytest.raises(openai.BadRequestError, match="could not be joined"):
        alice.openai.batches.create(
            input_file_id=done.file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
    assemble.handler(cloud.assembled[0], Context())
    assert alice.openai.files.retrieve(done.file.id).status == "processed"


def test_an_upload_of_many_small_parts_is_joined_later(
    cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part is a read, so ten thousand of them take longer than the caller waits, however little they hold; joined
    within the request, they would never become a file, however often it is sent."""
    monkeypatch.setattr(step, "JOIN_AT_ONCE_PARTS", 3)
    for count in (3, 4):
        upload_id = begin(alice, count)
        parts = send(alice, upload_id, *[b"\n"] * count)
        done = alice.openai.uploads.complete(upload_id, part_ids=parts)
        assert done.file is not None and done.file.status == ("processed" if count == 3 else "uploaded")
    assert assemble.handler(cloud.assembled[0], Context())["status"] == "processed"


def test_a_batch_may_be_made_while_parts_are_joined(
    cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose parts are being joined is a good input: validation waits for it."""
    monkeypatch.setattr(step, "JOIN_AT_ONCE_BYTES", 1000)
    upload_id = begin(alice)
    done = alice.openai.uploads.complete(upload_id, part_ids=send(alice, upload_id, CONTENT))
    assert done.file is not None
    made = alice.openai.batches.create(
        input_file_id=done.file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert made.status == "validating" and cloud.started == [made.id]


@pytest.mark.parametrize("at_once", [10**9, 1000])
def test_a_wrong_md5_makes_no_file(
    cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """A wrong checksum is refused at once if parts are joined at once; else the file's status says so."""
    monkeypatch.setattr(step, "JOIN_AT_ONCE_BYTES", at_once)
    upload_id = begin(alice)
    parts = send(alice, upload_id, CONTENT)
    if at_once > len(CONTENT):
        with pytest.raises(openai.BadRequestError) as caught:
            alice.openai.uploads.complete(upload_id, part_ids=parts, md5="0" * 32)
        assert caught.value.code == "checksum_mismatch"
        assert alice.openai.files.list().data == []
    else:
        done = alice.openai.uploads.complete(upload_id, part_ids=parts, md5="0" * 32)
        assert done.file is not None
        assert assemble.handler(cloud.assembled[0], Context())["status"] == "error"
        assert "MD5" in str(alice.openai.files.retrieve(done.file.id).status_details)


def test_part_ids_are_checked(alice: Customer) -> None:
    """Unknown parts, a part named twice, missing bytes: each a 400 about part_ids, and the upload stays pending."""
    upload_id = begin(alice)
    one, two = send(alice, upload_id, CONTENT[:700], CONTENT[700:])
    for part_ids, message in (
        (["part_nope", two], "has no part part_nope"),
        ([one, one], "twice"),
        ([one], "announced"),
    ):
        with pytest.raises(openai.BadRequestError, match=message) as caught:
            alice.openai.uploads.complete(upload_id, part_ids=part_ids)
        assert caught.value.param == "part_ids"
    assert alice.openai.uploads.complete(upload_id, part_ids=[one, two]).status == "completed"


def test_a_cancelled_upload_takes_nothing_more(cloud: Cloud, alice: Customer) -> None:
    """Cancel may be repeated, removes the parts, and closes the upload for parts and completion."""
    upload_id = begin(alice)
    parts = send(alice, upload_id, CONTENT)
    for _ in range(2):
        assert alice.openai.uploads.cancel(upload_id).status == "cancelled"
    assert cloud.objects.head(upload_part_key(alice.account_id, upload_id, parts[0])) is None
    with pytest.raises(openai.BadRequestError, match="cancelled"):
        send(alice, upload_id, b"x")
    with pytest.raises(openai.BadRequestError, match="cancelled"):
        alice.openai.uploads.complete(upload_id, part_ids=parts)


def test_a_completed_upload_cannot_be_cancelled(alice: Customer) -> None:
    """What became a file is not undone by cancelling."""
    upload_id = begin(alice)
    alice.openai.uploads.complete(upload_id, part_ids=send(alice, upload_id, CONTENT))
    with pytest.raises(openai.BadRequestError, match="completed"):
        alice.openai.uploads.cancel(upload_id)


def test_an_upload_expires(cloud: Cloud, alice: Customer) -> None:
    """An hour later nothing can be added, and the error says that the upload has expired."""
    upload_id = begin(alice)
    uploads = Uploads(cloud.table)
    upload = uploads.get(UploadRef(alice.account_id, upload_id))
    assert upload is not None
    past = replace(upload, id="upload_" + "0" * 26, expires_at=int(time.time()) - 1)
    uploads.create(past)
    with pytest.raises(openai.BadRequestError) as caught:
        send(alice, past.id, b"x")
    assert caught.value.code == "upload_expired"


def test_a_part_too_large_says_what_to_do(alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """413, and the message names the part_size that works."""
    monkeypatch.setenv("MAX_UPLOAD_PART_BYTES", "100")
    upload_id = begin(alice)
    reply = alice.http.post(f"/v1/uploads/{upload_id}/parts", files={"data": ("upload", b"x" * 101)})
    assert (reply.status_code, "part_size=100" in reply.json()["error"]["message"]) == (413, True)


def test_an_upload_too_large_is_refused(alice: Customer) -> None:
    """More bytes than a file may have: 413 when the upload is announced, not when it is sent."""
    with pytest.raises(openai.APIStatusError) as caught:
        begin(alice, size=500_000_001)
    assert caught.value.status_code == 413


def test_another_account_has_no_such_upload(alice: Customer, mallory: Customer) -> None:
    """A foreign upload is a 404 for parts, completion and cancel."""
    upload_id = begin(alice)
    parts = send(alice, upload_id, CONTENT)
    with pytest.raises(openai.NotFoundError):
        send(mallory, upload_id, b"x")
    with pytest.raises(openai.NotFoundError):
        mallory.openai.uploads.complete(upload_id, part_ids=parts)
    with pytest.raises(openai.NotFoundError):
        mallory.openai.uploads.cancel(upload_id)
    assert alice.openai.uploads.complete(upload_id, part_ids=parts).status == "completed"
