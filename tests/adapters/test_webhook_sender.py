"""What is sent to a webhook, to which address, and what comes of receivers that misbehave."""

from __future__ import annotations

import datetime
import ipaddress
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from batchyard.adapters import receivers as receivers_module
from batchyard.adapters import webhook_sender
from batchyard.adapters.receivers import Receivers, resolve
from batchyard.adapters.webhook_sender import WebhookReply, WebhookSender
from batchyard.core.deliveries import DeliveryProblem

URL = "https://hooks.example.com/in?x=1"
LOCAL = "http://127.0.0.1:9400/in"
BODY = b'{"type":"batch.completed"}'
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
PUBLIC, PRIVATE = "8.8.4.4", "10.0.0.7"

_opened: list[socket.socket] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """The other ends of connections are closed after each test."""
    yield
    while _opened:
        _opened.pop().close()


class Wire:
    """Stands for the network: the other end of each connection that the sender opens, with `reply` waiting in it."""

    def __init__(self, reply: bytes = OK, *, ends: bool = True) -> None:
        self.reply = reply
        self.ends = ends
        self.connected: list[tuple[str, int]] = []
        self.other_ends: list[socket.socket] = []

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        self.connected.append((address, port))
        ours, theirs = socket.socketpair()
        self.other_ends.append(theirs)
        _opened.append(theirs)
        theirs.sendall(self.reply)
        if self.ends:
            theirs.shutdown(socket.SHUT_WR)
        return ours

    def received(self) -> bytes:
        (theirs,) = self.other_ends
        theirs.settimeout(5)
        return b"".join(iter(lambda: theirs.recv(65536), b""))


class Names:
    """A resolver whose answers are `answers`, one after the other; the last one stays."""

    def __init__(self, *answers: Sequence[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def ticking() -> Callable[[], float]:
    """A clock that is a second further each time somebody looks."""
    ticks = itertools.count()
    return lambda: float(next(ticks))


def send_to_this_machine(wire: Wire, clock: Callable[[], float] | None = None) -> WebhookReply:
    receivers = Receivers(Names([]), {("127.0.0.1", 9400)})
    sender = WebhookSender(receivers, clock or (lambda: 0.0), connect=wire.connect)
    return sender.send(LOCAL, {"x-signature": "abc"}, BODY)


# What is sent, and what replies come to.


def test_the_request_is_a_post_with_the_body_as_it_is() -> None:
    """Host, length and the given headers; the connection is not kept."""
    wire = Wire()
    assert send_to_this_machine(wire) == WebhookReply(200, text="ok")
    head, _, body = wire.received().partition(b"\r\n\r\n")
    assert body == BODY
    first, *fields = head.decode().split("\r\n")
    assert first == "POST /in HTTP/1.1"
    assert dict(field.split(": ") for field in fields) == {
        "host": "127.0.0.1:9400",
        "x-signature": "abc",
        "content-length": str(len(BODY)),
        "accept": "*/*",
        "connection": "close",
    }


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226])
def test_any_2xx_is_a_success(status: int) -> None:
    """Whatever else the reply says."""
    reply = send_to_this_machine(Wire(b"HTTP/1.1 %d Fine\r\n\r\n" % status))
    assert (reply.status, reply.problem) == (status, None)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    """One connection, to where the URL leads; the reply counts as a failure."""
    wire = Wire(b"HTTP/1.1 %d Moved\r\nlocation: http://169.254.169.254/\r\n\r\n" % status)
    reply = send_to_this_machine(wire)
    assert (reply.status, reply.problem) == (status, DeliveryProblem.STATUS)
    assert reply.detail == "Redirects are not followed."
    assert wire.connected == [("127.0.0.1", 9400)]


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
def test_other_statuses_are_failures(status: int) -> None:
    """With how the reply began."""
    reply = send_to_this_machine(Wire(b"HTTP/1.1 %d No\r\ncontent-length: 6\r\n\r\nno way" % status))
    assert (reply.status, reply.problem, reply.text) == (status, DeliveryProblem.STATUS, "no way")


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\r\n",
        b"garbage",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000,
        b"\x00\xff" * 500,
        b"\x16\x03\x01",
    ],
)
def test_garbage_is_a_failure(garbage: bytes) -> None:
    """No HTTP, too many headers, a line without an end: nothing is raised, and nothing is taken for a success."""
    reply = send_to_this_machine(Wire(garbage))
    assert reply.status is None
    assert reply.problem in (DeliveryProblem.GARBAGE, DeliveryProblem.CONNECTION)


def test_a_body_without_an_end_is_cut() -> None:
    """Some kilobytes are read, of which the first characters are kept, without control characters."""
    wire = Wire(b"HTTP/1.1 500 No\r\n\r\n<b>\x1b[31m\r\n" + b"a" * 100_000)
    reply = send_to_this_machine(wire)
    assert reply.status == 500
    assert len(reply.text) == 200
    assert reply.text.startswith("<b> [31m  aaa")


def test_a_body_that_breaks_off_changes_nothing() -> None:
    """The status has come: 2xx is a success."""
    reply = send_to_this_machine(Wire(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzz"))
    assert (reply.status, reply.problem) == (200, None)


def test_a_receiver_that_says_nothing_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the request and hangs."""
    monkeypatch.setattr(webhook_sender, "TOTAL_SECONDS", 0.05)
    assert send_to_this_machine(Wire(b"", ends=False)).problem is DeliveryProblem.TIMED_OUT


def test_a_receiver_that_drips_times_out() -> None:
    """Each read is quick, all of them together take too long: what counts is the whole."""
    header = b"x: " + b"a" * 1_500 + b"\r\n"
    wire = Wire(b"HTTP/1.1 200 OK\r\n" + header * 90, ends=False)
    assert send_to_this_machine(wire, ticking()).problem is DeliveryProblem.TIMED_OUT


def test_a_connection_that_is_refused_is_a_failure() -> None:
    """In words, without an address of ours."""

    def refuse(address: str, port: int, seconds: float) -> socket.socket:
        raise ConnectionRefusedError(111, "Connection refused")

    sender = WebhookSender(Receivers(Names([PUBLIC])), lambda: 0.0, connect=refuse)
    reply = sender.send(URL, {}, BODY)
    assert (reply.problem, reply.detail) == (
        DeliveryProblem.CONNECTION,
        "The connection failed (Connection refused).",
    )


# Which address is connected to.


@pytest.mark.parametrize(
    "addresses",
    [[PRIVATE], [PUBLIC, PRIVATE], [PUBLIC, "::ffff:10.0.0.1"], ["169.254.169.254"], ["2606:4700::1", "fd00:ec2::254"]],
)
def test_a_name_that_leads_inside_is_refused(addresses: list[str]) -> None:
    """At creation and at each send, also if only one of its addresses is inside: nobody is connected to."""
    wire = Wire()
    receivers = Receivers(Names(addresses))
    refusal = receivers.check_url(URL)
    assert refusal is not None
    assert "not public" in refusal
    reply = WebhookSender(receivers, lambda: 0.0, connect=wire.connect).send(URL, {}, BODY)
    assert reply.problem is DeliveryProblem.REFUSED
    assert wire.connected == []


def test_dns_that_changes_its_answer_changes_nothing() -> None:
    """Public when the webhook is made, public when the address is checked, private a moment later: the name is asked
    for once per send, and that answer is connected to."""
    wire, names = Wire(), Names([PUBLIC], [PUBLIC], [PRIVATE])
    receivers = Receivers(names)
    assert receivers.check_url(URL) is None
    sender = WebhookSender(receivers, lambda: 0.0, connect=wire.connect, context=_Untouched)
    sender.send(URL, {}, BODY)
    assert wire.connected == [(PUBLIC, 443)]
    assert names.asked == ["hooks.example.com"] * 2
    assert sender.send(URL, {}, BODY).problem is DeliveryProblem.REFUSED
    assert wire.connected == [(PUBLIC, 443)]


def test_an_unknown_name_may_be_set_and_is_not_delivered_to() -> None:
    """It may come into being; until then attempts say so."""
    for fault in (socket.gaierror(-2, "Name or service not known"), TimeoutError(), UnicodeError()):
        receivers = Receivers(Names(fault))
        assert receivers.check_url(URL) is None
        reply = WebhookSender(receivers, lambda: 0.0, connect=Wire().connect).send(URL, {}, BODY)
        assert reply.problem is DeliveryProblem.UNRESOLVED


def test_the_next_address_is_tried_if_one_does_not_answer() -> None:
    """In the order of the answer, three at most."""
    tried: list[str] = []

    def refuse(address: str, port: int, seconds: float) -> socket.socket:
        tried.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    names = Names(["8.8.4.4", "8.8.8.8", "1.1.1.1", "1.0.0.1"])
    WebhookSender(Receivers(names), lambda: 0.0, connect=refuse).send(URL, {}, BODY)
    assert tried == ["8.8.4.4", "8.8.8.8", "1.1.1.1"]


def test_an_address_in_the_url_is_not_looked_up() -> None:
    """It was checked as it stands there."""
    names = Names(RuntimeError("asked"))
    assert Receivers(names).check_url("https://8.8.8.8/") is None
    assert Receivers(names).check_url("https://10.0.0.1/") is not None
    assert names.asked == []


def test_the_system_is_asked_for_addresses_in_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPv4 first, each once; what it raises comes through."""

    def answer(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if name != "two.example":
            raise socket.gaierror(-2, "Name or service not known")
        six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2606:4700::1", 0, 0, 0))
        four = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 0))
        return [six, four, six]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    assert resolve("two.example") == ["8.8.8.8", "2606:4700::1"]
    with pytest.raises(socket.gaierror):
        resolve("none.example")


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own time-out may be minutes."""
    done = threading.Event()
    monkeypatch.setattr(receivers_module, "RESOLVE_SECONDS", 0.02)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [done.wait(60)][:0])
    with pytest.raises(TimeoutError):
        resolve("slow.example")
    done.set()
    for thread in threading.enumerate():
        if thread.name == "resolve":
            thread.join(30)


# TLS.


class _Untouched(ssl.SSLContext):
    """Passes the connection through, so that only its address is looked at."""

    def __new__(cls) -> _Untouched:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def wrap_socket(self, sock: socket.socket, *_: object, **__: object) -> ssl.SSLSocket:  # type: ignore[override]
        return sock  # type: ignore[return-value]


class Site:
    """A certificate for some names, signed by itself, and a receiver that has it."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.asked_for: list[str | None] = []
        self.requests: list[bytes] = []
        self.connected: list[tuple[str, int]] = []
        self._threads: list[threading.Thread] = []
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        alternatives = [
            x509.IPAddress(ipaddress.ip_address(each)) if each[0].isdigit() else x509.DNSName(each) for each in names
        ]
        today = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - datetime.timedelta(days=1))
            .not_valid_after(today + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        file = folder / "site.pem"
        file.write_bytes(
            pem
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.load_cert_chain(file)
        self._server.sni_callback = lambda _, asked, __: self.asked_for.append(asked)
        self.trusting = ssl.create_default_context(cadata=pem.decode())

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        self.connected.append((address, port))
        ours, theirs = socket.socketpair()
        thread = threading.Thread(target=self._serve, args=[theirs], daemon=True)
        self._threads.append(thread)
        thread.start()
        return ours

    def _serve(self, theirs: socket.socket) -> None:
        theirs.settimeout(30)
        try:
            with self._server.wrap_socket(theirs, server_side=True) as connection:
                data = b""
                while not data.endswith(BODY):
                    data += connection.recv(65536)
                self.requests.append(data)
                connection.sendall(OK)
        except OSError:
            pass
        finally:
            theirs.close()

    def close(self) -> None:
        for thread in self._threads:
            thread.join(30)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, ["hooks.example.com", "8.8.8.8"])
    yield made
    made.close()


def over_tls(site: Site, url: str, context: ssl.SSLContext | None = None) -> WebhookReply:
    sender = WebhookSender(
        Receivers(Names([PUBLIC])), lambda: 0.0, connect=site.connect, context=lambda: context or site.trusting
    )
    return sender.send(url, {}, BODY)


def test_tls_asks_for_the_name_at_the_address_that_was_checked(site: Site) -> None:
    """SNI and Host are the URL's, the connection goes to the number."""
    assert over_tls(site, URL) == WebhookReply(200, text="ok")
    site.close()
    assert site.connected == [(PUBLIC, 443)]
    assert site.asked_for == ["hooks.example.com"]
    assert b"\r\nhost: hooks.example.com\r\n" in site.requests[0]


def test_a_certificate_for_another_name_is_refused(site: Site) -> None:
    """Nothing was sent to it."""
    reply = over_tls(site, "https://other.example.com:8443/")
    assert (reply.status, reply.problem) == (None, DeliveryProblem.TLS)
    assert "certificate" in reply.detail
    site.close()
    assert site.connected == [(PUBLIC, 8443)]
    assert site.requests == []


def test_a_certificate_that_nobody_vouches_for_is_refused(site: Site) -> None:
    """With the authorities that the system trusts, a self-signed one is none."""
    assert over_tls(site, URL, ssl.create_default_context()).problem is DeliveryProblem.TLS


def test_an_address_has_to_be_in_the_certificate(site: Site) -> None:
    """A URL with a public address instead of a name."""
    assert over_tls(site, "https://8.8.8.8/").status == 200
    assert over_tls(site, "https://8.8.4.4/").problem is DeliveryProblem.TLS


def test_a_receiver_without_tls_is_a_failure() -> None:
    """Plain HTTP on an HTTPS port."""
    sender = WebhookSender(Receivers(Names([PUBLIC])), lambda: 0.0, connect=Wire().connect)
    assert sender.send(URL, {}, BODY).problem in (DeliveryProblem.TLS, DeliveryProblem.CONNECTION)


def test_the_systems_authorities_are_asked_by_default() -> None:
    """Certificates are required and have to be for the host."""
    context = webhook_sender._verifying()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
