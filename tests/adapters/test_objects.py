"""The S3 adapter against moto."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from moto import mock_aws

from batchyard.adapters.aws.object_copy import CopySizes
from batchyard.adapters.aws.objects import ObjectChanged, ObjectInfo, ObjectMissing, Objects, Span, attachment
from batchyard.adapters.aws.writer import ObjectWriter

MIB = 1024 * 1024


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="data")
        client.create_bucket(Bucket="drop")
        client.put_bucket_versioning(Bucket="drop", VersioningConfiguration={"Status": "Enabled"})
        yield client


@pytest.fixture
def objects(s3: Any) -> Objects:
    return Objects(s3, "data")


def open_uploads(s3: Any) -> list[Any]:
    return s3.list_multipart_uploads(Bucket="data").get("Uploads", [])


def test_put_get_head_delete(objects: Objects) -> None:
    """What is put can be read whole and by range, has a size, and is gone once deleted."""
    objects.put("a", b"0123456789", "text/plain")
    assert objects.get("a") == b"0123456789"
    assert objects.get("a", 2, 3) == b"234"
    assert objects.get("a", 8) == b"89"
    assert objects.get("a", 8, 100) == b"89"
    assert objects.get("a", 10, 5) == b""
    assert objects.get("a", 3, 0) == b""
    info = objects.head("a")
    assert info is not None and info.size == 10
    objects.delete("a")
    objects.delete("a")
    assert objects.head("a") is None
    with pytest.raises(ObjectMissing):
        objects.get("a")


def test_delete_many_takes_more_than_one_call_holds(objects: Objects, s3: Any) -> None:
    """1,001 keys are deleted although S3 takes 1,000 a call."""
    keys = [f"k{n}" for n in range(1001)]
    for key in (keys[0], keys[-1], "kept"):
        objects.put(key, b"x")
    objects.delete_many(keys)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket="data")["Contents"]] == ["kept"]


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200, 1234])
def test_stream_returns_every_byte_in_order(objects: Objects, size: int) -> None:
    """Sizes around chunk boundaries come back exactly, in chunks of the asked size."""
    data = os.urandom(size)
    objects.put("a", data)
    chunks = list(objects.stream("a", chunk_bytes=100))
    assert b"".join(chunks) == data
    assert all(len(chunk) == 100 for chunk in chunks[:-1])


def test_stream_of_a_missing_object(objects: Objects) -> None:
    """A stream of nothing raises at its first chunk."""
    with pytest.raises(ObjectMissing):
        next(objects.stream("nothing"))


def test_stream_refuses_to_mix_two_versions(objects: Objects) -> None:
    """An object overwritten after the first chunk is not continued with other bytes."""
    objects.put("a", b"a" * 2000)
    stream = objects.stream("a", chunk_bytes=100)
    next(stream)
    objects.put("a", b"b" * 2000)
    with pytest.raises(ObjectChanged):
        list(stream)


def test_stream_stopped_early_leaves_no_reads_behind(objects: Objects, s3: Any) -> None:
    """Closing a stream after its first chunk issues no more requests than it reads ahead."""
    objects.put("a", b"a" * 10_000)
    requests: list[str] = []
    s3.meta.events.register("before-call.s3.GetObject", lambda **kwargs: requests.append("get"))
    stream = objects.stream("a", chunk_bytes=100)
    next(stream)
    next(stream)
    stream.close()
    assert len(requests) <= 8


class BrokenBody:
    """A response body whose connection breaks while it is read."""

    def read(self) -> bytes:
        raise ReadTimeoutError(endpoint_url="https://s3")


class BreakingClient:
    """An S3 client whose first `breaks` bodies break off."""

    def __init__(self, client: Any, breaks: int) -> None:
        self.client = client
        self.breaks = breaks

    def get_object(self, **request: Any) -> dict[str, Any]:
        reply: dict[str, Any] = self.client.get_object(**request)
        if self.breaks:
            self.breaks -= 1
            reply["Body"].close()
            return reply | {"Body": BrokenBody()}
        return reply


def test_a_body_that_breaks_off_is_read_again(objects: Objects, s3: Any) -> None:
    """Two broken bodies cost nothing but requests; the third in a row is raised."""
    objects.put("a", b"hello")
    assert Objects(BreakingClient(s3, 2), "data").get("a") == b"hello"
    with pytest.raises(ReadTimeoutError):
        Objects(BreakingClient(s3, 3), "data").get("a")


def test_get_many_keeps_the_order(objects: Objects) -> None:
    """Objects read ahead in threads come out in the order asked for, and a missing one raises in its place."""
    for n in range(30):
        objects.put(f"k{n}", b"%d" % n)
    spans = [Span(f"k{n}") for n in range(30)] + [Span("k29", 1, 1)]
    assert list(objects.get_many(spans, at_most=4, held_bytes=10)) == [b"%d" % n for n in range(30)] + [b"9"]
    reads = objects.get_many([Span("k0"), Span("missing"), Span("k1")], at_most=2, held_bytes=100)
    assert next(reads) == b"0"
    with pytest.raises(ObjectMissing):
        next(reads)


def test_a_small_write_is_one_put(objects: Objects, s3: Any) -> None:
    """Below one part there is no multipart upload; the content type is kept."""
    calls: list[str] = []
    s3.meta.events.register("before-call.s3.*", lambda model, **kwargs: calls.append(model.name))
    with objects.writer("a", "application/jsonl") as writer:
        writer.write(b"one\n")
        writer.write(b"two\n")
    assert calls == ["PutObject"]
    assert writer.bytes_written == 8
    assert objects.get("a") == b"one\ntwo\n"
    assert s3.head_object(Bucket="data", Key="a")["ContentType"] == "application/jsonl"


@pytest.mark.parametrize("size", [5 * MIB, 5 * MIB + 1, 10 * MIB, 26 * MIB + 7])
@pytest.mark.parametrize("piece", [300_000, 11 * MIB])
def test_a_large_write_is_a_multipart_upload(objects: Objects, s3: Any, size: int, piece: int) -> None:
    """Whatever the pieces, the object holds the bytes in order and no upload stays open."""
    data = os.urandom(size)
    with ObjectWriter(s3, "data", "a", "application/jsonl", part_bytes=5 * MIB) as writer:
        for start in range(0, size, piece):
            writer.write(data[start : start + piece])
    assert objects.get("a") == data
    assert writer.bytes_written == size
    assert open_uploads(s3) == []
    assert s3.head_object(Bucket="data", Key="a")["ContentType"] == "application/jsonl"


def test_an_exception_leaves_no_object_and_no_upload(objects: Objects, s3: Any) -> None:
    """A writer whose block raises aborts its multipart upload, and the small one writes nothing."""
    with pytest.raises(ZeroDivisionError), objects.writer("small") as writer:
        writer.write(b"x")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), ObjectWriter(s3, "data", "large", part_bytes=5 * MIB) as writer:
        writer.write(os.urandom(11 * MIB))
        raise ZeroDivisionError
    assert open_uploads(s3) == []
    assert objects.head("small") is None and objects.head("large") is None


class FailingParts:
    """An S3 client that refuses the second part of any upload."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def upload_part(self, **request: Any) -> Any:
        if request["PartNumber"] == 2:
            raise ClientError({"Error": {"Code": "InternalError"}}, "UploadPart")
        return self.client.upload_part(**request)


def test_a_part_that_fails_fails_the_write(objects: Objects, s3: Any) -> None:
    """An upload error in the background surfaces at the latest when the block ends, and the upload is aborted."""
    with (
        pytest.raises(ClientError, match="InternalError"),
        ObjectWriter(FailingParts(s3), "data", "a", part_bytes=5 * MIB) as writer,
    ):
        writer.write(os.urandom(11 * MIB))
    assert open_uploads(s3) == []
    assert objects.head("a") is None


def test_copy_from_takes_the_version_it_is_asked_for(objects: Objects, s3: Any) -> None:
    """A copy of version one is not disturbed by version two."""
    first = s3.put_object(Bucket="drop", Key="in", Body=b"first")["VersionId"]
    s3.put_object(Bucket="drop", Key="in", Body=b"second!")
    assert objects.copy_from("drop", "in", first, "copy", "application/jsonl").size == 5
    assert objects.get("copy") == b"first"
    with pytest.raises(ObjectMissing):
        objects.copy_from("drop", "not there", None, "copy")


def test_copy_to_another_bucket(objects: Objects, s3: Any) -> None:
    """A copy arrives in the other bucket."""
    objects.put("a", b"result")
    objects.copy_to("a", "drop", "results/a")
    assert Objects(s3, "drop").get("results/a") == b"result"


def test_a_large_copy_goes_in_parts(objects: Objects, s3: Any) -> None:
    """Above CopyObject's limit the copy is a multipart one, with the bytes in order."""
    data = os.urandom(17 * MIB)
    version = s3.put_object(Bucket="drop", Key="in", Body=data)["VersionId"]
    parted = Objects(s3, "data", copy_sizes=CopySizes(6 * MIB, 5 * MIB))
    info = parted.copy_from("drop", "in", version, "copy", "application/jsonl")
    assert isinstance(info, ObjectInfo) and info.size == len(data)
    assert objects.get("copy") == data
    assert s3.head_object(Bucket="data", Key="copy")["ETag"].endswith('-4"')
    assert open_uploads(s3) == []


def test_reading_an_old_version(objects: Objects, s3: Any) -> None:
    """`version_id` reads that version, by range too, and knows a missing one."""
    first = s3.put_object(Bucket="drop", Key="in", Body=b"first")["VersionId"]
    s3.put_object(Bucket="drop", Key="in", Body=b"second!")
    drop = Objects(s3, "drop")
    assert drop.get("in", 1, 2, version_id=first) == b"ir"
    info = drop.head("in", version_id=first)
    assert info is not None and (info.size, info.version_id) == (5, first)
    assert abs(info.modified_at - time.time()) < 3600
    assert drop.head("in", version_id="0f0f") is None


def test_attachment_names_survive_the_header() -> None:
    """Quotes, separators and non-ASCII letters cannot break out of the header; the exact name is there as UTF-8."""
    assert attachment("out.jsonl") == "attachment; filename=\"out.jsonl\"; filename*=UTF-8''out.jsonl"
    assert (
        attachment('a"b\r\nü.jsonl')
        == "attachment; filename=\"a_b___.jsonl\"; filename*=UTF-8''a%22b%0D%0A%C3%BC.jsonl"
    )
