"""What is imported when, what every command has, and what shells complete."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from batchyard_cli.main import CUSTOMERS, OPERATORS, batchyard
from tests.cli.shell import Shell

ROOT = Path(__file__).parents[2]
HEAVY = ("batchyard", "boto3", "botocore", "httpx", "orjson", "pydantic", "asyncio", "ssl", "keyring")
MOST_MODULES = 85
"""Beside those of a bare Python. click, with what it imports itself, makes about seventy of them."""
_BEFORE = f"import sys; sys.path.insert(0, {str(ROOT / 'cli')!r}); before = set(sys.modules)\n"
_AFTER = "\nprint(*sorted(set(sys.modules) - before))"
_HELP = """
from batchyard_cli.main import run
sys.argv = ["batchyard", "--help"]
try:
    run()
except SystemExit:
    pass
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


def test_help_imports_next_to_nothing() -> None:
    """`batchyard --help` imports click and the list of commands: no command, no HTTP, no AWS. That is what keeps it
    within 60 ms of a bare Python, and is counted, because times on a busy machine say nothing."""
    modules = imported(_HELP)
    assert [each for each in modules if each.split(".")[0] in HEAVY] == []
    assert [each for each in modules if each.startswith("batchyard_cli")] == [
        "batchyard_cli",
        "batchyard_cli.exits",
        "batchyard_cli.main",
    ]
    assert len(modules) <= MOST_MODULES, modules


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
    assert [(each.value, each.help) for each in items] == [("results", CUSTOMERS["results"].short_help)]


def test_the_version(shell: Shell) -> None:
    """Is that of the package."""
    project = (ROOT / "cli" / "pyproject.toml").read_text()
    version = shell("--version").out.split()[-1]
    assert f'version = "{version}"' in project
