"""Where the address and the API key come from: the environment, then the system's keyring, then a file that only its
owner can read.

The stored key is only ever sent to the address that it was stored with.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from batchyard_cli.exits import CommandFailed, Exit
from batchyard_cli.surroundings import Surroundings

URL_VARIABLE, KEY_VARIABLE = "BATCHYARD_URL", "BATCHYARD_API_KEY"
_SERVICE = "batchyard"
_ON_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Credentials:
    """`address`: of the API, without `/v1`. `source`: where they came from, for people."""

    address: str
    api_key: str = field(repr=False)
    source: str = ""


def checked_address(text: str) -> str:
    """The address without `/v1` and what hangs at its end. Raises CommandFailed if the key would travel in the clear,
    or it is no address."""
    address = text.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise CommandFailed(
            f"'{text}' is no address of an API.",
            "Give the deployment's base URL, such as https://….execute-api.eu-west-1.amazonaws.com/api "
            "(BaseUrl in the operator's outputs.json).",
            code="bad_address",
        )
    if parts.scheme == "http" and parts.hostname not in _ON_THIS_MACHINE:
        raise CommandFailed(
            f"'{text}' is not encrypted: everybody on the way could read your API key.",
            "Use https://. Plain http is for addresses on this machine only.",
            code="bad_address",
        )
    return address


def find(surroundings: Surroundings) -> Credentials | None:
    """The environment's, completed by what is stored. Raises CommandFailed if the address is none."""
    environment = surroundings.environment
    address, api_key = environment.get(URL_VARIABLE), environment.get(KEY_VARIABLE)
    if address and api_key:
        return Credentials(checked_address(address), api_key, "environment")
    stored = _stored(surroundings)
    if api_key and stored:
        return Credentials(stored.address, api_key, f"{KEY_VARIABLE} and {stored.source}")
    if address:
        wanted = checked_address(address)
        return stored if stored and stored.address == wanted else None
    return stored


def not_signed_in() -> CommandFailed:
    return CommandFailed(
        "You are not signed in.",
        f"Run `batchyard login`, or set {URL_VARIABLE} and {KEY_VARIABLE}.",
        code="not_signed_in",
        exit=Exit.NOT_SIGNED_IN,
    )


def store(credentials: Credentials, surroundings: Surroundings) -> str:
    """Keeps them; says where."""
    content = {"url": credentials.address}
    keyring = _keyring() if surroundings.keyring else None
    if keyring is not None:
        with contextlib.suppress(Exception):  # keyrings raise what they like; the file is the way that always works
            keyring.set_password(_SERVICE, credentials.address, credentials.api_key)
            _write(_file(surroundings), content)
            return "the system's keyring"
    _write(_file(surroundings), content | {"api_key": credentials.api_key})
    return str(_file(surroundings))


def forget(surroundings: Surroundings) -> bool:
    """Whether there was something to forget."""
    stored = _stored(surroundings)
    if stored is None:
        return False
    keyring = _keyring() if surroundings.keyring else None
    if keyring is not None:
        with contextlib.suppress(Exception):  # it was not there
            keyring.delete_password(_SERVICE, stored.address)
    _file(surroundings).unlink(missing_ok=True)
    return True


def _stored(surroundings: Surroundings) -> Credentials | None:
    path = _file(surroundings)
    try:
        content = json.loads(path.read_text())
        address = checked_address(content["url"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise CommandFailed(
            f"{path} cannot be read: {error}.", "Run `batchyard login`, which writes it anew.", code="bad_store"
        ) from error
    if "api_key" in content:
        _refuse_if_others_read(path)
        return Credentials(address, content["api_key"], str(path))
    keyring = _keyring() if surroundings.keyring else None
    api_key = keyring.get_password(_SERVICE, address) if keyring is not None else None
    return Credentials(address, api_key, "the system's keyring") if api_key else None


def _refuse_if_others_read(path: Path) -> None:
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise CommandFailed(
            f"Others on this machine can read {path}, and with it your API key.",
            f"Run `chmod 600 {path}`; if the key may have been seen, ask the operator for another one.",
            code="key_readable",
        )


def _keyring() -> Any:
    """The keyring's module, if it is installed and has a place to keep keys in."""
    try:
        import keyring
        from keyring.backends import fail
    except ImportError:
        return None
    return None if isinstance(keyring.get_keyring(), fail.Keyring) else keyring


def _file(surroundings: Surroundings) -> Path:
    return surroundings.folder / "credentials.json"


def _write(path: Path, content: dict[str, str]) -> None:
    """At no moment can somebody else read it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(json.dumps(content))
    beside.replace(path)
