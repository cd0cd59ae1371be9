"""Files through the handlers, driven by the openai SDK."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import openai
import pytest
from openai.types import FileDeleted, FileObject

from batchyard import settings
from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.objects import ObjectChanged, ObjectInfo, Objects
from batchyard.content.files import own_keys
from batchyard.core.files import File, FileRef, FileStatus
from batchyard.core.keys import file_key, incoming_key
from tests.api.api import Cloud, Customer, jsonl, lines


def put_file(cloud: Cloud, account_id: str, number: int, **fields: object) -> str:
    """A file row straight in the table; ids sort by `number`."""
    file_id = f"file-{number:026d}"
    known = {"filename": "r.jsonl", "purpose": "batch", "bytes": 3, "created_at": number} | fields
    Files(cloud.table).put(File(file_id, account_id, **known))  # type: ignore[arg-type]
    return file_id


def test_a_file_is_uploaded_and_read_back(alice: Customer) -> None:
    """Upload, retrieve and content agree; every field of OpenAI's object is in the reply, null or not, and
    FastRouter's beside them."""
    made = alice.openai.files.create(file=jsonl(3), purpose="batch")
    assert (made.filename, made.purpose, made.bytes, made.status) == (
        "requests.jsonl",
        "batch",
        len(lines(3)),
        "processed",
    )
    assert made.expires_at is not None and made.expires_at - made.created_at == 30 * 86_400
    raw = alice.http.get(f"/v1/files/{made.id}")
    assert set(raw.json()) == set(FileObject.model_fields) | {"file_id", "num_rows"}
    assert made.to_dict() == raw.json() | {"url": made.to_dict()["url"]}
    assert FileObject.model_validate(raw.json(), strict=True).id == made.id
    content = alice.openai.files.content(made.id)
    assert content.content == lines(3)
    assert content.response.headers["content-type"] == "application/x-ndjson"


def test_expires_after_is_kept(alice: Customer) -> None:
    """`expires_after` decides when the file goes; without one it is kept for the deployment's days."""
    made = alice.openai.files.create(
        file=jsonl(), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert made.expires_at == made.created_at + 3600


@pytest.mark.parametrize("seconds", [3599, 2_592_001])
def test_expires_after_has_bounds(alice: Customer, seconds: int) -> None:
    """Seconds outside OpenAI's range are a 400 that names the parameter."""
    with pytest.raises(openai.BadRequestError) as caught:
        alice.openai.files.create(
            file=jsonl(), purpose="batch", expires_after={"anchor": "created_at", "seconds": seconds}
        )
    assert caught.value.param == "expires_after.seconds"


def test_an_expired_file_is_gone(cloud: Cloud, alice: Customer) -> None:
    """A file that has expired is in no list and a 404, even while its row is still there."""
    file_id = put_file(cloud, alice.account_id, 1, expires_at=int(time.time()) - 1)
    with pytest.raises(openai.NotFoundError):
        alice.openai.files.retrieve(file_id)
    assert alice.openai.files.list().data == []


def test_rows_are_counted(cloud: Cloud, alice: Customer) -> None:
    """The row knows how many lines the file has; blank ones and a missing last newline make no difference."""
    made = alice.openai.files.create(file=("r.jsonl", b'{"a":1}\n\n  \r\n{"b":2}'), purpose="batch")
    file = Files(cloud.table).get(FileRef(alice.account_id, made.id))
    assert file is not None and file.lines == 2


@pytest.mark.parametrize(
    ("file", "purpose", "param"),
    [
        (("requests.txt", b"{}\n"), "batch", "file"),
        (("requests.jsonl", b""), "batch", "file"),
        (("requests.jsonl", b"{}\n"), "fun", "purpose"),
        (("folder/", b"{}\n"), "batch", "file"),
        (("x" * 300 + ".jsonl", b"{}\n"), "batch", "file"),
    ],
)
def test_a_file_that_cannot_be_is_refused(alice: Customer, file: tuple[str, bytes], purpose: str, param: str) -> None:
    """Wrong suffix, no bytes, unknown purpose, impossible names: 400, naming the parameter."""
    with pytest.raises(openai.BadRequestError) as caught:
        alice.openai.files.create(file=file, purpose=purpose)  # type: ignore[arg-type]
    assert caught.value.param == param


def test_folders_in_a_file_name_are_dropped(alice: Customer) -> None:
    """A path as file name leads nowhere: only its last part is kept."""
    made = alice.openai.files.create(file=("../../etc/passwd/r.jsonl", b"{}\n"), purpose="batch")
    assert made.filename == "r.jsonl"


def test_a_foreign_name_survives(alice: Customer) -> None:
    """A name outside ASCII comes back as it was sent."""
    made = alice.openai.files.create(file=("Anfragen für Zoë 🚚.jsonl", b"{}\n"), purpose="batch")
    assert alice.openai.files.retrieve(made.id).filename == "Anfragen für Zoë 🚚.jsonl"


def test_a_deleted_file_is_gone_bytes_and_all(cloud: Cloud, alice: Customer) -> None:
    """Delete answers OpenAI's object; afterwards row and object are gone, and deleting again is a 404."""
    made = alice.openai.files.create(file=jsonl(), purpose="batch")
    raw = alice.http.delete(f"/v1/files/{made.id}")
    assert FileDeleted.model_validate(raw.json(), strict=True) == FileDeleted(id=made.id, deleted=True, object="file")
    assert cloud.objects.head(file_key(alice.account_id, made.id)) is None
    with pytest.raises(openai.NotFoundError):
        alice.openai.files.delete(made.id)


def test_a_file_whose_bytes_are_gone_is_not_found(cloud: Cloud, alice: Customer) -> None:
    """A deletion takes the bytes before the row: in between, the caller who names the file gets a 404."""
    made = alice.openai.files.create(file=jsonl(), purpose="batch")
    cloud.objects.delete(file_key(alice.account_id, made.id))
    with pytest.raises(openai.NotFoundError):
        alice.openai.files.content(made.id)


def test_lists_page_in_both_orders(cloud: Cloud, alice: Customer) -> None:
    """The SDK's own paging visits every file once, newest first by default and oldest first on demand."""
    ids = [put_file(cloud, alice.account_id, number) for number in range(7)]
    assert [file.id for file in alice.openai.files.list(limit=3)] == ids[::-1]
    assert [file.id for file in alice.openai.files.list(limit=2, order="asc")] == ids
    first = alice.http.get("/v1/files", params={"limit": 3}).json()
    assert (first["object"], first["first_id"], first["last_id"], first["has_more"]) == ("list", ids[6], ids[4], True)
    last = alice.http.get("/v1/files", params={"after": ids[1]}).json()
    assert (last["first_id"], last["last_id"], last["has_more"]) == (ids[0], ids[0], False)


def test_a_list_can_be_filtered_by_purpose(cloud: Cloud, alice: Customer) -> None:
    """Only files with the purpose are listed, and they still page, though most rows between them do not match. The
    table leaves those out, a megabyte at a time: an account may have a hundred thousand."""
    ids = [put_file(cloud, alice.account_id, n, purpose="batch_output" if n % 9 == 0 else "batch") for n in range(30)]
    queries: list[dict[str, Any]] = []
    cloud.table._client.meta.events.register(
        "provide-client-params.dynamodb.Query", lambda params, **_: queries.append(params)
    )
    found = [file.id for file in alice.openai.files.list(purpose="batch_output", limit=2)]
    assert found == ids[::9][::-1] and len(queries) == 2
    assert [file.id for file in alice.openai.files.list(purpose="batch_output", limit=2, order="asc")] == ids[::9]
    queries.clear()
    assert alice.http.get("/v1/files?purpose=vision&limit=1").json()["data"] == [] and len(queries) == 1


def test_an_empty_list_is_whole(alice: Customer) -> None:
    """No files: an empty page with every field."""
    empty = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert alice.http.get("/v1/files").json() == empty


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=x", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e3", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("order=up", "order"),
        ("after=file-1", "after"),
        ("after=../x", "after"),
    ],
)
def test_a_bad_query_is_refused(alice: Customer, query: str, param: str) -> None:
    """A list's parameters are checked, and the one at fault is named."""
    reply = alice.http.get(f"/v1/files?{query}")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_a_list_never_outgrows_a_reply(cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files with long names end a page before Lambda would refuse it, and none is lost between pages."""
    for number in range(60):
        put_file(cloud, alice.account_id, number, filename=('"' if number % 2 else "ü") * 125 + ".jsonl")
    monkeypatch.setattr("batchyard.handlers.pages._REPLY_BYTES", 20_000)
    page = alice.http.get("/v1/files")
    assert page.json()["has_more"] and len(json.dumps(page.text, ensure_ascii=False).encode()) < 20_000
    assert len({file.id for file in alice.openai.files.list()}) == 60


def test_a_large_file_is_a_redirect(cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the inline limit the reply is a 302 to a URL that carries its own permission and needs no key."""
    made = alice.openai.files.create(file=jsonl(50), purpose="batch")
    monkeypatch.setenv("MAX_INLINE_DOWNLOAD_BYTES", "100")
    settings.load.cache_clear()
    reply = alice.http.get(f"/v1/files/{made.id}/content")
    assert reply.status_code == 302
    location = httpx.URL(reply.headers["location"])
    assert location.params["X-Amz-Expires"] == "3600"
    assert location.path.endswith(file_key(alice.account_id, made.id))


def test_a_presigned_upload_is_noticed(cloud: Cloud, alice: Customer) -> None:
    """The file is `uploaded` until its bytes are in the bucket; the next look finds them, with their size."""
    made = alice.http.post("/v1/files/presigned", json={"filename": "big.jsonl", "purpose": "batch"}).json()
    assert set(made) == {"object", "url", "method", "headers", "expires_at", "file"}
    file_id = made["file"]["id"]
    assert alice.openai.files.retrieve(file_id).status == "uploaded"
    assert alice.http.get(f"/v1/files/{file_id}/content").json()["error"]["code"] == "file_not_ready"
    assert httpx.URL(made["url"]).path.endswith(incoming_key(alice.account_id, file_id))
    cloud.objects.put(incoming_key(alice.account_id, file_id), lines(4))
    found = alice.openai.files.retrieve(file_id)
    assert (found.status, found.bytes) == ("processed", len(lines(4)))
    assert alice.openai.files.content(file_id).content == lines(4)


@pytest.mark.parametrize(("data", "limit"), [(b"", "1000"), (b"x" * 101, "100")])
def test_a_presigned_upload_is_checked(
    cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch, data: bytes, limit: str
) -> None:
    """What came straight to the bucket obeys the same limits: nothing, or too much, makes the file an error, and is not
    kept."""
    monkeypatch.setenv("MAX_FILE_BYTES", limit)
    made = alice.http.post("/v1/files/presigned", json={"filename": "big.jsonl"}).json()
    keys = own_keys(FileRef(alice.account_id, made["file"]["id"]))
    cloud.objects.put(incoming_key(alice.account_id, made["file"]["id"]), data)
    found = alice.openai.files.retrieve(made["file"]["id"])
    assert (found.status, bool(found.status_details)) == (str(FileStatus.ERROR), True)
    assert [cloud.objects.head(key) for key in keys] == [None, None]


def test_bytes_that_were_noticed_stay(cloud: Cloud, alice: Customer) -> None:
    """A presigned URL takes bytes for an hour; once the file was looked at, others that come change nothing of it."""
    made = alice.http.post("/v1/files/presigned", json={"filename": "big.jsonl", "purpose": "batch"}).json()["file"]
    incoming = incoming_key(alice.account_id, made["id"])
    cloud.objects.put(incoming, lines(2))
    assert alice.openai.files.retrieve(made["id"]).bytes == len(lines(2))
    assert cloud.objects.head(incoming) is None
    cloud.objects.put(incoming, lines(3))
    assert alice.openai.files.retrieve(made["id"]).bytes == len(lines(2))
    assert alice.openai.files.content(made["id"]).content == lines(2)
    alice.openai.files.delete(made["id"])
    assert cloud.objects.head(incoming) is None


def test_bytes_that_are_replaced_while_they_are_noticed(
    cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was checked is what is copied: the file waits on, and the next look takes what is there then."""
    made = alice.http.post("/v1/files/presigned", json={"filename": "big.jsonl", "purpose": "batch"}).json()["file"]
    incoming = incoming_key(alice.account_id, made["id"])
    cloud.objects.put(incoming, lines(2))

    def replaced(self: Objects, key: str, to_key: str, found: ObjectInfo) -> None:
        cloud.objects.put(incoming, lines(3))
        now = self.head(key)
        assert now is not None and now.etag != found.etag
        raise ObjectChanged("S3 compares the two, moto does not")

    with monkeypatch.context() as racing:
        racing.setattr(Objects, "copy_within", replaced)
        assert alice.openai.files.retrieve(made["id"]).status == "uploaded"
    assert alice.openai.files.retrieve(made["id"]).bytes == len(lines(3))
    assert alice.openai.files.content(made["id"]).content == lines(3)


def test_another_account_sees_nothing(alice: Customer, mallory: Customer) -> None:
    """A foreign file is a 404 for everything one could do with it, and in no list."""
    made = alice.openai.files.create(file=jsonl(), purpose="batch")
    for attempt in (mallory.openai.files.retrieve, mallory.openai.files.delete, mallory.openai.files.content):
        with pytest.raises(openai.NotFoundError):
            attempt(made.id)
    assert mallory.openai.files.list().data == []
    assert alice.openai.files.content(made.id).content == lines(3)
