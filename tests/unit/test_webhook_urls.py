"""Which URLs and addresses webhooks are delivered to: hostile ones, one by one, and good ones."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.addresses import refusal_of
from batchyard.core.webhook_urls import Receiver, UrlProblem, host_of, local_hosts, read_url

REFUSED_ADDRESSES = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",  # Alibaba's metadata
    "127.0.0.1",
    "127.1.2.3",
    "168.63.129.16",  # Azure's own services
    "169.254.169.254",  # metadata of AWS, Google and Azure
    "169.254.170.2",  # credentials of containers
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",  # Oracle's metadata
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",  # IPv4-compatible
    "::8.8.8.8",
    "::ffff:127.0.0.1",  # mapped
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",  # translated
    "64:ff9b::7f00:1",  # NAT64
    "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "100::1",  # discard
    "2001::1",  # Teredo
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:10::1",  # ORCHID
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "2002:808:808::1",
    "2606:4700::5efe:a00:1",  # ISATAP of 10.0.0.1
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",  # AWS's metadata
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
    "",
    "example.com",
    "127.0.0.1.",
    "0x7f.1",
    "010.0.0.1",
]
PUBLIC_ADDRESSES = [
    "8.8.8.8",
    "1.1.1.1",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "2400:cb00::1",
]
HOSTILE_URLS = [
    "",
    "https://",
    "https:///path",
    "https:example.com",
    "//example.com/",
    "example.com",
    "http://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://example.com@10.0.0.1/",
    "https://10.0.0.1#@example.com/",
    "https://example.com#fragment",
    "https://example.com\\@10.0.0.1/",
    "https://example.com\\.evil.net/",
    "https://exa mple.com/",
    "https://example.com/\r\nHost: inside",
    "https://example.com/\x00",
    " https://example.com/",
    "https://example.com/ü",
    "https://müller.example/",
    "https://１２７.０.０.１/",
    "https://127。0。0。1/",
    "https://ⓔxample.com/",
    "https://localhost/",
    "https://localhost./",
    "https://LOCALHOST/",
    "https://printer.local/",
    "https://metadata.google.internal/",
    "https://instance-data.internal./",
    "https://intranet/",
    "https://1.0.0.127.in-addr.arpa/",
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://127.0.0.0x1/",
    "https://example.0x/",
    "https://1.2.3.4.5/",
    "https://256.256.256.256/",
    "https://10.0.0.1:8443/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[64:ff9b::a00:1]/",
    "https://[2002:a00:1::]/",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[::1/",
    "https://::1/",
    "https://[v1.x]/",
    "https://[]/",
    "https://example..com/",
    "https://.example.com/",
    "https://-example.com/",
    "https://example-.com/",
    "https://example.com../",
    "https://exam_ple.com/",
    "https://exa%6dple.com/",
    "https://%31%32%37.0.0.1/",
    "https://example.com:22/",
    "https://example.com:80/",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://example.com:443:443/",
    "https://example.com:/x:1@10.0.0.1",
    "https://example.com:-443/",
    "https://example.com:４４３/",
    "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 130 + "com/",
    "https://example.com/" + "a" * 2048,
    "http://127.0.0.1:9400/",
]
GOOD_URLS = {
    "https://example.com": Receiver("example.com", 443, "/"),
    "https://example.com?x=1": Receiver("example.com", 443, "/?x=1"),
    "HTTPS://Example.COM/Hooks": Receiver("example.com", 443, "/Hooks"),
    "https://example.com./hooks": Receiver("example.com", 443, "/hooks"),
    "https://example.com:443/": Receiver("example.com", 443, "/"),
    "https://example.com:8443/a?b=c&d=%20": Receiver("example.com", 8443, "/a?b=c&d=%20"),
    "https://xn--mller-kva.example/": Receiver("xn--mller-kva.example", 443, "/"),
    "https://3com.com/": Receiver("3com.com", 443, "/"),
    "https://8.8.8.8/": Receiver("8.8.8.8", 443, "/", is_address=True),
    "https://[2606:4700:0:0::1111]/": Receiver("2606:4700::1111", 443, "/", is_address=True),
    "https://example.com/a//b/../c@d:e": Receiver("example.com", 443, "/a//b/../c@d:e"),
}


@pytest.mark.parametrize("address", REFUSED_ADDRESSES)
def test_nothing_goes_to_an_address_that_is_not_public(address: str) -> None:
    """Private, loopback, link-local, metadata, CGNAT, multicast, reserved, and every form with IPv4 inside."""
    assert refusal_of(address) is not None


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_public_addresses_may_be_used(address: str) -> None:
    """Also those right beside a refused range."""
    assert refusal_of(address) is None


@given(st.ip_addresses())
def test_what_python_calls_private_is_refused(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Any address at all: the list is never weaker than the standard library's."""
    if refusal_of(str(address)) is None:
        assert address.is_global
        assert not (address.is_multicast or address.is_reserved or address.is_unspecified)


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:0:0", "::", "64:ff9b::", "64:ff9b:1::", "::ffff:0:0:0"]))
def test_no_ipv4_address_hides_in_ipv6(inside: ipaddress.IPv4Address, prefix: str) -> None:
    """Whichever address it is, even a public one: there is one way to write it."""
    hidden = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(inside))
    six_to_four = ipaddress.IPv6Address(0x2002 << 112 | int(inside) << 80)
    assert refusal_of(str(hidden)) is not None
    assert refusal_of(str(six_to_four)) is not None


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_hostile_urls_are_refused(url: str) -> None:
    """Before anything is looked up, with a reason in words."""
    problem = read_url(url)
    assert isinstance(problem, UrlProblem), problem
    assert problem.message.endswith(".")


@pytest.mark.parametrize("url", GOOD_URLS)
def test_good_urls_lead_where_they_say(url: str) -> None:
    """Host, port, path and query, as they are connected to and asked for."""
    assert read_url(url) == GOOD_URLS[url]


@given(st.text(max_size=60))
def test_no_text_makes_it_raise_or_send_elsewhere(text: str) -> None:
    """A URL is read or refused; whatever is read is HTTPS to a name with a dot, or to a public address."""
    for url in (text, f"https://{text}", f"https://{text}/x", f"https://example.com{text}"):
        found = read_url(url)
        if isinstance(found, Receiver):
            assert found.port in (443, 8443)
            assert "." in found.host or ":" in found.host
            assert not found.is_address or refusal_of(found.host) is None
            assert found.target.startswith("/")
            assert found.target.isascii()
            assert " " not in found.target


def test_receivers_on_this_machine_are_allowed_one_by_one() -> None:
    """By address and port, over plain HTTP; no other port, no name, no HTTPS."""
    allowed = local_hosts("127.0.0.1:9400, [::1]:9401")
    assert read_url("http://127.0.0.1:9400/hook", allowed) == Receiver(
        "127.0.0.1", 9400, "/hook", is_address=True, is_local=True
    )
    assert read_url("http://[::1]:9401/", allowed) == Receiver("::1", 9401, "/", is_address=True, is_local=True)
    for url in (
        "http://127.0.0.1:9401/",
        "http://127.0.0.1/",
        "http://127.1:9400/",
        "http://localhost:9400/",
        "https://127.0.0.1:9400/",
        "http://127.0.0.2:9400/",
        "http://user@127.0.0.1:9400/",
        "http://example.com:9400/",
    ):
        assert isinstance(read_url(url, allowed), UrlProblem), url
    assert local_hosts("") == frozenset()


@pytest.mark.parametrize("text", ["10.0.0.1:9400", "example.com:80", "127.0.0.1", "169.254.169.254:80", "0.0.0.0:80"])
def test_only_this_machine_can_be_allowed(text: str) -> None:
    """A setting that names another host stops the function that reads it."""
    with pytest.raises(ValueError, match=r"."):
        local_hosts(text)


def test_receivers_are_told_apart_by_host_and_port() -> None:
    """Whatever the path; in small letters."""
    assert host_of("https://Example.com/a") == host_of("https://example.com/b?c") == "example.com"
    assert host_of("https://example.com:8443/") == "example.com:8443"


def test_the_host_header_has_the_port_only_if_it_is_another() -> None:
    """And IPv6 addresses in brackets."""
    assert Receiver("example.com", 443, "/").authority == "example.com"
    assert Receiver("example.com", 8443, "/").authority == "example.com:8443"
    assert Receiver("2606:4700::1", 443, "/").authority == "[2606:4700::1]"
