"""The commands of the pages: each is a `make` target, is checked as shell, or is listed with the reason why no test
runs it."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from batchyard_cli.main import batchyard

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))
NOT_RUN = {
    "aws": "needs an AWS account, and the AWS command line, which is not in requirements.lock",
    "npx": "deploys into an AWS account",
    "curl": "asks an API that has been deployed",
    "cdk": "is short for `npx aws-cdk`, as the page says",
    "jq": "reads what a deployment printed",
    "cp": "makes a file of the reader's own",
    ".venv/bin/uv": "downloads an interpreter",
    "git": "changes the reader's checkout",
    "cat": "shows what a command before it wrote",
    "pipx": "installs into the reader's home folder",
}
SHELL = {"eval", "export", "set", ".", "npx()", "cdk()", "node", "}", "for", "do", "done"}
"""Checked with its block by `bash -n`."""
_BLOCK = re.compile(r"^( *)```(console|bash)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:make|python|\.venv/bin/[^\s`]+|aws|npx|uv|pytest|git|curl|batchyard) [^`]+)`")
_HEREDOC = re.compile(r"<<'?(\w+)'?\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_VARIABLE = re.compile(r"^\w+=\S*$")
_SUBSTITUTION = re.compile(r"^\w+=\$\((?=aws|jq|\.venv|batchyard)")


@dataclass(frozen=True)
class Command:
    page: str
    text: str

    @property
    def words(self) -> list[str]:
        """Without the variables that are set for it."""
        words = self.text.split()
        while words and _VARIABLE.match(words[0]):
            words.pop(0)
        return words


def scripts(page: Path) -> Iterator[str]:
    """What a reader types in each block: the lines behind a prompt if there are prompts, else the whole block."""
    for indent, kind, block in _BLOCK.findall(page.read_text()):
        text = re.sub(rf"^{indent}", "", block, flags=re.MULTILINE)
        if kind == "console":
            heredocs = dict(re.findall(r"^\$ (.*<<'?EOF'?)\n(.*?^EOF)$", text, re.MULTILINE | re.DOTALL))
            lines = re.findall(r"^\$ ((?:.*\\\n)*.*)", text, re.MULTILINE)
            text = "\n".join(f"{line}\n{heredocs[line]}" if line in heredocs else line for line in lines)
        yield text


def commands() -> list[Command]:
    """Each command of each page, from blocks and running text, without what it quotes; a list counts by its parts."""
    found = []
    for page in PAGES:
        texts = [_HEREDOC.sub("", script).replace("\\\n", " ") for script in scripts(page)]
        lines = [line for text in texts for line in text.splitlines()] + _INLINE.findall(page.read_text())
        for line in lines:
            line = re.sub(r"\s#.*|^#.*", "", unquoted(line)).removesuffix("&").strip()
            parts = re.split(r"\s*(?:&&|\|\||;)\s+", line)
            found += [
                Command(str(page.relative_to(ROOT)), _SUBSTITUTION.sub("", part.strip()))
                for part in parts
                if part.strip()
            ]
    return found


def unquoted(text: str) -> str:
    return re.sub(r"'[^']*'|\"[^\"]*\"", "…", text)


def test_every_command_is_known() -> None:
    """It is a target of the Makefile, a Python module, shell, or in the short list of those that no test runs."""
    unknown = []
    for command in commands():
        program = command.words[0].partition("=")[0] if command.words else ""
        is_target = program == "make" and all(word in TARGETS or _VARIABLE.match(word) for word in command.words[1:])
        is_module = program in ("python", ".venv/bin/python") and command.words[1] in ("-", "-c", "-m")
        is_ours = program.rpartition("/")[2] == "batchyard" and is_of_the_command_line(command.words[1:])
        if not (is_target or is_module or is_ours or program in NOT_RUN or program in SHELL or not program):
            unknown.append(command)
    assert len(commands()) > 20
    assert unknown == []


def is_of_the_command_line(words: list[str]) -> bool:
    """Whether `batchyard` has that command, with every option that is given."""
    words = words[: words.index("|")] if "|" in words else words
    found: click.Command | None = batchyard
    for position, word in enumerate(words):
        if not isinstance(found, click.Group) or word.startswith("-"):
            words = words[position:]
            break
        found = found.get_command(click.Context(found), word)
    else:
        words = []
    if found is None:
        return False
    options = {option for parameter in found.params for option in parameter.opts} | {"--help", "--version"}
    return all(word.partition("=")[0] in options for word in words if word.startswith("-"))


@pytest.mark.parametrize(
    ("call", "known"),
    [
        ("run requests.jsonl --out x", True),
        ("dead-letters replay --dry-run", True),
        ("--help", True),
        ("rnu requests.jsonl", False),
        ("run requests.jsonl --nonsense", False),
        ("accounts nonsense", False),
    ],
)
def test_calls_of_the_command_line_can_be_wrong(call: str, known: bool) -> None:
    """A page that names a command or an option that is not there is found."""
    assert is_of_the_command_line(call.split()) is known


def test_every_module_is_started_by_make() -> None:
    """`python -m …` as it stands on a page would miss the Makefile's PYTHONPATH: pages name targets."""
    assert [command for command in commands() if command.words[1:2] == ["-m"]] == []


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_every_target_can_be_read_by_make(target: str) -> None:
    """`make -n` shows what it would do, so its rules and what they need exist."""
    shown = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m ((?:bench|local|tools)[\w.]*)", MAKEFILE))))
def test_every_module_of_the_makefile_starts(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is imported and explains itself, if it takes options."""
    takes_options = "argparse" in Path(_source(module)).read_text()
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    if takes_options:
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(_source(module)), run_name="__main__")
        assert left.value.code == 0


def _source(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_can_be_read_by_a_shell(page: Path) -> None:
    """`bash -n` finds no fault in what a reader would paste, Python none in what stands between `<<` and its end, and
    the files of the repository that a command names exist."""
    for script in scripts(page):
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{script}\n{done.stderr}"
        for body in re.findall(r"^python - <<'EOF'\n(.*?)^EOF$", script, re.MULTILINE | re.DOTALL):
            compile(body, str(page), "exec")
        for path in re.findall(r"\b(?:events|docs|infra|bench)/[\w./-]+\.\w+|(?<=^cp )\S+", script, re.MULTILINE):
            assert (ROOT / path).exists(), path


def test_the_list_of_what_is_not_run_is_short() -> None:
    """Each entry is still needed, and says why."""
    programs = {command.words[0].partition("=")[0] for command in commands() if command.words}
    assert set(NOT_RUN) - programs == set()
    assert all(NOT_RUN.values())


def test_the_quick_tests_start_no_local_cloud() -> None:
    """`make unit` is what one runs every minute: none of its rooms imports the local cloud."""
    recipe = re.search(r"^unit:.*\n\t(.*)$", MAKEFILE, re.MULTILINE)
    assert recipe is not None
    rooms = re.findall(r"tests/\w+", recipe[1])
    assert len(rooms) > 3
    cloud = re.compile(r"^(from|import) local\.cloud", re.MULTILINE)
    files = [file for room in rooms for file in (ROOT / room).rglob("*.py")]
    assert [file for file in files if cloud.search(file.read_text())] == []
