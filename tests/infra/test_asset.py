"""The Lambda asset: what functions import, for the platform they run on, the same bytes from the same inputs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from infra import asset, bytecode
from tests.infra.conftest import ROOT

_MEGABYTE = 1_000_000
_MAGIC_OF_3_13 = (3571).to_bytes(2, "little")
_HASH_NOT_CHECKED = 1
"""The flags of https://peps.python.org/pep-0552/."""


@pytest.fixture(scope="module")
def archive() -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(asset.lambda_asset()) as opened:
        yield opened


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built twice from the same dependencies and sources, the archive does not differ in a byte."""
    first = asset.lambda_asset()
    dependencies = next(asset.BUILD.glob(f"dependencies-{asset._digest([*asset._BUILDERS, *asset._LOCKS])}.zip"))
    (tmp_path / dependencies.name).write_bytes(dependencies.read_bytes())
    monkeypatch.setattr(asset, "BUILD", tmp_path)
    second = asset.lambda_asset()
    assert second != first
    assert second.name == first.name
    assert second.read_bytes() == first.read_bytes()


def test_it_has_the_code_and_its_data(archive: zipfile.ZipFile) -> None:
    """Every module and data file of functions/batchyard is there, at the top of the archive."""
    names = set(archive.namelist())
    for path in (ROOT / "functions" / "batchyard").rglob("*"):
        if path.suffix in (".py", ".toml", ".json", ".vocabulary"):
            assert path.relative_to(ROOT / "functions").as_posix() in names


def test_versions_are_those_of_the_lock_file(archive: zipfile.ZipFile) -> None:
    """What is deployed is what is tested: every runtime package has the version of requirements.lock."""
    locked = set(re.findall(r"^[\w.-]+==[\w.]+", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    runtime = set(re.findall(r"^[\w.-]+==[\w.]+", archive.read(asset.REQUIREMENTS).decode(), re.MULTILINE))
    assert {"aiohttp", "boto3", "orjson", "pydantic"} <= {each.partition("==")[0] for each in runtime}
    assert runtime <= locked


def test_no_tool_of_the_workshop_is_deployed(archive: zipfile.ZipFile) -> None:
    """Neither CDK nor moto nor pytest, and nothing of another platform."""
    tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops.isdisjoint({"aws_cdk", "moto", "pytest", "openai", "mypy", "uv", "local", "infra", "tests"})
    libraries = [name for name in archive.namelist() if name.endswith(".so")]
    assert libraries
    assert [name for name in libraries if "aarch64" not in name and "cpython" in name] == []


def test_everything_that_functions_import_is_deployed(archive: zipfile.ZipFile) -> None:
    """Each package that functions/batchyard imports is in the archive or in Python itself."""
    tops = {name.partition("/")[0].removesuffix(".py") for name in archive.namelist()}
    imported: set[str] = set()
    type_checking: set[str] = set()
    for path in (ROOT / "functions").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                type_checking |= {each.module for each in node.body if isinstance(each, ast.ImportFrom) and each.module}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    imported -= {name.partition(".")[0] for name in type_checking if name.startswith("mypy_boto3_")}
    assert imported - set(sys.stdlib_module_names) <= tops


def test_every_aws_service_that_is_called_is_described(archive: zipfile.ZipFile) -> None:
    """botocore's descriptions are trimmed to the services that the code asks for; a missing one fails in AWS only."""
    called = set()
    for path in (ROOT / "functions").rglob("*.py"):
        called |= set(re.findall(r"client\(\"(\w+)\"", path.read_text()))
    described = {name.split("/")[2] for name in archive.namelist() if name.startswith("botocore/data/")}
    assert {"dynamodb", "s3", "sqs", "stepfunctions"} <= called
    assert called <= asset.SERVICES
    assert described >= asset.SERVICES
    for service in asset.SERVICES:
        assert any(re.match(rf"botocore/data/{service}/.*/service-2.json", name) for name in archive.namelist())


@pytest.mark.skipif(bytecode.interpreter() is None, reason=f"needs a Python {bytecode.VERSION}")
def test_every_module_is_compiled_for_lambdas_python(archive: zipfile.ZipFile) -> None:
    """Each module has bytecode of 3.13 beside it, which Python loads without a look at the source's time, which
    unpacking changes; and tracebacks have the deployed file's path."""
    names = set(archive.namelist())
    modules = [name for name in names if name.endswith(".py")]
    assert len(modules) > 900
    for name in modules:
        path = PurePosixPath(name)
        compiled = archive.read(str(path.parent / "__pycache__" / f"{path.stem}.cpython-313.pyc"))
        assert compiled[:2] == _MAGIC_OF_3_13, name
        assert int.from_bytes(compiled[4:8], "little") == _HASH_NOT_CHECKED, name
    assert b"/var/task/batchyard/settings.py" in archive.read("batchyard/__pycache__/settings.cpython-313.pyc")


def test_without_lambdas_python_the_asset_is_built_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is compiled by a wrong interpreter, and the operator reads what that costs."""
    monkeypatch.setattr(bytecode, "interpreter", lambda: None)
    (tmp_path / "module.py").write_text("x = 1\n")
    bytecode.compile_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["module.py"]
    assert "uv python install 3.13" in capsys.readouterr().err


def test_pages_of_our_own_are_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Style sheets, scripts and pages are trimmed from other people's packages, not from batchyard."""
    page = tmp_path / "batchyard" / "dashboard" / "page.html"
    page.parent.mkdir(parents=True)
    for name in ("page.html", "page.css", "page.js"):
        (page.parent / name).write_text("/* */")
    monkeypatch.setattr(asset, "FUNCTIONS", tmp_path)
    assert {path.name for path in asset._sources()} == {"page.html", "page.css", "page.js"}


def test_it_is_small(archive: zipfile.ZipFile) -> None:
    """Cold starts load it: under 22 MB packed and 64 MB unpacked (Lambda takes 50 MB and 250 MB)."""
    assert asset.lambda_asset().stat().st_size < 22 * _MEGABYTE
    assert sum(entry.file_size for entry in archive.infolist()) < 64 * _MEGABYTE


def test_no_module_was_trimmed(archive: zipfile.ZipFile) -> None:
    """Every Python module and native library that a package's own record lists is in the archive."""
    names = set(archive.namelist())
    records = [name for name in names if name.endswith(".dist-info/RECORD")]
    assert len(records) > 20
    for record in records:
        listed = {line.split(",")[0] for line in archive.read(record).decode().splitlines()}
        code = {name for name in listed if name.endswith((".py", ".so")) and not name.startswith(("../", "bin/"))}
        assert code <= names, record


def test_it_runs_by_itself(archive: zipfile.ZipFile, tmp_path: Path) -> None:
    """Without this machine's packages, what is pure Python in the archive makes a client of every AWS service."""
    program = (
        "import sys; sys.path[:] = [sys.argv[1]] + [p for p in sys.path if 'site-packages' not in p];"
        "import boto3, batchyard.surfaces.registry as registry;"
        "[boto3.client(service, region_name='us-east-1') for service in sys.argv[2:]]; assert registry.ROUTES"
    )
    archive.extractall(tmp_path)
    command = [sys.executable, "-I", "-c", program, str(tmp_path), *sorted(asset.SERVICES)]
    subprocess.run(command, check=True, timeout=60, env={})
