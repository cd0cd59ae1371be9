"""Hostile requests over real sockets, on every surface: a 4xx in the surface's envelope that says what is wrong. Never
a 5xx, never a hang, and the API works as before afterwards."""

from __future__ import annotations

import gzip
import json
import re
import socket
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from local.cloud import LocalCloud
from tests.customer import CHAT, Customer, chat_line, eventually, jsonl
from tests.invariants import TERMINAL

HANG_SECONDS = 300
"""A reply that takes longer counts as none."""
DEEP = 100_000
ENVELOPE = {"message", "type", "param", "code", "status"}


@dataclass(frozen=True)
class Root:
    """A dialect's root, and what its requests carry."""

    name: str
    path: str
    headers: dict[str, str]


@pytest.fixture(scope="module")
def owner(cloud: LocalCloud) -> Iterator[Customer]:
    with Customer(cloud, "hostile") as customer:
        yield customer


@pytest.fixture(scope="module", autouse=True)
def logged_before(cloud: LocalCloud) -> dict[str, int]:
    """How long each function's log was before all this."""
    return {function: len(cloud.log(function)) for function in cloud.functions}


@pytest.fixture(scope="module", params=["openai", "portkey", "kushrouter"])
def root(request: pytest.FixtureRequest, owner: Customer) -> Root:
    bearer = {"authorization": f"Bearer {owner.api_key}"}
    portkey = {"x-portkey-api-key": owner.api_key, "x-portkey-provider": "@openai"}
    roots = (
        Root("openai", "/v1", bearer),
        Root("portkey", "/v1", portkey),
        Root("kushrouter", "/api/v1", bearer),
    )
    return next(root for root in roots if root.name == request.param)


@pytest.fixture(scope="module")
def http(owner: Customer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=owner.cloud.api_url, timeout=HANG_SECONDS) as client:
        yield client


def refused(reply: httpx.Response, *statuses: int, root: Root | None = None) -> dict[str, Any]:
    """The error of a reply, after checking that it is a 4xx with a message. `statuses`: those that are allowed, if not
    all. `root`: the error object is that of this surface."""
    assert reply.status_code in (statuses or range(400, 500)), f"{reply.status_code}: {reply.text[:300]}"
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"]
    error: dict[str, Any] = reply.json()["error"]
    assert error["message"] and len(error["message"]) < 1000
    # If the gateway chooses the status, its error object cannot name it.
    assert set(error) == ENVELOPE or (root is None and set(error) == ENVELOPE - {"status"}), sorted(error)
    return error


def raw(cloud: LocalCloud, sent: bytes, *, half_close: bool = True) -> bytes:
    """All that the server answers to these bytes until it closes. `half_close`: nothing more will come from us."""
    host, _, port = cloud.api_url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=HANG_SECONDS) as connection:
        connection.sendall(sent)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while data := connection.recv(65_536):
            received += data
    return received


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer.split(b" ", 2)[1])


# Bodies.

BROKEN_JSON = {
    "cut off": b'{"input_file_id": "file-',
    "100,000 arrays": b"[" * DEEP,
    "100,000 objects": b'{"a":' * DEEP,
    "100,000 levels, closed": b"[" * DEEP + b"]" * DEEP,
    "deep in a field": b'{"metadata":{"a":' + b"[" * DEEP + b"]" * DEEP + b"}}",
    "invalid UTF-8": b'{"input_file_id": "\xff\xfe"}',
    "overlong UTF-8": b'{"input_file_id": "\xc0\xaf"}',
    "lone surrogate": b'{"input_file_id": "\\ud800"}',
    "a byte order mark": b'\xef\xbb\xbf{"input_file_id": 1}',
    "UTF-16": '{"input_file_id": "x"}'.encode("utf-16"),
    "NaN": b'{"input_file_id": NaN}',
    "a number of 100,000 digits": b'{"input_file_id": ' + b"9" * 100_000 + b"}",
    "1e999": b'{"metadata": {"a": 1e999}}',
    "text behind it": b"{} {}",
    "nothing": b"",
    "an array": b"[]",
    "null": b"null",
    "a text": b'"input_file_id"',
    "NUL": b"\x00",
    "a megabyte of spaces": b" " * 1_000_000,
}


@pytest.mark.parametrize("kind", BROKEN_JSON)
def test_json_that_is_none(http: httpx.Client, root: Root, kind: str) -> None:
    """What cannot be read, or is no request, is a 400 wherever a JSON body is taken."""
    paths = {
        "kushrouter": ("/batches", "/files"),
        "openai": ("/batches", "/uploads", "/files/presigned"),
        "portkey": ("/batches",),
    }
    for path in paths[root.name]:
        headers = root.headers | {"content-type": "application/json"}
        reply = http.post(root.path + path, content=BROKEN_JSON[kind], headers=headers)
        refused(reply, 400, root=root)


BOUNDARY = "multipart/form-data; boundary=xyz"
FILE_PART = b'Content-Disposition: form-data; name="file"; filename="r.jsonl"\r\n\r\n{}\n'
PURPOSE_PART = b'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch'


def form(*parts: bytes, end: bytes = b"--xyz--\r\n") -> bytes:
    return b"".join(b"--xyz\r\n" + part + b"\r\n" for part in parts) + end


BROKEN_FORMS = {
    "no end": (BOUNDARY, form(PURPOSE_PART, FILE_PART, end=b"")),
    "half an end": (BOUNDARY, form(PURPOSE_PART, FILE_PART, end=b"--xyz")),
    "cut off in a header": (BOUNDARY, form(PURPOSE_PART, FILE_PART)[:40]),
    "cut off in the file": (BOUNDARY, form(PURPOSE_PART, FILE_PART)[:-20]),
    "another boundary": ("multipart/form-data; boundary=abc", form(PURPOSE_PART, FILE_PART)),
    "no boundary": ("multipart/form-data", form(PURPOSE_PART, FILE_PART)),
    "an empty boundary": ('multipart/form-data; boundary=""', form(PURPOSE_PART, FILE_PART)),
    "a long boundary": ("multipart/form-data; boundary=" + "b" * 3000, form(PURPOSE_PART, FILE_PART)),
    "no parts": (BOUNDARY, b"--xyz--\r\n"),
    "nothing": (BOUNDARY, b""),
    "no file": (BOUNDARY, form(PURPOSE_PART)),
    "a file without a name": (BOUNDARY, form(PURPOSE_PART, b'Content-Disposition: form-data; name="file"\r\n\r\n{}')),
    "an empty file name": (
        BOUNDARY,
        form(PURPOSE_PART, b'Content-Disposition: form-data; name="file"; filename=""\r\n\r\n{}'),
    ),
    "a part without a disposition": (BOUNDARY, form(b"\r\n{}")),
    "1,000 parts": (BOUNDARY, form(*[PURPOSE_PART] * 1000, FILE_PART)),
    "a header of 100 kB": (BOUNDARY, form(b"A: " + b"b" * 100_000 + b"\r\n\r\n{}")),
    "1,000 headers": (BOUNDARY, form(b"A: b\r\n" * 1000 + FILE_PART)),
    "a field of 1 MB": (
        BOUNDARY,
        form(b'Content-Disposition: form-data; name="purpose"\r\n\r\n' + b"x" * 1_000_000, FILE_PART),
    ),
    "rubbish": (BOUNDARY, bytes(range(256)) * 40),
}


@pytest.mark.parametrize("kind", BROKEN_FORMS)
def test_forms_that_are_none(http: httpx.Client, root: Root, kind: str) -> None:
    """Truncated, wrongly bounded, or without what is asked for: 400."""
    content_type, body = BROKEN_FORMS[kind]
    headers = root.headers | {"content-type": content_type}
    refused(http.post(f"{root.path}/files", content=body, headers=headers), 400, root=root)


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "zstd", "gzip, gzip", "x-gzip", "compress", "?"])
def test_compressed_bodies(http: httpx.Client, root: Root, encoding: str) -> None:
    """A bomb is not unpacked: 415, whatever the encoding calls itself, for JSON and for forms."""
    zeros = b'{"a":"' + b"0" * 50_000_000 + b'"}'
    bomb = zlib.compress(zeros, 9) if encoding == "deflate" else gzip.compress(zeros, 9)
    for path, content_type in (("/batches", "application/json"), ("/files", BOUNDARY)):
        headers = root.headers | {"content-type": content_type, "content-encoding": encoding}
        refused(http.post(root.path + path, content=bomb, headers=headers), 415, root=root)


def test_a_bomb_without_its_header(http: httpx.Client, root: Root) -> None:
    """Compressed bytes that are called JSON are no JSON."""
    headers = root.headers | {"content-type": "application/json"}
    refused(http.post(f"{root.path}/batches", content=gzip.compress(b"{}"), headers=headers), 400, root=root)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/mixed; boundary=xyz",
        "image/png",
        "json",
        ";;=",
    ],
)
def test_content_types_that_are_not_taken(http: httpx.Client, root: Root, content_type: str) -> None:
    """415 for bodies that are neither JSON nor a form."""
    headers = root.headers | {"content-type": content_type}
    refused(http.post(f"{root.path}/batches", content=b"{}", headers=headers), 415, root=root)
    refused(http.post(f"{root.path}/files", content=form(FILE_PART), headers=headers), 415, root=root)


# Names and ids.

IDS = [
    "..",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..%5cwindows",
    "%00",
    "file-%00",
    "%ff%fe",
    "%F0%9F%9A%9A",
    "%0d%0aSet-Cookie:%20a=b",
    "*",
    "%25",
    "%",
    "%zz",
    "file-01m7w41q1106grhfb3srrk2zxe%2fcontent",
    "account%23acct_1",
    "x" * 5000,
    "'%20OR%20'1'='1",
    "%24%7Bjndi:ldap://x%7D",
    "null",
    "0",
    "-1",
]


@pytest.mark.parametrize("text", IDS, ids=lambda text: text[:24])
def test_ids_that_are_none(cloud: LocalCloud, root: Root, text: str) -> None:
    """Sent as written, past any client's clean-up: 4xx in every place where an id belongs, and nothing found."""
    places = ["GET {}/files/{}", "GET {}/files/{}/content", "DELETE {}/files/{}", "GET {}/batches/{}"]
    places += ["POST {}/batches/{}/cancel"]
    places += ["GET {}/batches/{}/results", "GET {}/batches/{}/export"] if root.name == "kushrouter" else []
    places += ["GET {}/batches/{}/output", "POST {}/uploads/{}/cancel"] if root.name != "kushrouter" else []
    lines = "".join(f"{name}: {value}\r\n" for name, value in root.headers.items())
    for place in places:
        target = place.format(root.path, text)
        answer = raw(cloud, f"{target} HTTP/1.1\r\nHost: x\r\n{lines}Connection: close\r\n\r\n".encode())
        assert 400 <= status_of(answer) < 500, (target[:80], answer[:300])
        head, _, body = answer.partition(b"\r\n\r\n")
        assert json.loads(body)["error"]["message"] and b"x-request-id" in head.lower()
        assert b"set-cookie" not in head.lower()


NAMES = [
    "../../etc/passwd.jsonl",
    "..\\..\\windows\\system32.jsonl",
    "/etc/passwd.jsonl",
    "a%2f..%2fb.jsonl",
    "日本語 🚚.jsonl",
    "a;b=c.jsonl",
    "' OR 1=1 --.jsonl",
    "$(touch x).jsonl",
    "CON.jsonl",
    "-rf.jsonl",
]


@pytest.mark.parametrize("name", NAMES)
def test_file_names_are_only_names(http: httpx.Client, root: Root, name: str) -> None:
    """A name with folders loses them; it is never a path of ours, and the content comes back under it."""
    content = jsonl([chat_line(1)])
    reply = http.post(
        f"{root.path}/files", files={"file": (name, content)}, data={"purpose": "batch"}, headers=root.headers
    )
    assert reply.status_code == 200, reply.text
    file = reply.json()
    assert file["filename"] == name.replace("\\", "/").rpartition("/")[2]
    assert http.get(f"{root.path}/files/{file['id']}/content", headers=root.headers).content == content


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a\x00.jsonl",
        "a\n.jsonl",
        "\u202egpj.jsonl",
        "\ufeff.jsonl",
        "x" * 10_000 + ".jsonl",
        "folder/",
        "\x1b[2J",
    ],
    ids=ascii,
)
def test_file_names_that_are_none(http: httpx.Client, root: Root, name: str) -> None:
    """Empty, with characters that nobody can see, or too long: 400, in forms and in JSON."""
    quoted = name.encode()
    part = b'Content-Disposition: form-data; name="file"; filename="' + quoted + b'"\r\n\r\n{}\n'
    headers = root.headers | {"content-type": BOUNDARY}
    refused(http.post(f"{root.path}/files", content=form(PURPOSE_PART, part), headers=headers), 400, root=root)
    wish = {"filename": name, "purpose": "batch"}
    refused(http.post(f"{root.path}/files/presigned", json=wish, headers=root.headers), 400, root=root)


# Numbers and queries.

NUMBERS = [
    "-1",
    "0",
    "1.5",
    "1e3",
    "99999999999999999999",
    "NaN",
    "Infinity",
    "0x10",
    "١٢",
    "1" * 5000,
    "1 ",
    "+1",
    "a",
]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:20])
def test_limits_that_are_none(http: httpx.Client, root: Root, number: str) -> None:
    """A page of an absurd size is a 400 that names the parameter."""
    for path in ("/files", "/batches"):
        reply = http.get(root.path + path, params={"limit": number}, headers=root.headers)
        assert refused(reply, 400, root=root)["param"] == "limit"


def test_numbers_that_are_none_in_bodies(http: httpx.Client, root: Root) -> None:
    """Beyond every range, of the wrong type, or no number at all: 400."""
    absurd = (-1, 0, 10**30, 1.5, "1", True, [], {}, 1e300)
    wish = {"input_file_id": "file-" + "0" * 26, "endpoint": CHAT, "completion_window": "24h"}
    for number in absurd:
        reply = http.post(
            f"{root.path}/batches", json=wish | {"settings": {"concurrency": number}}, headers=root.headers
        )
        refused(reply, 400, root=root)
    if root.name == "kushrouter":
        return
    upload = {"filename": "a.jsonl", "purpose": "batch", "mime_type": "text/plain"}
    for number in absurd:
        refused(http.post("/v1/uploads", json=upload | {"bytes": number}, headers=root.headers), 400, 413, root=root)
        expiry = {"anchor": "created_at", "seconds": number}
        body = wish | {"output_expires_after": expiry}
        refused(http.post("/v1/batches", json=body, headers=root.headers), 400, root=root)


def test_queries_that_are_none(http: httpx.Client, root: Root) -> None:
    """Unknown orders, cursors that are no ids, control characters: 400; repeated and unknown ones do no harm."""
    for query in ("after=../..", "after=%00", "after=%ff", "after=" + "a" * 4000, "limit=1&limit=x", "limit=%00"):
        refused(http.get(f"{root.path}/batches?{query}", headers=root.headers), 400, root=root)
    for query in ("?x=1&x=2", "?&&&", "?=", "?%00=%00", "?limit=1&limit=2", "?a[b][c]=1", "?" + "a=1&" * 1000):
        assert http.get(f"{root.path}/batches{query}", headers=root.headers).status_code == 200, query


def test_windows_and_formats_that_are_none(http: httpx.Client, owner: Customer) -> None:
    """KushRouter's pages and exports: a 400 that names the parameter; beyond the last item there is an empty page."""
    batch, _ = owner.run([chat_line(number) for number in range(2)])
    bearer = {"authorization": f"Bearer {owner.api_key}"}
    wrong = [
        ("offset", "-1"),
        ("offset", "1e3"),
        ("limit", "0"),
        ("limit", "x"),
        ("offset", "9" * 400),
        ("offset", "\x00"),
    ]
    for path, queries in (
        ("results", wrong),
        ("export", [*wrong, ("format", "../../x"), ("format", "exe"), ("gzip", "maybe"), ("gzip", "2")]),
    ):
        for name, value in queries:
            reply = http.get(f"/api/v1/batches/{batch.id}/{path}", params={name: value}, headers=bearer)
            assert refused(reply, 400)["param"] == name
        beyond = http.get(f"/api/v1/batches/{batch.id}/{path}", params={"offset": 1_000_000}, headers=bearer)
        assert beyond.status_code == 200
    assert http.get(f"/api/v1/batches/{batch.id}/results?offset=5", headers=bearer).json()["results"] == []


def test_parts_that_are_none(http: httpx.Client, owner: Customer) -> None:
    """Parts that were never sent, sent twice, of another upload, too many, too large, or with the wrong digest: 4xx."""
    bearer = {"authorization": f"Bearer {owner.api_key}"}
    uploads = owner.openai.uploads
    upload, other = (
        uploads.create(bytes=8, filename="a.jsonl", mime_type="text/plain", purpose="batch") for _ in range(2)
    )
    part, foreign = (uploads.parts.create(each.id, data=b"12345678") for each in (upload, other))
    for ids in (["part_x"], ["../x"], [""], [part.id, part.id], [foreign.id], [part.id] * 10_000, [1], [None], part.id):
        reply = http.post(f"/v1/uploads/{upload.id}/complete", json={"part_ids": ids}, headers=bearer)
        refused(reply)
    for md5 in ("0" * 32, "x", "", 7, "../../x"):
        reply = http.post(f"/v1/uploads/{upload.id}/complete", json={"part_ids": [part.id], "md5": md5}, headers=bearer)
        refused(reply, 400)
    large = http.post(f"/v1/uploads/{other.id}/parts", files={"data": ("p", b"x" * 5_000_000)}, headers=bearer)
    refused(large, 413)
    done = http.post(f"/v1/uploads/{upload.id}/complete", json={"part_ids": [part.id]}, headers=bearer)
    assert done.json()["file"]["bytes"] == 8


def test_providers_that_are_none(http: httpx.Client, owner: Customer) -> None:
    """Portkey's headers choose a provider by its name only: addresses and configurations in them have no effect."""
    file_id = owner.upload(jsonl([chat_line(1)]))
    wish = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"}
    key = {"x-portkey-api-key": owner.api_key, "authorization": "Bearer sk-own"}
    names = (b"../openai", b"http://169.254.169.254/", b"openai/../x", b"openai,openai", b"%6fpenai", b"x" * 5000)
    for name in (*names, "опенаи".encode(), b"\xff", b"@", b"@@openai", b"openai\tx"):
        refused(http.post("/v1/batches", json=wish, headers=key | {"x-portkey-provider": name}), 400, 404)
    for header in ("x-portkey-custom-host", "x-portkey-config"):
        headers = key | {"x-portkey-provider": "openai", header: "http://169.254.169.254/"}
        refused(http.post("/v1/batches", json=wish, headers=headers), 400)
    for own in (b"Bearer " + b"k" * 5000, b"Bearer \xff", b"Basic x", b"Bearer a b"):
        headers = key | {"x-portkey-provider": "openai", "authorization": own}
        refused(http.post("/v1/batches", json=wish, headers=headers), 400, 401)


# Headers and the protocol itself.


def test_keys_that_are_none(http: httpx.Client, root: Root) -> None:
    """Empty, foreign, long or unreadable keys: 401."""
    name = "x-portkey-api-key" if root.name == "portkey" else "authorization"
    prefix = b"" if root.name == "portkey" else b"Bearer "
    for key in (b"x", b"k" * 8000, "ключ".encode(), b"\xff\xfe", b"a b c", b"../..", b"Bearer Bearer"):
        reply = http.get(f"{root.path}/files", headers={name: prefix + key})
        refused(reply, 401, root=root)
    for whole in (b"", b"Basic YTpi", b"Bearer", b"Digest x", b"=", b","):
        refused(http.get(f"{root.path}/files", headers={name: whole}), 401, root=root)
    refused(http.get(f"{root.path}/files"), 401)


def test_idempotency_keys_that_are_none(http: httpx.Client, root: Root) -> None:
    """Too long or not printable: 400."""
    wish = {"input_file_id": "file-" + "0" * 26, "endpoint": CHAT, "completion_window": "24h"}
    for key in (b"", b"k" * 256, "ключ".encode(), b"a\tb", b"\xff"):
        reply = http.post(f"{root.path}/batches", json=wish, headers=root.headers | {"idempotency-key": key})
        assert refused(reply, 400, root=root)["param"] == "Idempotency-Key"


def test_headers_without_measure(http: httpx.Client, root: Root) -> None:
    """More than API Gateway's 10 kB of headers never reach a function: a 4xx of the gateway's own."""
    refused(http.get(f"{root.path}/files", headers=root.headers | {"x-large": "x" * 20_000}))
    refused(http.get(f"{root.path}/files", headers=root.headers | {f"x-{n}": "x" for n in range(2000)}))
    refused(http.get(f"{root.path}/files?a={'x' * 20_000}", headers=root.headers))


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_methods_that_are_not_taken(http: httpx.Client, root: Root, method: str) -> None:
    """A path that exists refuses other methods, and does nothing."""
    for path in ("/files", "/batches", "/files/presigned"):
        refused(http.request(method, root.path + path, headers=root.headers))


HEAD = b"POST /v1/batches HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BROKEN_HTTP = {
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "an unknown method": b"BREW /v1/files HTTP/1.1\r\nHost: x\r\n\r\n",
    "no version": b"GET /v1/files\r\n\r\n",
    "HTTP/9.9": b"GET /v1/files HTTP/9.9\r\nHost: x\r\n\r\n",
    "a body that ends early": HEAD + b"Content-Length: 1000\r\n\r\n{",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n{}",
    "a length that is none": HEAD + b"Content-Length: ten\r\n\r\n{}",
    "an endless length": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}\n",
    "length and chunks": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks that are none": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "chunks that end early": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}",
    "a header without a colon": b"GET /v1/files HTTP/1.1\r\nHost x\r\n\r\n",
    "a header that is cut off": b"GET /v1/files HTTP/1.1\r\nHost: x",
    "NUL in a header": b"GET /v1/files HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n",
    "a folded header": b"GET /v1/files HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "a space before the colon": b"GET /v1/files HTTP/1.1\r\nHost : x\r\n\r\n",
    "NUL in the path": b"GET /v1/\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in the path": b"GET /v1/files/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "another upgrade": b"GET /v1/files HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a proxy's target": b"GET http://169.254.169.254/latest HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "dots": b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "100 kB of headers": b"GET /v1/files HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("kind", BROKEN_HTTP)
def test_http_that_is_none(cloud: LocalCloud, kind: str) -> None:
    """What is no request gets a 4xx, if anything; nothing waits for what will never come."""
    assert 400 <= status_of(raw(cloud, BROKEN_HTTP[kind])) < 500


def test_forms_with_a_field_twice(http: httpx.Client, root: Root) -> None:
    """Of a field that comes twice the last one counts: one file, with one content."""
    second = FILE_PART.replace(b"r.jsonl", b"s.jsonl").replace(b"{}", b'{"second":1}')
    body = form(PURPOSE_PART, PURPOSE_PART, FILE_PART, second)
    reply = http.post(f"{root.path}/files", content=body, headers=root.headers | {"content-type": BOUNDARY})
    assert (reply.status_code, reply.json()["filename"]) == (200, "s.jsonl")
    content = http.get(f"{root.path}/files/{reply.json()['id']}/content", headers=root.headers).content
    assert content == b'{"second":1}\n'


# Files whose lines are hostile: the reply comes later, in the batch.

LINES = {
    "100,000 levels": b'{"custom_id":"a","body":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep, with a model": b'{"model":"gpt-4o","messages":[{"role":"user","content":'
    + b"[" * DEEP
    + b"]" * DEEP
    + b"}]}",
    "300 levels": b'{"model":"gpt-4o","messages":' + b"[" * 300 + b"]" * 300 + b"}",
    "invalid UTF-8": b'{"model":"gpt-4o","messages":["\xff"]}',
    "a lone surrogate": b'{"model":"gpt-4o","messages":["\\ud800"]}',
    "a NUL": b'{"model":"gpt-4o","messages":["\x00"]}',
    "NaN": b'{"model":"gpt-4o","messages":[NaN]}',
    "1e999": b'{"model":"gpt-4o","messages":[1e999]}',
    "compressed": gzip.compress(b'{"model":"gpt-4o"}').replace(b"\n", b" "),
    "two objects": b"{}{}",
    "a number": b"7",
    "a line of 2 MB": b'{"model":"gpt-4o","messages":["' + b"x" * 2_000_000 + b'"]}',
}


def test_lines_that_are_none(http: httpx.Client, root: Root) -> None:
    """Each makes its batch fail with the number of its line; none makes a function fail, or a batch that never ends."""
    good = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}).encode()
    if root.name != "kushrouter":
        good = json.dumps(chat_line(1)).encode()
    made: dict[str, str] = {}
    for kind, line in LINES.items():
        if root.name != "kushrouter" and line.startswith(b'{"model"'):
            line = b'{"custom_id":"b","method":"POST","url":"%b","body":%b}' % (CHAT.encode(), line)
        content = good + b"\n" + line + b"\n"
        upload = {"files": {"file": ("r.jsonl", content)}, "data": {"purpose": "batch"}}
        file = http.post(f"{root.path}/files", headers=root.headers, **upload)  # type: ignore[arg-type]
        assert file.status_code == 200, (kind, file.text)
        wish = {"input_file_id": file.json()["id"], "endpoint": CHAT, "completion_window": "24h"}
        batch = http.post(f"{root.path}/batches", json=wish, headers=root.headers)
        assert batch.status_code == 200, (kind, batch.text)
        made[kind] = batch.json()["id"]

    def ended(batch_id: str) -> dict[str, Any] | None:
        batch: dict[str, Any] = http.get(f"{root.path}/batches/{batch_id}", headers=root.headers).json()
        return batch if batch["status"] in TERMINAL else None

    for kind, batch_id in made.items():
        batch = eventually(lambda batch_id=batch_id: ended(batch_id), f"the end of {kind}")  # type: ignore[misc]
        assert batch["status"] == "failed", kind
        assert [error["line"] for error in batch["errors"]["data"]] == [2], (kind, batch["errors"])
        assert all(error["code"] and error["message"] for error in batch["errors"]["data"])


def test_nothing_is_broken_afterwards(owner: Customer, logged_before: dict[str, int]) -> None:
    """After all of this: no function has logged an error, none was denied anything, and the main job still works."""
    lines = [chat_line(number) for number in range(3)]
    assert owner.run(lines)[1].succeeded == 3
    logs = {function: owner.cloud.log(function)[start:] for function, start in logged_before.items()}
    levels = {function: set(re.findall(r'"level": ?"(\w+)"', log)) for function, log in logs.items()}
    assert all("INFO" in levels[function] for function in ("files", "batches", "results", "validate")), levels
    assert not any({"ERROR", "CRITICAL"} & found for found in levels.values()), levels
    assert owner.cloud.denials() == []
