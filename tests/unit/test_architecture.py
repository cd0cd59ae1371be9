"""The packages import one way, and only those that may touch AWS, HTTP or the environment do."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "functions" / "batchyard"
MODULES = sorted(ROOT.rglob("*.py"))

MAY_IMPORT = {
    "core": {"core"},
    "surfaces": {"core", "surfaces"},
    "adapters": {"core", "adapters"},
    "content": {"core", "adapters", "content"},
    "steps": {"core", "adapters", "content", "steps"},
    "worker": {"core", "adapters", "worker"},
    "jobs": {"core", "adapters", "jobs"},
    "handlers": {"core", "adapters", "content", "steps", "worker", "jobs", "surfaces", "handlers", "settings"},
    "settings": set(),
}
BANNED = {
    "core": {"boto3", "botocore", "httpx", "aiohttp", "os", "time", "random", "secrets", "datetime", "socket"},
    "surfaces": {"boto3", "botocore", "httpx", "aiohttp", "os", "time", "random"},
    "content": {"boto3", "httpx", "aiohttp", "os"},
    "steps": {"boto3", "httpx", "aiohttp", "os"},
    "worker": {"boto3", "httpx", "aiohttp", "os"},
    "jobs": {"boto3", "httpx", "aiohttp", "os"},
    "handlers": {"boto3", "botocore", "httpx", "aiohttp"},
}


@cache
def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def package(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    """handlers over steps and worker over content over adapters over core; surfaces over core; nobody looks up."""
    inside = {name.split(".")[1] for name in imports(path) if name.startswith("batchyard.")}
    allowed = MAY_IMPORT.get(package(path), set())
    assert inside <= allowed, f"{path.relative_to(ROOT)} imports {sorted(inside - allowed)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_right_packages_touch_the_outside(path: Path) -> None:
    """AWS, HTTP, clock, randomness and environment variables only in the rooms that may use them; boto3 in adapters/aws
    only."""
    top = {name.split(".")[0] for name in imports(path)}
    assert not top & BANNED.get(package(path), set())
    if "boto3" in top:
        assert path.is_relative_to(ROOT / "adapters" / "aws")
    if "os" in top:
        assert path.name == "settings.py"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_asyncio_stays_in_the_workers_room(path: Path) -> None:
    """Everything else is plain synchronous code, but for the worker's handler and the calls that it makes."""
    if "asyncio" in {name.split(".")[0] for name in imports(path)}:
        room = path.relative_to(ROOT)
        assert (
            package(path) == "worker" or str(room) == "handlers/work.py" or room.parts[:2] == ("adapters", "providers")
        )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_owns(path: Path) -> None:
    """Each has a docstring, none is a drain by name, and the names of modules are words of the design."""
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path.relative_to(ROOT)} has no docstring"
    assert path.stem not in {"utils", "helpers", "base", "common", "misc"}


def imported_by(path: Path) -> set[str]:
    """All that importing the module imports, also by way of our other modules."""
    found: set[str] = set()
    paths = [path]
    while paths:
        news = imports(paths.pop()) - found
        found |= news
        inside = [ROOT.joinpath(*name.split(".")[1:]) for name in news if name.startswith("batchyard.")]
        files = [file for module in inside for file in (module.with_suffix(".py"), module / "__init__.py")]
        paths += [file for file in files if file.exists()]
    return found


def test_a_worker_starts_without_httpx() -> None:
    """httpx would make each cold start longer, and a worker has no use for it (decision 0047); provider jobs have."""
    assert "httpx" not in imported_by(ROOT / "handlers" / "work.py")
    assert "httpx" in imported_by(ROOT / "handlers" / "jobs.py")


def test_the_checks_can_fail(tmp_path: Path) -> None:
    """A module that looks up is seen."""
    module = tmp_path / "bad.py"
    module.write_text("from batchyard.handlers import resources\nimport boto3\n")
    assert "batchyard.handlers.resources" in imports(module)
    assert "boto3" in imports(module)
