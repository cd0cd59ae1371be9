"""Where the address and the key come from, and who gets to see the key."""

from __future__ import annotations

import json
import os
import sys
from types import ModuleType

import pytest

from tests.cli.fake_api import ADDRESS, KEY
from tests.cli.shell import Shell


@pytest.fixture
def signed_out(shell: Shell) -> Shell:
    shell.environment = {}
    return shell


def test_nobody_is_signed_in(signed_out: Shell) -> None:
    """Exit 4, both ways to mend it, and no request."""
    said = signed_out("ls", "--json")
    assert said.code == 4
    assert "batchyard login" in said.err
    assert "BATCHYARD_API_KEY" in said.err
    assert said.result["error"]["code"] == "not_signed_in"
    assert signed_out.api.calls == []


def test_login_asks_tries_and_keeps(signed_out: Shell) -> None:
    """Address and key are asked for, tried, and kept in a file that only its owner can read; /v1 may be said or not."""
    said = signed_out("login", input=f"{ADDRESS}/v1/\n{KEY}\n")
    assert said.code == 0
    assert said.out == ""
    file = signed_out.folder / "config" / "credentials.json"
    assert json.loads(file.read_text()) == {"url": ADDRESS, "api_key": KEY}
    assert file.stat().st_mode & 0o777 == 0o600
    assert KEY not in said.err
    assert signed_out("ls").code == 0


def test_a_wrong_key_is_not_kept(signed_out: Shell) -> None:
    """Exit 4, and nothing is stored."""
    said = signed_out("login", "--url", ADDRESS, "--key-from-stdin", input="wrong\n")
    assert said.code == 4
    assert not (signed_out.folder / "config").exists()


def test_the_environment_comes_first(signed_out: Shell) -> None:
    """Its key is used instead of the stored one, with the stored address if it has none."""
    signed_out("login", "--url", ADDRESS, "--key-from-stdin", input=f"{KEY}\n")
    signed_out.environment = {"BATCHYARD_API_KEY": "another"}
    assert signed_out("ls").code == 4
    assert signed_out.api.requests[-1].headers["authorization"] == "Bearer another"


def test_a_stored_key_goes_to_its_own_address_only(signed_out: Shell) -> None:
    """An address in the environment does not get the key of another deployment."""
    signed_out("login", "--url", ADDRESS, "--key-from-stdin", input=f"{KEY}\n")
    signed_out.api.requests = []
    signed_out.environment = {"BATCHYARD_URL": "https://elsewhere.example.test"}
    assert signed_out("ls").code == 4
    assert signed_out.api.calls == []


@pytest.mark.parametrize(
    "url", ["http://api.example.test", "ftp://x", "example.test", "https://user:pw@x.test", "https://x.test?a=b", ""]
)
def test_addresses_that_would_give_the_key_away(shell: Shell, url: str) -> None:
    """Plain http is for this machine only; what is no address is told as such, before anything is sent."""
    shell.environment = {"BATCHYARD_URL": url or " ", "BATCHYARD_API_KEY": KEY}
    said = shell("ls", "--json")
    assert said.result["error"]["code"] == "bad_address"
    assert shell.api.calls == []


def test_plain_http_on_this_machine(shell: Shell) -> None:
    """The local cloud has no certificate."""
    shell.environment = {"BATCHYARD_URL": "http://127.0.0.1:8787/api/v1", "BATCHYARD_API_KEY": KEY}
    assert shell("ls").code == 0


@pytest.mark.skipif(os.name != "posix", reason="others' rights are POSIX's")
def test_a_key_that_others_can_read(signed_out: Shell) -> None:
    """Is not used until its file is closed to them; the message has the command."""
    signed_out("login", "--url", ADDRESS, "--key-from-stdin", input=f"{KEY}\n")
    file = signed_out.folder / "config" / "credentials.json"
    file.chmod(0o644)
    said = signed_out("ls")
    assert said.code == 1
    assert f"chmod 600 {file}" in said.err


def test_the_keyring_is_preferred(signed_out: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """If there is a keyring the key is there and not in the file, and `logout` removes it."""
    kept: dict[tuple[str, str], str] = {}
    keyring, backends, fail = ModuleType("keyring"), ModuleType("keyring.backends"), ModuleType("keyring.backends.fail")
    vars(fail)["Keyring"] = type("Keyring", (), {})
    vars(backends)["fail"] = fail
    vars(keyring).update(
        backends=backends,
        get_keyring=object,
        set_password=lambda service, name, secret: kept.update({(service, name): secret}),
        get_password=lambda service, name: kept.get((service, name)),
        delete_password=lambda service, name: kept.pop((service, name)),
    )
    for module in (keyring, backends, fail):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    signed_out.keyring = True
    signed_out("login", "--url", ADDRESS, "--key-from-stdin", input=f"{KEY}\n")
    assert kept == {("batchyard", ADDRESS): KEY}
    assert KEY not in (signed_out.folder / "config" / "credentials.json").read_text()
    assert signed_out("ls").code == 0
    assert signed_out("logout").code == 0
    assert kept == {}
    assert signed_out("ls").code == 4


def test_logout_forgets(signed_out: Shell) -> None:
    """And does not mind being called twice."""
    signed_out("login", "--url", ADDRESS, "--key-from-stdin", input=f"{KEY}\n")
    assert signed_out("logout", "--json").result["forgotten"] is True
    assert signed_out("logout", "--json").result["forgotten"] is False
    assert signed_out("ls").code == 4
