"""HTTP calls about provider jobs: few, synchronous, of any size. Whatever goes wrong becomes one of the errors of
`provider_jobs`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import IO, Any

import httpx
import orjson

from batchyard.adapters.providers.provider_jobs import JobMissing, JobRefused, VendorTrouble
from batchyard.core import exact_json
from batchyard.core.json_types import JsonObject
from batchyard.core.refusals import ErrorDetails, says_no_jobs
from batchyard.core.retry import FailureReason, failure_of, read_retry_advice

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 120.0
_ABSENT = frozenset({404, 405, 410, 501})
"""What a vendor says of what it does not know, if it says so in JSON: a page for people comes from something in front
of it."""
_MAY_HAVE_HAPPENED = frozenset({FailureReason.SERVER_ERROR, FailureReason.OVERLOADED, FailureReason.TIMEOUT})
_ERROR_BYTES = 65_536
_CHUNK_BYTES = 65_536
_LONGEST_LINE_BYTES = 32_000_000
"""Twice the longest answer in realtime."""
_LACKS_SCOPE = "You have insufficient permissions for this operation"
"""OpenAI, with the status 401: a restricted key that may call models need not be one that may upload files."""
_NO_REASONS: Mapping[str, FailureReason] = {}


class VendorHttp:
    """`base_url` as providers.toml has it, without the endpoint's path. `auth`: signs requests, for a vendor without
    keys. `reasons`: what AWS's kinds of errors mean whose status says something else."""

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        transport: httpx.BaseTransport | None = None,
        *,
        auth: httpx.Auth | None = None,
        reasons: Mapping[str, FailureReason] = _NO_REASONS,
    ) -> None:
        self._reasons = reasons
        self._secrets = tuple(headers)
        self._host = httpx.URL(base_url).host
        self._client = httpx.Client(
            auth=auth,
            base_url=base_url,
            headers={"user-agent": "batchyard", **headers},
            timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            transport=transport,
            follow_redirects=True,
            event_hooks={"request": [self._keep_key_at_home]},
        )

    def get(self, path: str, **query: str | int) -> JsonObject:
        return _object(self._send("GET", path, params=query))

    def get_any(self, path: str, **query: str | int) -> Any:
        """As `get`, if the answer may be a bare list."""
        return _parsed(self._send("GET", path, params=query))

    def post(self, path: str, body: JsonObject | None = None) -> JsonObject:
        headers = {"content-type": "application/json"}
        return _object(self._send("POST", path, content=orjson.dumps(body or {}), headers=headers))

    def ask(self, path: str) -> None:
        """POST what asks for a change. No error if the vendor says that it is too late for that."""
        try:
            self.post(path)
        except JobRefused:
            return
        except VendorTrouble as trouble:
            if trouble.reason is not FailureReason.CONFLICT:
                raise

    def post_stream(self, path: str, body: IO[bytes], size: int) -> JsonObject:
        """POST `size` bytes of JSON."""
        headers = {"content-type": "application/json", "content-length": str(size)}
        return _object(self._send("POST", path, content=iter(lambda: body.read(_CHUNK_BYTES), b""), headers=headers))

    def post_file(self, path: str, fields: Mapping[str, str], name: str, file: IO[bytes]) -> JsonObject:
        """POST a multipart form with the file in its field `file`."""
        return _object(self._send("POST", path, data=dict(fields), files={"file": (name, file, "application/jsonl")}))

    def post_resumable(self, path: str, about: JsonObject, file: IO[bytes], size: int) -> JsonObject:
        """Upload a file as Google wants it: a first call says what comes, and its answer where to. Uploads have the
        paths of everything else behind `/upload`."""
        root, _, version = str(self._client.base_url).rstrip("/").rpartition("/")
        headers = {
            "content-type": "application/json",
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": str(size),
            "x-goog-upload-header-content-type": "application/jsonl",
        }
        url = f"{root}/upload/{version}{path}"
        begun = self._send("POST", url, content=orjson.dumps(about), headers=headers)
        place = begun.headers.get("x-goog-upload-url")
        if not place:
            raise VendorTrouble(FailureReason.INVALID_RESPONSE, is_unknown=False)
        headers = {
            "content-length": str(size),
            "x-goog-upload-offset": "0",
            "x-goog-upload-command": "upload, finalize",
        }
        content = iter(lambda: file.read(_CHUNK_BYTES), b"")
        return _object(self._send("POST", place, content=content, headers=headers))

    def delete(self, path: str) -> None:
        """No error if it is gone already."""
        try:
            self._send("DELETE", path)
        except JobMissing:
            return

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of a file, as they come, without those that are longer than any answer may be, or hold more."""
        try:
            with self._client.stream("GET", path) as response:
                if not response.is_success:
                    response.read()
                    raise _error(response, self._reasons)
                yield from _lines(response.iter_bytes(1_048_576))
        except httpx.HTTPError as error:
            raise _fault(error) from error

    def close(self) -> None:
        self._client.close()

    def _keep_key_at_home(self, request: httpx.Request) -> None:
        """Results may be somewhere else, and no key goes there: httpx itself holds back `authorization` only."""
        if request.url.host != self._host:
            for name in self._secrets:
                request.headers.pop(name, None)

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            raise _fault(error) from error
        if not response.is_success:
            raise _error(response, self._reasons)
        return response


def listed(page: Any, name: str) -> list[JsonObject]:
    """The objects that a page of a list has: those of its member `name`, or the page is that list itself. Raises
    VendorTrouble if it is something else."""
    found = page.get(name) or [] if isinstance(page, dict) else page
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise VendorTrouble(FailureReason.INVALID_RESPONSE, is_unknown=True)
    return found


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest, is_too_long = b"", False
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        if whole and is_too_long:
            whole[0], is_too_long = b"", False
        yield from (line for line in whole if line.strip() and not exact_json.has_too_many_parts(line))
        if len(rest) > _LONGEST_LINE_BYTES:
            rest, is_too_long = b"", True
    if rest.strip() and not is_too_long and not exact_json.has_too_many_parts(rest):
        yield rest


def _fault(error: httpx.HTTPError) -> VendorTrouble:
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)):
        return VendorTrouble(FailureReason.CONNECTION, is_unknown=False)
    is_timeout = isinstance(error, httpx.TimeoutException)
    return VendorTrouble(FailureReason.TIMEOUT if is_timeout else FailureReason.CONNECTION, is_unknown=True)


def _error(response: httpx.Response, reasons: Mapping[str, FailureReason]) -> JobMissing | JobRefused | VendorTrouble:
    try:
        document = exact_json.loads_anything(response.content[:_ERROR_BYTES])
    except ValueError:
        document = None
    is_object = isinstance(document, dict)
    if response.status_code in _ABSENT and is_object:
        return JobMissing(f"{response.status_code}")
    headers = {name.lower(): value for name, value in response.headers.items()}
    advice = read_retry_advice(headers, time.time())
    details = ErrorDetails.of(document)
    kind = headers.get("x-amzn-errortype", "").partition(":")[0]
    failure = failure_of(response.status_code, advice, details, is_object=is_object)
    reason = reasons.get(kind) or failure or FailureReason.INVALID_RESPONSE
    if reason in (FailureReason.REJECTED, FailureReason.TOO_LARGE):
        code = details.code or details.type or kind or f"status_{response.status_code}"
        return JobRefused(code, refuses_lane=says_no_jobs(details))
    is_about_scope = response.status_code == 403 or details.message.startswith(_LACKS_SCOPE)
    return VendorTrouble(
        reason,
        retry_after_seconds=advice.retry_after_seconds,
        is_unknown=reason in _MAY_HAVE_HAPPENED,
        is_forbidden=reason is FailureReason.KEY_REFUSED and is_about_scope and not kind,
    )


def _parsed(response: httpx.Response) -> Any:
    try:
        return exact_json.loads_anything(response.content)
    except ValueError as error:
        raise VendorTrouble(FailureReason.INVALID_RESPONSE, is_unknown=True) from error


def _object(response: httpx.Response) -> JsonObject:
    document = _parsed(response)
    if not isinstance(document, dict):
        raise VendorTrouble(FailureReason.INVALID_RESPONSE, is_unknown=True)
    return document
