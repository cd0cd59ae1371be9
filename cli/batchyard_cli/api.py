"""The deployment's API as commands use it: requests that are sent again if that may help, refusals as CommandFailed."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from batchyard_cli import __version__
from batchyard_cli.credentials import Credentials
from batchyard_cli.exits import CommandFailed, Exit
from batchyard_cli.surroundings import Surroundings

_TRIES = 5
_MAY_PASS = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_WAIT_SECONDS = 30.0
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_WAYS_OUT = {
    402: "The account has too little credit: ask the operator to top it up (`batchyard credits top-up`).",
    404: "`batchyard ls` lists your batches; files expire, by default after 30 days.",
    409: "Look at it with `batchyard show`; it has changed meanwhile.",
    413: "`batchyard split` cuts a file into several that fit.",
    429: "Wait a minute, and call the command again.",
}


class Unreachable(CommandFailed):
    """No answer came, or only 5xx, however often it was asked."""


class Refused(CommandFailed):
    """The API's own words. `status`: HTTP's."""

    def __init__(self, message: str, way_out: str, *, code: str, exit: Exit, status: int) -> None:
        super().__init__(message, way_out, code=code, exit=exit)
        self.status = status


class Api:
    """Raises CommandFailed if a request is refused."""

    def __init__(self, credentials: Credentials, surroundings: Surroundings) -> None:
        self.address = credentials.address
        self.account_hint = credentials.api_key[-4:]
        self._sleep = surroundings.sleep
        self._client = httpx.Client(
            base_url=f"{credentials.address}/v1",
            headers={"Authorization": f"Bearer {credentials.api_key}", "User-Agent": f"batchyard-cli/{__version__}"},
            timeout=_TIMEOUT,
            transport=surroundings.transport,
            follow_redirects=True,
        )

    def close(self) -> None:
        self._client.close()

    def beside(self, path: str) -> str:
        """What stands for a path of the API that is not below /v1."""
        return f"{self.address}{path}"

    def get(self, path: str, **query: Any) -> Any:
        given = {name: value for name, value in query.items() if value is not None}
        return self._send("GET", path, params=given).json()

    def post(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        named = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._send("POST", path, json=body or {}, headers={**named, **(headers or {})}).json()

    def send_file(self, path: str, name: str, data: bytes, *, member: str, **fields: str) -> Any:
        """POST of a form with one file in it."""
        form = {member: (name, data, "application/octet-stream")}
        return self._send("POST", path, data=fields, files=form).json()

    def download(self, path: str, target: Path) -> int:
        """Streams the content to `target`, which is there only when it is whole. How many bytes it has."""
        beside = target.with_name(f"{target.name}.part")
        written = 0
        with beside.open("wb") as stream:
            for data in self.stream(path):
                stream.write(data)
                written += len(data)
        beside.replace(target)
        return written

    def stream(self, path: str, *, headers: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """The content in chunks. What takes the API so long that it gives up is asked for again: it goes on meanwhile,
        and has it ready."""
        return self._stream(self._client.build_request("GET", path, headers=headers))

    def stream_elsewhere(self, url: str) -> Iterator[bytes]:
        """What stands at an address that the API has named, which gets no key."""
        request = self._client.build_request("GET", url)
        del request.headers["Authorization"]
        return self._stream(request)

    def _stream(self, request: httpx.Request) -> Iterator[bytes]:
        try:
            for number in range(_TRIES):
                with contextlib.closing(self._client.send(request, stream=True)) as reply:
                    if reply.status_code in _MAY_PASS and number < _TRIES - 1:
                        self._sleep(_wait(number, reply.headers.get("retry-after")))
                        continue
                    if reply.is_error:
                        reply.read()
                        raise _refusal(reply)
                    yield from reply.iter_bytes()
                    return
        except httpx.HTTPError as error:
            raise _unreachable(self.address, error) from error

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Sends it again if the reply was lost or may be another one next time. Each repeat says that it is one, so
        that the API does not make the same thing twice."""
        headers = content.pop("headers", {})
        for number in range(_TRIES):
            is_last = number == _TRIES - 1
            repeat = {"x-stainless-retry-count": str(number)} if number else {}
            try:
                reply = self._client.request(method, path, headers={**headers, **repeat}, **content)
            except httpx.TransportError as error:
                if is_last:
                    raise _unreachable(self.address, error) from error
                self._sleep(_wait(number))
                continue
            if reply.status_code not in _MAY_PASS or is_last:
                break
            self._sleep(_wait(number, reply.headers.get("retry-after")))
        if reply.is_error:
            raise _refusal(reply)
        return reply


def _wait(number: int, asked: str | None = None) -> float:
    if asked and asked.isdigit():
        return min(float(asked), _LONGEST_WAIT_SECONDS)
    return min(0.5 * 2.0**number, _LONGEST_WAIT_SECONDS) * random.uniform(0.5, 1)  # noqa: S311  # no secret


def _refusal(reply: httpx.Response) -> CommandFailed:
    error = _error(reply)
    message = error.get("message") or f"The API answered {reply.status_code}."
    status, code = reply.status_code, error.get("code") or f"http_{reply.status_code}"
    if status in (401, 403):
        way_out = "Run `batchyard login` with a key that works, or set BATCHYARD_API_KEY; the operator makes keys."
        return Refused(message, way_out, code=code, exit=Exit.NOT_SIGNED_IN, status=status)
    if status >= 500:
        return Unreachable(message, "Try again in a minute; if it stays so, tell the operator.", code=code)
    way_out = _WAYS_OUT.get(status, "Change what the message names, and call the command again.")
    return Refused(message, way_out, code=code, exit=Exit.FAILED, status=status)


def _error(reply: httpx.Response) -> dict[str, Any]:
    """What is in the envelope {"error": {…}}; empty if something else answered."""
    try:
        error = reply.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {"message": str(error)}


def _unreachable(address: str, error: Exception) -> Unreachable:
    return Unreachable(
        f"{address} cannot be reached ({type(error).__name__}).",
        "Check the network, and the address (`batchyard login` stores it); then call the command again.",
        code="unreachable",
    )
