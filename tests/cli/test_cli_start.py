"""What is imported when, what every command has, and what shells complete."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from batchyard_cli.listing import CUSTOMERS, OPERATORS
from batchyard_cli.main import batchyard
from batchyard_cli.start import help_page
from tests.cli.shell import Shell

ROOT = Path(__file__).parents[2]
_BEFORE = f"import sys; sys.path.insert(0, {str(ROOT / 'cli')!r}); before = set(sys.modules)\n"
_AFTER = "\nprint(*sorted(set(sys.modules) - before))"
_HELP = """
from batchyard_cli.start import run
sys.argv = ["batchyard", "--help"]
run()
"""


def imported(statements: str) -> list[str]:
    """The modules that a new Python imports for it."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", _BEFORE + statements + _AFTER],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()[-1].split()


def test_help_imports_nothing_but_the_list() -> None:
    """`batchyard --help` imports the list of commands: not click, no command, no HTTP, no AWS. That is what keeps it
    far below 60 ms, and is counted, because times on a busy machine say nothing."""
    assert imported(_HELP) == ["batchyard_cli", "batchyard_cli.listing", "batchyard_cli.start"]


@pytest.mark.parametrize("columns", [None, "0", "nonsense", "80", "200"])
def test_the_help_is_what_click_makes_of_it(columns: str | None) -> None:
    """To the letter, in a pipe and in a terminal of 80 columns or more; so nobody notices that click was not asked."""
    assert by_click("--help", columns=columns) == help_page() == started("--help", columns=columns)
    assert started("-h", columns=columns) == help_page()


def test_help_in_a_narrow_terminal() -> None:
    """Is wrapped, by click."""
    assert started("--help", columns="60") == by_click("--help", columns="60") != help_page()


def test_the_help_of_a_command_is_that_of_click() -> None:
    """Only the bare `--help` is printed without it."""
    assert started("ls", "--help", columns=None).startswith("Usage: batchyard ls ")


def started(*arguments: str, columns: str | None) -> str:
    return _printed("from batchyard_cli.start import run; run()", arguments, columns)


def by_click(*arguments: str, columns: str | None) -> str:
    return _printed("from batchyard_cli.main import batchyard; batchyard(prog_name='batchyard')", arguments, columns)


def _printed(program: str, arguments: tuple[str, ...], columns: str | None) -> str:
    """What a new Python prints into a pipe."""
    environment = {"PYTHONPATH": str(ROOT / "cli")} | ({} if columns is None else {"COLUMNS": columns})
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_a_customers_command_imports_no_aws() -> None:
    """Even `check`, which runs the server's rules, does without boto3 and pydantic."""
    modules = imported("import batchyard_cli.main, batchyard_cli.commands.running, batchyard_cli.api")
    assert not {"boto3", "botocore", "pydantic"} & {each.split(".")[0] for each in modules}


@pytest.mark.parametrize("name", [*CUSTOMERS, *OPERATORS])
def test_every_command_explains_itself(shell: Shell, name: str) -> None:
    """Each entry of the list is a command with a help text; every command that does something has --json."""
    context = click.Context(batchyard)
    found = batchyard.get_command(context, name)
    assert found is not None
    commands = list(found.commands.values()) if isinstance(found, click.Group) else [found]
    for each in commands:
        assert each.help
        assert any(parameter.name == "as_json" for parameter in each.params), each.name
    assert shell(name, "--help").code == 0
    assert name in shell("--help").out


def test_a_mistyped_command(shell: Shell) -> None:
    """Exits with 1, not with click's 2, which means `cancelled` here; programs get a result line."""
    said = shell("rnu", "--json")
    assert said.code == 1
    assert said.result["error"]["code"] == "usage"
    assert "rnu" in said.err


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion(shell: Shell, name: str) -> None:
    """The script names the command; how to keep it is said on stderr, so that stdout can be evaluated."""
    said = shell("completion", name)
    assert "_BATCHYARD_COMPLETE" in said.out
    assert "batchyard completion" in said.err


def test_shells_complete_commands_without_importing_them() -> None:
    """The names that begin so, with their one-line help."""
    items = batchyard.shell_complete(click.Context(batchyard), "re")
    assert [(each.value, each.help) for each in items] == [("results", CUSTOMERS["results"][1])]


def test_the_version(shell: Shell) -> None:
    """Is that of the package."""
    project = (ROOT / "cli" / "pyproject.toml").read_text()
    version = shell("--version").out.split()[-1]
    assert f'version = "{version}"' in project
