"""What is shipped: the wheel is whole without the repository, and an editable installation copies nothing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLI = ROOT / "cli"
PROJECT = tomllib.loads((CLI / "pyproject.toml").read_text())["project"]
ROOMS = ("core", "content", "surfaces", "adapters")
_CHECK = "import sys; sys.path[:0] = [sys.argv.pop(1)]; from batchyard_cli.start import run; run()"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without a network, by the tool that pip would use."""
    folder = tmp_path_factory.mktemp("wheel")
    build = f"from hatchling.build import build_wheel; build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=CLI, check=True, capture_output=True, timeout=900)
    return next(folder.glob("*.whl"))


def test_the_wheel_needs_no_repository(wheel: Path, tmp_path: Path) -> None:
    """`check` runs from the wheel alone: the server's rules are in it."""
    file = tmp_path / "work.jsonl"
    file.write_text('{"custom_id": "1", "method": "GET", "url": "/v1/chat/completions", "body": {}}\n')
    command = [sys.executable, "-I", "-c", _CHECK, str(wheel), "check", str(file), "--offline"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout == f"{file}:1: invalid_method: 'method' must be \"POST\".\n"


def test_the_wheel_has_the_shared_rooms_and_no_others(wheel: Path) -> None:
    """Handlers, steps and workers stay in the cloud; no key, test or template is shipped."""
    names = zipfile.ZipFile(wheel).namelist()
    rooms = {name.split("/")[1] for name in names if name.startswith("batchyard/") and name.count("/") > 1}
    assert rooms == set(ROOMS)
    assert {name.split("/")[0] for name in names} == {
        "batchyard",
        "batchyard_cli",
        f"batchyard_cli-{PROJECT['version']}.dist-info",
    }
    assert all(name.endswith(".py") or "dist-info" in name for name in names)
    for module in (CLI / "batchyard_cli").rglob("*.py"):
        assert str(module.relative_to(CLI)) in names


def test_its_requirements_are_in_the_lock() -> None:
    """`make setup` installs the command without its requirements, which the project's lock has."""
    locked = (ROOT / "requirements.lock").read_text()
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["operator"]]
    assert [each for each in wanted if f"\n{each.partition('>=')[0]}==" not in locked] == []
    assert "--no-deps --no-build-isolation --editable cli" in (ROOT / "Makefile").read_text()
