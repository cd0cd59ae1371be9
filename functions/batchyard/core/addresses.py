"""Which addresses a webhook may be delivered to: those of the public internet, and no others.

IPv4: everything but the ranges below. IPv6: only global unicast (2000::/3) but for the ranges below; so every form that
carries an IPv4 address inside (mapped, compatible, NAT64, 6to4, Teredo, ISATAP) is refused, whatever it carries.
https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry
"""

from __future__ import annotations

import ipaddress

_REFUSED_IPV4 = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "carrier-grade NAT",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "a cloud's own services",
    "169.254.0.0/16": "link-local, and where clouds keep their metadata",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved",
    "192.0.2.0/24": "documentation",
    "192.88.99.0/24": "a 6to4 relay",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
}
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_IPV6 = {
    "2001::/23": "a protocol's own, such as Teredo's",
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4",
    "3fff::/20": "documentation",
}
_IPV4_RANGES = [(ipaddress.IPv4Network(each), why) for each, why in _REFUSED_IPV4.items()]
_IPV6_RANGES = [(ipaddress.IPv6Network(each), why) for each, why in _REFUSED_IPV6.items()]
_ISATAP = (0x00005EFE, 0x02005EFE)


def refusal_of(address: str) -> str | None:
    """Why nothing is delivered to `address`, an IP address as text; None if it is public."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "no address"
    if isinstance(parsed, ipaddress.IPv4Address):
        return next((why for network, why in _IPV4_RANGES if parsed in network), None)
    if parsed.scope_id is not None or parsed not in _GLOBAL_IPV6:
        return "not public"
    if int(parsed) >> 32 & 0xFFFFFFFF in _ISATAP:
        return "an IPv4 address inside"
    return next((why for network, why in _IPV6_RANGES if parsed in network), None)
