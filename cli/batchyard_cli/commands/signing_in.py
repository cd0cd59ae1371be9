"""`login` and `logout`."""

from __future__ import annotations

import sys

import click

from batchyard_cli import credentials
from batchyard_cli.command import Session, command
from batchyard_cli.exits import CommandFailed, Done


@command()
@click.option("--url", envvar=credentials.URL_VARIABLE, help="The deployment's base URL; asked for if left out.")
@click.option("--key-from-stdin", is_flag=True, help="Read the API key from stdin instead of asking for it.")
def login(session: Session, url: str | None, key_from_stdin: bool) -> Done:
    """Store the address of a deployment and your API key, after trying them.

    The environment comes first (BATCHYARD_URL, BATCHYARD_API_KEY), then the system's keyring if the Python package
    `keyring` is installed, then a file that only you can read.
    """
    address = credentials.checked_address(url or click.prompt("Base URL of the deployment", err=True))
    if key_from_stdin:
        api_key = sys.stdin.readline().strip()
    else:
        api_key = session.surroundings.environment.get(credentials.KEY_VARIABLE) or click.prompt(
            "API key", hide_input=True, err=True
        )
    api_key = api_key.strip()
    if not api_key or not api_key.isascii() or not api_key.isprintable():
        raise CommandFailed("That is no API key.", "Paste the key that the operator gave you.", code="bad_key")
    given = credentials.Credentials(address, api_key)
    session.connect(given).get("/batches", limit=1)
    place = credentials.store(given, session.surroundings)
    session.console.say(f"Signed in at {address}; the key is in {place}.")
    session.console.say("Next: `batchyard check FILE`, `batchyard run FILE`.")
    return Done({"url": address, "stored_in": place})


@command()
def logout(session: Session) -> Done:
    """Forget the stored address and API key. (The key itself stays good until the operator revokes it.)"""
    was_there = credentials.forget(session.surroundings)
    session.console.say("Forgotten." if was_there else "Nothing was stored.")
    return Done({"forgotten": was_there})
