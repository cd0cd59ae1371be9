"""The Lambda asset: functions/batchyard, and the packages that pyproject.toml names for functions, in the versions of
requirements.lock, from wheels for Lambda's arm64. It is built without Docker, and the same inputs give the same bytes.

    .build/dependencies-<hash of pyproject.toml, requirements.lock>.zip    takes seconds, changes rarely
    .build/batchyard-<hash of that and of functions/>.zip                  takes a second

All of it is compiled to bytecode, if this machine has the Python that Lambda runs (`infra.bytecode`): Lambda cannot
write any, and would compile 1,200 modules at every cold start.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import uv

from infra import bytecode

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
FUNCTIONS = ROOT / "functions"

_PYTHON = ("--python-version", bytecode.VERSION, "--python-platform", "aarch64-manylinux2014")
_BUILDERS = (Path(__file__), Path(bytecode.__file__))
_LOCKS = (ROOT / "pyproject.toml", ROOT / "requirements.lock")
REQUIREMENTS = "requirements.txt"

SERVICES = frozenset({"dynamodb", "kms", "lambda", "s3", "secretsmanager", "sqs", "stepfunctions", "sts"})
"""The AWS services whose descriptions stay in botocore; those of all 400 would be two fifths of the asset."""

_TRIMMED_SUFFIXES = frozenset({".c", ".css", ".h", ".html", ".js", ".pxd", ".pyi", ".pyx"})
"""Left out of other people's packages. Of our own package every file is deployed."""
_KEPT_ASSETS = 5
_EPOCH = (1980, 1, 1, 0, 0, 0)


def lambda_asset() -> Path:
    """The zip file, built unless it is there already."""
    sources = sorted(_sources())
    digest = _digest([*_BUILDERS, *_LOCKS, *sources])
    target = BUILD / f"batchyard-{digest}.zip"
    if target.exists():
        return target
    unfinished = _unfinished_copy(_dependencies())
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        for path in sources:
            copy = Path(folder) / path.relative_to(FUNCTIONS)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        bytecode.compile_folder(Path(folder))
        with zipfile.ZipFile(unfinished, "a", zipfile.ZIP_DEFLATED) as archive:
            _add_all(archive, Path(folder).rglob("*"), Path(folder))
    unfinished.replace(target)
    _forget_old_assets()
    return target


def _dependencies() -> Path:
    target = BUILD / f"dependencies-{_digest([*_BUILDERS, *_LOCKS])}.zip"
    if target.exists():
        return target
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        installed = Path(folder) / "installed"
        installed.mkdir()
        requirements = installed / REQUIREMENTS  # stays in the archive, as a record of what it was built from
        requirements.write_text(_runtime_requirements())
        _uv(
            "pip", "install", "--no-deps", "--only-binary", ":all:", *_PYTHON, "--target", installed, "-r", requirements
        )
        bytecode.compile_folder(installed)
        kept = (path for path in installed.rglob("*") if not _is_trimmed(path.relative_to(installed)))
        unfinished = Path(folder) / "dependencies.zip"
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
            _add_all(archive, kept, installed)
        unfinished.replace(target)
    return target


def _runtime_requirements() -> str:
    """The packages that the deployed functions need, pinned to the versions of requirements.lock."""
    pyproject, lock = _LOCKS
    return _uv("pip", "compile", "--no-header", "--no-annotate", *_PYTHON, "--constraints", lock, pyproject)


def _sources() -> Iterator[Path]:
    for path in (FUNCTIONS / "batchyard").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _is_trimmed(path: Path) -> bool:
    """Whether a file may be left out, because nothing runs it. Python files never may: packages import some that look
    like docs or tests."""
    if path.suffix in _TRIMMED_SUFFIXES or path.parts[0] in ("bin", ".lock"):
        return True
    return path.parts[:2] == ("botocore", "data") and len(path.parts) > 3 and path.parts[2] not in SERVICES


def _add_all(archive: zipfile.ZipFile, paths: Iterable[Path], root: Path) -> None:
    """Add files under a fixed date and mode, sorted, so that the archive depends on names and contents only."""
    for path in sorted(path for path in paths if path.is_file()):
        entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), _EPOCH)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, path.read_bytes())


def _unfinished_copy(source: Path) -> Path:
    handle, name = tempfile.mkstemp(dir=BUILD, suffix=".zip")
    os.close(handle)
    return Path(shutil.copyfile(source, name))


def _forget_old_assets() -> None:
    by_age = sorted(BUILD.glob("batchyard-*.zip"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_age[_KEPT_ASSETS:]:
        path.unlink(missing_ok=True)


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256(str(bytecode.interpreter() is not None).encode())
    for path in paths:
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _uv(*arguments: str | Path) -> str:
    """Run uv. Raises CalledProcessError; what uv says on stderr is shown."""
    command = [uv.find_uv_bin(), *map(str, arguments), "--quiet"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
