"""Files and uploads with the official SDK: every way in, every way out, and the walls between accounts."""

from __future__ import annotations

import hashlib
import random

import httpx
import openai
import pytest

from local.cloud import LocalCloud
from tests.customer import Customer, chat_line, eventually, jsonl

MEGABYTE = 1_000_000


def test_a_file_comes_back_as_it_went_in(customer: Customer) -> None:
    """Upload, retrieve, list, download, delete, and then it is gone."""
    content = jsonl([chat_line(number) for number in range(3)])
    file = customer.openai.files.create(
        file=("a.jsonl", content), purpose="batch", expires_after={"anchor": "created_at", "seconds": 7200}
    )
    assert (file.bytes, file.filename, file.purpose, file.status) == (len(content), "a.jsonl", "batch", "processed")
    assert file.expires_at == file.created_at + 7200
    shown = customer.openai.files.retrieve(file.id).to_dict()
    assert shown | {"url": file.to_dict()["url"]} == file.to_dict()
    assert [one.id for one in customer.openai.files.list(purpose="batch")] == [file.id]
    assert customer.openai.files.content(file.id).read() == content
    assert customer.openai.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        customer.openai.files.retrieve(file.id)
    with pytest.raises(openai.NotFoundError):
        customer.openai.files.content(file.id)


def test_a_large_file_goes_up_in_parts_and_down_by_redirect(customer: Customer) -> None:
    """12 MB through the Uploads API; the SDK checks the digest; the download follows a 302 to a presigned URL."""
    content = random.Random(1).randbytes(6 * MEGABYTE).hex().encode()
    upload = customer.openai.uploads.upload_file_chunked(
        file=content,
        filename="large.jsonl",
        bytes=len(content),
        mime_type="application/jsonl",
        purpose="batch",
        part_size=3 * MEGABYTE,
        md5=hashlib.md5(content).hexdigest(),
    )
    assert upload.status == "completed"
    assert upload.file is not None
    file_id = upload.file.id
    customer.openai.files.wait_for_processing(file_id, poll_interval=0.2)
    assert customer.openai.files.content(file_id).read() == content
    url = f"{customer.cloud.api_url}/v1/files/{file_id}/content"
    reply = httpx.get(url, headers={"Authorization": f"Bearer {customer.api_key}"})
    assert reply.status_code == 302
    assert reply.headers["location"].startswith("http")


def test_what_is_too_large_for_one_request_is_refused_with_the_ways_out(customer: Customer) -> None:
    """A 413 in OpenAI's envelope that names parts, the presigned upload and the drop folder."""
    with pytest.raises(openai.APIStatusError) as caught:
        customer.upload(b"x" * 11 * MEGABYTE)
    assert caught.value.status_code == 413
    message = str(caught.value.body)
    for way in ("part", "presigned", "drop"):
        assert way in message


def test_a_presigned_upload_becomes_a_batch(customer: Customer) -> None:
    """The bytes go straight to the bucket; the file is noticed at its first use, and stays what it was, whatever else
    the URL takes."""
    lines = [chat_line(number) for number in range(5)]
    headers = {"Authorization": f"Bearer {customer.api_key}"}
    wish = {"filename": "big.jsonl", "purpose": "batch"}
    reply = httpx.post(f"{customer.cloud.api_url}/v1/files/presigned", json=wish, headers=headers)
    assert reply.status_code == 200, reply.text
    ticket = reply.json()
    with pytest.raises(openai.BadRequestError):
        _create(customer, ticket["file"]["id"])
    put = httpx.request(ticket["method"], ticket["url"], content=jsonl(lines), headers=ticket["headers"])
    assert put.status_code == 200, put.text
    batch = customer.wait(_create(customer, ticket["file"]["id"]).id)
    assert batch.status == "completed"
    assert httpx.request(ticket["method"], ticket["url"], content=b"others").status_code == 200
    assert customer.openai.files.content(batch.input_file_id).content == jsonl(lines)
    assert customer.check(batch, lines).succeeded == 5


def test_an_upload_can_be_cancelled(customer: Customer) -> None:
    """No part and no completion is taken after that."""
    upload = customer.openai.uploads.create(bytes=4, filename="a.jsonl", mime_type="text/plain", purpose="batch")
    part = customer.openai.uploads.parts.create(upload.id, data=b"data")
    assert customer.openai.uploads.cancel(upload.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        customer.openai.uploads.parts.create(upload.id, data=b"more")
    with pytest.raises(openai.BadRequestError):
        customer.openai.uploads.complete(upload.id, part_ids=[part.id])


def test_lists_page_through_everything_once(customer: Customer) -> None:
    """The SDK's own paging over files and batches, in both orders."""
    ids = [customer.upload(jsonl([chat_line(number)]), f"{number}.jsonl") for number in range(5)]
    assert [file.id for file in customer.openai.files.list(limit=2, order="asc")] == ids
    assert [file.id for file in customer.openai.files.list(limit=2)] == ids[::-1]
    batches = [_create(customer, file_id).id for file_id in ids]
    assert [batch.id for batch in customer.openai.batches.list(limit=2)] == batches[::-1]
    for batch_id in batches:
        customer.wait(batch_id)


def test_accounts_see_nothing_of_each_other(customer: Customer, stranger: Customer) -> None:
    """A foreign id is a 404 in every operation, and lists hold only one's own."""
    theirs = stranger.openai
    batch = customer.wait(customer.submit([chat_line(0)]).id)
    assert batch.output_file_id is not None
    for file_id in (batch.input_file_id, batch.output_file_id):
        for call in (theirs.files.retrieve, theirs.files.content, theirs.files.delete):
            with pytest.raises(openai.NotFoundError):
                call(file_id)
    for call in (theirs.batches.retrieve, theirs.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            call(batch.id)
    with pytest.raises(openai.NotFoundError):
        _create(stranger, batch.input_file_id)
    assert list(theirs.files.list()) == []
    assert list(theirs.batches.list()) == []
    assert customer.openai.files.content(batch.output_file_id).read()


def test_a_wrong_or_revoked_key_is_refused(customer: Customer, cloud: LocalCloud) -> None:
    """401 in OpenAI's envelope, with a request id; a revoked key stops working."""
    with (
        openai.OpenAI(base_url=f"{cloud.api_url}/v1", api_key="wrong", max_retries=0) as wrong,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        wrong.models.list()
    assert caught.value.request_id
    assert caught.value.code == "invalid_api_key"
    made = cloud.invoke("admin", {"action": "create_key", "account_id": customer.account_id, "name": "second"})
    revoked = {"action": "revoke_key", "account_id": customer.account_id, "key_id": made["key_id"]}
    cloud.invoke("admin", revoked)
    with (
        openai.OpenAI(base_url=f"{cloud.api_url}/v1", api_key=made["api_key"], max_retries=0) as second,
        pytest.raises(openai.AuthenticationError),
    ):
        second.models.list()
    assert any(model.id == "gpt-4o-mini" for model in customer.openai.models.list())


def test_every_reply_is_explained_by_the_openapi_document(cloud: LocalCloud) -> None:
    """The document is served without a key and names the paths of the main job."""
    document = httpx.get(f"{cloud.api_url}/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert {"/v1/files", "/v1/uploads", "/v1/batches", "/v1/batches/{batch_id}/cancel"} <= document["paths"].keys()


def test_a_deleted_file_cannot_be_used(customer: Customer) -> None:
    """Deleting the input before the batch is made is a clear 404; nothing is created."""
    file_id = customer.upload(jsonl([chat_line(0)]))
    customer.openai.files.delete(file_id)
    with pytest.raises(openai.NotFoundError):
        _create(customer, file_id)
    assert list(customer.openai.batches.list()) == []


def test_the_same_idempotency_key_is_the_same_batch(customer: Customer) -> None:
    """A repeated create answers with the first batch; the key with another request is a conflict."""
    file_id = customer.upload(jsonl([chat_line(0)]))
    key = {"Idempotency-Key": "the-nightly-job"}
    first = _create(customer, file_id, extra_headers=key)
    again = _create(customer, file_id, extra_headers=key)
    assert again.id == first.id
    with pytest.raises(openai.ConflictError):
        _create(customer, file_id, extra_headers=key, metadata={"other": "request"})
    eventually(lambda: customer.openai.batches.retrieve(first.id).status == "completed", "completion")


def _create(customer: Customer, file_id: str, **options: object) -> openai.types.Batch:
    return customer.openai.batches.create(
        input_file_id=file_id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        **options,  # type: ignore[arg-type]
    )
