"""How a command is made: `@command` gives it `--json`, a Session, and an end."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from batchyard_cli.console import Console
from batchyard_cli.exits import CommandFailed, Done
from batchyard_cli.forms import DIALECTS
from batchyard_cli.surroundings import Surroundings

if TYPE_CHECKING:
    from batchyard_cli.api import Api
    from batchyard_cli.credentials import Credentials
    from batchyard_cli.operators.deployment import Deployed


class Session:
    """What one call of a command has: a console, and what it asks for first. `close` gives all of it back."""

    def __init__(self, console: Console, surroundings: Surroundings) -> None:
        self.console = console
        self.surroundings = surroundings
        self._api: Api | None = None
        self._held = contextlib.ExitStack()

    def api(self) -> Api:
        """The deployment's API, with the caller's key. Raises CommandFailed if there is none."""
        from batchyard_cli.credentials import not_signed_in

        api = self.api_if_signed_in()
        if api is None:
            raise not_signed_in()
        return api

    def api_if_signed_in(self) -> Api | None:
        """None if there is no key."""
        from batchyard_cli import credentials

        if self._api is None and (found := credentials.find(self.surroundings)):
            self._api = self.connect(found)
        return self._api

    def connect(self, credentials: Credentials) -> Api:
        """The API that these are for."""
        from batchyard_cli.api import Api

        return self._held.enter_context(contextlib.closing(Api(credentials, self.surroundings)))

    def deployed(self, name: str | None) -> Deployed:
        """The deployment as AWS has it. `name`: as its file has it."""
        from batchyard_cli.operators.deployment import find

        return self._held.enter_context(contextlib.closing(find(name, self.surroundings)))

    def close(self) -> None:
        self._held.close()


def command(
    group: click.Group | None = None, name: str | None = None
) -> Callable[[Callable[..., Done]], click.Command]:
    """Makes a function a command (of `group`)."""

    def decorate(function: Callable[..., Done]) -> click.Command:
        @functools.wraps(function)
        def call(as_json: bool, **parameters: Any) -> int:
            surroundings = click.get_current_context().find_object(Surroundings) or Surroundings()
            console = Console(as_json, surroundings.now)
            try:
                with contextlib.closing(Session(console, surroundings)) as session:
                    done = function(session, **parameters)
            except CommandFailed as failure:
                console.fail(failure)
                return int(failure.exit)
            console.end(done)
            return int(done.exit)

        option = click.option("--json", "as_json", is_flag=True, help="A JSON object per line, the last one `result`.")
        make = group.command if group is not None else click.command
        return make(name)(option(call))

    return decorate


FILE = click.Path(exists=True, dir_okay=False, readable=True)


def lines_options(function: Any) -> Any:
    """`--lines` and `--endpoint`: what a file holds, for whom it does not suffice to look."""
    for option in (
        click.option("--endpoint", help="Where lines in OpenAI's form go; found in the file if it is left out."),
        click.option(
            "--lines", type=click.Choice(list(DIALECTS)), help="Whose form its lines have; found in the file, too."
        ),
    ):
        function = option(function)
    return function


def deployment_option(function: Any) -> Any:
    """`--deployment`: the name that operators' commands need."""
    return click.option(
        "--deployment",
        "-d",
        envvar="BATCHYARD_DEPLOYMENT",
        metavar="NAME",
        help="The deployment's name, as in its file (or BATCHYARD_DEPLOYMENT).",
    )(function)
