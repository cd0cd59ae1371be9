"""Receivers of webhooks: the addresses that a URL leads to, and whether anything may be delivered there.

A name is refused if one of its addresses is, so that a name which leads inside now and then is never used. Whoever
connects uses the addresses found here and looks nothing up again: DNS that changes its answer changes nothing.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from batchyard.core.addresses import refusal_of
from batchyard.core.deliveries import DeliveryProblem
from batchyard.core.webhook_urls import LocalHosts, Receiver, UrlProblem, read_url

RESOLVE_SECONDS = 5.0
"""The system's resolver may take minutes for a name whose servers do not answer."""
_MOST_ADDRESSES = 3

Resolve = Callable[[str], Sequence[str]]
"""The addresses of a name. Raises OSError if there are none, TimeoutError if nobody answers in time."""


@dataclass(frozen=True, slots=True)
class Reachable:
    """`addresses`: checked ones, to be tried in this order."""

    receiver: Receiver
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unreachable:
    problem: DeliveryProblem
    message: str


class Receivers:
    """`local_hosts`: receivers on this machine that are allowed all the same; empty on AWS."""

    def __init__(self, resolve: Resolve, local_hosts: LocalHosts = ()) -> None:
        self._resolve = resolve
        self._local_hosts = local_hosts

    def check_url(self, url: str) -> str | None:
        """What is wrong with the URL of a webhook; None if it may be used. A name that nobody knows may be used: it may
        come into being, and its addresses are looked at again before each delivery."""
        found = self.find(url)
        if isinstance(found, Reachable) or found.problem is not DeliveryProblem.REFUSED:
            return None
        return found.message

    def find(self, url: str) -> Reachable | Unreachable:
        """Where `url` leads at this moment."""
        receiver = read_url(url, self._local_hosts)
        if isinstance(receiver, UrlProblem):
            return Unreachable(DeliveryProblem.REFUSED, receiver.message)
        if receiver.is_address:
            return Reachable(receiver, (receiver.host,))
        try:
            addresses = self._resolve(receiver.host)
        except TimeoutError:
            return Unreachable(DeliveryProblem.UNRESOLVED, f"Nobody answers for the name {receiver.host}.")
        except (OSError, UnicodeError):
            return Unreachable(DeliveryProblem.UNRESOLVED, f"There is no host called {receiver.host}.")
        for address in addresses:
            refusal = refusal_of(address)
            if refusal is not None:
                message = f"Nothing is delivered to {receiver.host}: one of its addresses is not public ({refusal})."
                return Unreachable(DeliveryProblem.REFUSED, message)
        if not addresses:
            return Unreachable(DeliveryProblem.UNRESOLVED, f"There is no host called {receiver.host}.")
        return Reachable(receiver, tuple(addresses[:_MOST_ADDRESSES]))


def resolve(name: str) -> list[str]:
    """The addresses of `name` as the system knows them, IPv4 first: functions outside of a VPC have no IPv6."""
    found: list[str] = []
    faults: list[Exception] = []

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        except (OSError, UnicodeError) as fault:
            faults.append(fault)
            return
        entries.sort(key=lambda entry: entry[0] is not socket.AF_INET)
        found.extend(dict.fromkeys(str(entry[4][0]) for entry in entries))

    thread = threading.Thread(target=look_up, name="resolve", daemon=True)
    thread.start()
    thread.join(RESOLVE_SECONDS)
    if thread.is_alive():
        raise TimeoutError(f"nobody answers for {name}")
    if faults:
        raise faults[0]
    return found
