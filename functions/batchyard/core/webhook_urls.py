"""The URL of a webhook: what it may look like. Where its host's name leads, `adapters.receivers` looks up.

Strict on purpose: whatever two programs could read in two ways is refused. HTTPS only, but for the `LocalHosts` that
the local cloud allows, which are on this machine and take plain HTTP.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass

from batchyard.core.addresses import refusal_of

PORTS = (443, 8443)
MOST_CHARACTERS = 2048
_FORM = re.compile(r"(?P<scheme>[a-zA-Z]+)://(?P<authority>[^/?#\\]*)(?P<path>[^?#\\]*)(?P<query>\?[^#\\]*)?")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]@%]*)(?::(?P<port>[0-9]{1,5}))?")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A host whose last label looks so is an IPv4 address to some programs. https://url.spec.whatwg.org/#ends-in-a-number-checker"""
_INTERNAL = frozenset({"localhost", "local", "internal", "intranet", "lan", "home", "corp", "private", "arpa", "onion"})
"""Last labels of names that lead to no public host."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where a webhook's events go. `target`: path and query. `is_address`: its host is an IP address, not a name.
    `is_local`: it is a receiver on this machine, allowed by name, and takes plain HTTP."""

    host: str
    port: int
    target: str
    is_address: bool = False
    is_local: bool = False

    @property
    def authority(self) -> str:
        """As the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[0] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UrlProblem:
    """Why a URL is refused, for the person who wrote it."""

    message: str


LocalHosts = Collection[tuple[str, int]]
"""Address and port of receivers on this machine."""


def local_hosts(text: str) -> frozenset[tuple[str, int]]:
    """`127.0.0.1:9400,[::1]:9400`. Raises ValueError if one is not a loopback address with a port."""
    found = set()
    for each in filter(None, (part.strip() for part in text.split(","))):
        host, colon, port = each.rpartition(":")
        address = ipaddress.ip_address(host.strip("[]"))
        if not colon or not address.is_loopback:
            raise ValueError(f"{each} is no loopback address with a port")
        found.add((str(address), int(port)))
    return frozenset(found)


def read_url(url: str, allowed: LocalHosts = ()) -> Receiver | UrlProblem:
    """Where `url` leads, or what is wrong with it. Looks nothing up."""
    if len(url) > MOST_CHARACTERS:
        return UrlProblem(f"The URL has {len(url)} characters; {MOST_CHARACTERS} are allowed.")
    if not _VISIBLE.fullmatch(url):
        return UrlProblem("The URL may have visible ASCII characters only: write names as xn--…, the rest as %XX.")
    form = _FORM.fullmatch(url)
    if form is None:
        return UrlProblem("The URL must look like https://host/path, without a fragment and without backslashes.")
    if "@" in form["authority"]:
        return UrlProblem("The URL must not hold a user name or a password.")
    authority = _AUTHORITY.fullmatch(form["authority"])
    if authority is None or not authority["host"]:
        return UrlProblem("The URL's host cannot be read.")
    target = (form["path"] or "/") + (form["query"] or "")
    scheme = form["scheme"].lower()
    return _receiver(scheme, authority["host"].lower(), authority["port"], target, allowed)


def host_of(url: str) -> str:
    """Host and port of a URL, by which receivers are told apart."""
    form = _FORM.fullmatch(url)
    return form["authority"].lower() if form else url


def _receiver(scheme: str, host: str, port: str | None, target: str, allowed: LocalHosts) -> Receiver | UrlProblem:
    number = int(port) if port else (PORTS[0] if scheme == "https" else 80)
    if scheme == "http" and (host.strip("[]"), number) in allowed:
        return Receiver(host.strip("[]"), number, target, is_address=True, is_local=True)
    if scheme != "https":
        return UrlProblem("Webhooks are delivered over HTTPS only.")
    if number not in PORTS:
        return UrlProblem(f"Webhooks are delivered to the ports {PORTS[0]} and {PORTS[1]} only.")
    if host.startswith("["):
        return _of_address(host[1:-1], number, target)
    name = host.removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _of_address(name, number, target)
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return UrlProblem("The URL's host is no name of a public host.")
    if len(labels) < 2 or labels[-1] in _INTERNAL:
        return UrlProblem(f"'{name[:64]}' is no name of a public host.")
    return Receiver(name, number, target)


def _of_address(text: str, port: int, target: str) -> Receiver | UrlProblem:
    """An IP address in its usual notation. Octal, hexadecimal and shortened ones are refused."""
    try:
        address = str(ipaddress.ip_address(text))
    except ValueError:
        return UrlProblem("The URL's host looks like an address, and is none: write four decimal numbers, or a name.")
    refusal = refusal_of(address)
    if refusal is not None:
        return UrlProblem(f"Nothing is delivered to {address}: {refusal}.")
    return Receiver(address, port, target, is_address=True)
