"""The local cloud's HTTP server against clients that break the rules: each gets a 4xx or nothing, none harms it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from local.http_server import HttpLimits, HttpServer, Request, Response


@pytest.fixture(autouse=True)
def aws() -> None:
    """These tests need no AWS in the process."""


class Echo:
    """Remembers its requests; answers with method, target and body."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        if request.path == "/crash":
            raise RuntimeError("as asked")
        if request.path == "/cut":
            return Response(200, cut=True)
        return Response(200, [("X-Echo", "1")], f"{request.method} {request.target} ".encode() + request.body)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def server(echo: Echo) -> Iterator[HttpServer]:
    limits = HttpLimits(header_bytes=2_000, body_bytes=10_000, idle_seconds=5, stall_seconds=2)
    running = HttpServer(echo, limits=limits)
    yield running
    running.close()


def exchange(server: HttpServer, *pieces: bytes, end: bool = False) -> bytes:
    """Sends the pieces, and reads until the server closes; `end` closes the sending side first."""
    with socket.create_connection((server.host, server.port), timeout=120) as client:
        for piece in pieces:
            client.sendall(piece)
        if end:
            client.shutdown(socket.SHUT_WR)
        received = b""
        while data := client.recv(65_536):
            received += data
        return received


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


CLOSE = b"Connection: close\r\n\r\n"


def test_a_connection_is_kept_alive(server: HttpServer, echo: Echo) -> None:
    """Three requests on one connection, two of them sent at once."""
    one = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = exchange(server, one + one, b"POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n" + CLOSE + b"abc")
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert [request.target for request in echo.requests] == ["/1", "/1", "/2"]
    assert echo.requests[2].body == b"abc"


def test_chunked_bodies_are_put_together(server: HttpServer, echo: Echo) -> None:
    """However the chunks are cut."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + CLOSE
    exchange(server, head, b"3\r\nab", b"c\r\n2\r\nde\r\n0\r", b"\n\r\n")
    assert echo.requests[0].body == b"abcde"


def test_a_client_that_asks_first_may_go_on(server: HttpServer, echo: Echo) -> None:
    """Expect: 100-continue is answered before the body is sent."""
    with socket.create_connection((server.host, server.port), timeout=120) as client:
        client.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n" + CLOSE)
        assert client.recv(1000).startswith(b"HTTP/1.1 100 Continue")
        client.sendall(b"ok")
        assert b"PUT / ok" in client.recv(1000)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50, 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 3_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 3_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\n" + b"x" * 0x4000 + b"\r\n0\r\n\r\n", 413),
    ],
)
def test_what_is_not_http_is_refused(server: HttpServer, echo: Echo, sent: bytes, expected: int) -> None:
    """With a 4xx, without reaching the handler, and the server goes on."""
    assert status(exchange(server, sent, end=True)) == expected
    assert echo.requests == []
    assert status(exchange(server, b"GET / HTTP/1.1\r\nHost: x\r\n" + CLOSE)) == 200


def test_a_request_that_is_cut_short_is_refused(server: HttpServer, echo: Echo) -> None:
    """The client promises ten bytes, sends three and stops sending: 400."""
    sent = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"
    assert status(exchange(server, sent, end=True)) == 400
    assert echo.requests == []


def test_a_request_that_stalls_is_given_up(server: HttpServer, echo: Echo) -> None:
    """The client promises ten bytes, sends three and waits: 408."""
    assert status(exchange(server, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")) == 408
    assert echo.requests == []


def test_a_client_that_goes_away_harms_nobody(server: HttpServer) -> None:
    """Fifty clients reset their connections at every stage; the server answers the next one."""
    for sent in (b"", b"GET", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab"):
        for _ in range(12):
            client = socket.create_connection((server.host, server.port), timeout=120)
            client.sendall(sent)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            client.close()
    assert status(exchange(server, b"GET / HTTP/1.1\r\nHost: x\r\n" + CLOSE)) == 200


def test_a_large_refused_body_still_gets_its_answer(server: HttpServer) -> None:
    """The sender of 30 MB reads the 413 although the server stopped listening after 10 KB."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n\r\n"
    assert status(exchange(server, head, b"x" * 30_000_000, end=True)) == 413


def test_a_handler_that_raises_is_a_500(server: HttpServer) -> None:
    """And the connection can go on."""
    crash = b"GET /crash HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = exchange(server, crash, b"GET / HTTP/1.1\r\nHost: x\r\n" + CLOSE)
    assert b"HTTP/1.1 500" in answer
    assert b"HTTP/1.1 200" in answer
    assert b"Traceback" not in answer


def test_a_cut_answer_is_a_closed_connection(server: HttpServer) -> None:
    """What a broken network looks like to a client."""
    assert exchange(server, b"GET /cut HTTP/1.1\r\nHost: x\r\n\r\n") == b""


def test_answers_without_a_body(server: HttpServer) -> None:
    """HEAD gets the length and no body."""
    answer = exchange(server, b"HEAD /abc HTTP/1.1\r\nHost: x\r\n" + CLOSE)
    assert b"Content-Length: 10" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_many_clients_at_once(server: HttpServer, echo: Echo) -> None:
    """Twenty connections with twenty requests each: every answer goes to its own request."""
    wrong: list[bytes] = []

    def run(number: int) -> None:
        for turn in range(20):
            request = f"GET /{number}/{turn} HTTP/1.1\r\nHost: x\r\n".encode() + CLOSE
            answer = exchange(server, request)
            if not answer.endswith(f"GET /{number}/{turn} ".encode()):
                wrong.append(answer)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(echo.requests) == 400
