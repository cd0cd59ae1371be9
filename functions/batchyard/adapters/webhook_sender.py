"""Sends one webhook request: a POST over a connection to an address that was checked, and to no other.

The socket is opened here, to the address; TLS then asks for and verifies the certificate of the URL's host. No proxy,
no redirect, no connection kept. Everything has to be over within `TOTAL_SECONDS`, however slowly the receiver drips.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from batchyard.adapters.receivers import Reachable, Receivers
from batchyard.core.deliveries import DeliveryProblem

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0
MOST_REPLY_BYTES = 4096
_SHOWN_CHARACTERS = 200

Connect = Callable[[str, int, float], socket.socket]
"""Address, port and seconds -> a connected socket. Raises OSError."""


@dataclass(frozen=True, slots=True)
class WebhookReply:
    """What a request came to. `status`: of the HTTP reply, if there was one. `problem`: None if the status is 2xx."""

    status: int | None = None
    problem: DeliveryProblem | None = None
    detail: str = ""
    text: str = ""
    """How the reply's body begins."""


class WebhookSender:
    """`clock`: seconds of any origin."""

    def __init__(
        self,
        receivers: Receivers,
        clock: Callable[[], float],
        *,
        connect: Connect | None = None,
        context: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._receivers = receivers
        self._clock = clock
        self._connect = connect or _connect
        self._context = context or _verifying

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> WebhookReply:
        """One request. Never raises for what a receiver or its name does."""
        reachable = self._receivers.find(url)
        if not isinstance(reachable, Reachable):
            return WebhookReply(problem=reachable.problem, detail=reachable.message)
        deadline = self._clock() + TOTAL_SECONDS
        try:
            with self._opened(reachable, deadline) as connection:
                return self._exchange(connection, reachable, headers, body, deadline)
        except TimeoutError:
            return WebhookReply(problem=DeliveryProblem.TIMED_OUT, detail="The receiver did not answer in time.")
        except ssl.SSLError as error:
            return WebhookReply(problem=DeliveryProblem.TLS, detail=_tls_fault(error))
        except http.client.HTTPException as error:
            fault = type(error).__name__
            return WebhookReply(problem=DeliveryProblem.GARBAGE, detail=f"The reply is no HTTP ({fault}).")
        except (OSError, ValueError) as error:
            fault = getattr(error, "strerror", None) or type(error).__name__
            return WebhookReply(problem=DeliveryProblem.CONNECTION, detail=f"The connection failed ({fault}).")

    def _opened(self, reachable: Reachable, deadline: float) -> socket.socket:
        """A connection to the first of the addresses that takes one, encrypted unless it stays on this machine."""
        receiver = reachable.receiver
        raw = self._first(reachable, deadline)
        if receiver.is_local:
            return raw
        try:
            raw.settimeout(self._left(deadline))
            return self._context().wrap_socket(raw, server_hostname=receiver.host)
        except BaseException:
            raw.close()
            raise

    def _first(self, reachable: Reachable, deadline: float) -> socket.socket:
        connect_by = min(deadline, self._clock() + CONNECT_SECONDS)
        fault: OSError = TimeoutError("no address was tried")
        for address in reachable.addresses:
            try:
                return self._connect(address, reachable.receiver.port, self._left(connect_by))
            except OSError as error:
                fault = error
        raise fault

    def _exchange(
        self,
        connection: socket.socket,
        reachable: Reachable,
        headers: Mapping[str, str],
        body: bytes,
        deadline: float,
    ) -> WebhookReply:
        receiver = reachable.receiver
        connection.settimeout(self._left(deadline))
        connection.sendall(_request(receiver.target, {"host": receiver.authority, **headers}, body))
        stream = io.BufferedReader(_Incoming(connection, lambda: self._left(deadline)))
        reply = http.client.HTTPResponse(_Source(stream), method="POST")  # type: ignore[arg-type]  # as far as it is used
        try:
            reply.begin()
            text = self._beginning(reply)
        finally:
            reply.close()
            stream.close()
        if 200 <= reply.status < 300:
            return WebhookReply(reply.status, text=text)
        detail = "Redirects are not followed." if 300 <= reply.status < 400 else f"The receiver said {reply.status}."
        return WebhookReply(reply.status, DeliveryProblem.STATUS, detail, text)

    def _beginning(self, reply: http.client.HTTPResponse) -> str:
        """The first characters of the body, for people. The status has come already, so a body that breaks off or never
        ends changes nothing."""
        try:
            data = reply.read1(MOST_REPLY_BYTES)
        except (OSError, ValueError, http.client.HTTPException):
            return ""
        text = data.decode("utf-8", "replace")[:_SHOWN_CHARACTERS]
        return "".join(character if character.isprintable() else " " for character in text)

    def _left(self, deadline: float) -> float:
        left = deadline - self._clock()
        if left <= 0:
            raise TimeoutError("out of time")
        return left


class _Incoming(io.RawIOBase):
    """What comes over a connection; each read may take as long as is left."""

    def __init__(self, connection: socket.socket, left: Callable[[], float]) -> None:
        self._connection = connection
        self._left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        self._connection.settimeout(self._left())
        return self._connection.recv_into(buffer)


class _Source:
    """What `HTTPResponse` wants of a socket."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream

    def makefile(self, mode: str) -> io.BufferedReader:
        return self._stream


def _request(target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Header values are ours but for the host, which is checked (`core.webhook_urls`)."""
    fields = {**headers, "content-length": str(len(body)), "accept": "*/*", "connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {target} HTTP/1.1\r\n{head}\r\n".encode("ascii") + body


def _connect(address: str, port: int, seconds: float) -> socket.socket:
    """To exactly this address: it is in numbers, so that nothing is looked up."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect((address, port))
    except BaseException:
        connection.close()
        raise
    return connection


@cache
def _verifying() -> ssl.SSLContext:
    return ssl.create_default_context()


def _tls_fault(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The certificate is not good for this host ({error.verify_message})."
    return f"TLS failed ({error.reason or type(error).__name__})."
