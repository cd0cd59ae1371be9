"""Bytecode for the Python that Lambda runs, made by an interpreter of that version on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

VERSION = "3.13"
_DEPLOYED_TO = "/var/task"
_PRINT_VERSION = "import sys; print(sys.version_info.major, sys.version_info.minor, sep='.')"


def compile_folder(folder: Path) -> None:
    """Compile every module below `folder` in place. Without an interpreter of that version it prints a note and does
    nothing.

    The bytecode is not checked against its source when it is loaded: unpacking changes the time of a file, which is
    what Python would compare. Names of files in tracebacks are those of the deployed function.
    """
    python = interpreter()
    if python is None:
        notice = f"There is no Python {VERSION} here, so the asset has no bytecode, and cold starts take a second more."
        print(f"{notice} `uv python install {VERSION}` gets one.", file=sys.stderr)  # noqa: T201
        return
    command = [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", folder, "-p"]
    subprocess.run([*map(str, command), _DEPLOYED_TO, str(folder)], check=True, stdout=subprocess.DEVNULL)


@cache
def interpreter() -> Path | None:
    """A Python of the deployed version; None if there is none."""
    return next((path for path in _candidates() if _version_of(path) == VERSION), None)


def _candidates() -> Iterator[Path]:
    name = f"python{VERSION}"
    yield Path(sys.executable)
    if found := shutil.which(name):
        yield Path(found)
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv"))
    uv_pythons = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local/share/uv/python"))
    yield from sorted(pyenv.glob(f"versions/{VERSION}*/bin/{name}"))
    yield from sorted(uv_pythons.glob(f"cpython-{VERSION}*/bin/{name}"))


def _version_of(python: Path) -> str | None:
    """The version that the interpreter reports; None if it does not run (pyenv's shims fail for a version that is not
    switched on)."""
    try:
        done = subprocess.run([python, "-c", _PRINT_VERSION], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
