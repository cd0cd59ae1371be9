"""Functions that start as forks of a process with their packages and code are like those that start by themselves."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from local.functions import spawning
from local.functions.nursery import Nursery
from tests.customer import eventually

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pidfds are Linux's")


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    code = tmp_path / "first" / "batchyard"
    (code / "handlers").mkdir(parents=True)
    (code / "__init__.py").write_text("")
    (code / "part.py").write_text("import os\nname, parent = 'first', os.getpid()\n")
    (code / "handlers" / "__init__.py").write_text("")
    (code / "handlers" / "own.py").write_text(
        "import os\nfrom batchyard.part import name, parent\n"
        "print(name, parent == os.getppid(), sorted(os.environ), flush=True)\nos._exit(7)\n"
    )
    nursery = spawning.in_spawner(partial(Nursery, ROOT, tmp_path / "first"))
    yield nursery
    nursery.close()


@pytest.fixture
def silence() -> Iterator[socket.socket]:
    """Stands for a Runtime API that has no work."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def variables(folder: Path, runtime_api: socket.socket) -> dict[str, str]:
    """Of a function whose code is in `folder`."""
    host, port = runtime_api.getsockname()
    return {"PYTHONPATH": str(folder), "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}", "GREETING": "hello", "TZ": ":UTC"}


def test_a_fork_has_the_code_and_variables_and_log_of_its_function(
    nursery: Nursery, silence: socket.socket, tmp_path: Path
) -> None:
    """The deployed code is imported already, by the nursery; nothing of the local cloud's environment is there."""
    child = nursery.bear("batchyard.handlers.own.handle", variables(tmp_path / "first", silence), tmp_path / "log")
    assert child.wait() == child.poll() == 7
    names = ["AWS_LAMBDA_RUNTIME_API", "GREETING", "PYTHONPATH", "TZ"]
    assert (tmp_path / "log").read_text() == f"first True {names}\n"


def test_a_fork_whose_code_was_replaced_has_the_new_code(
    nursery: Nursery, silence: socket.socket, tmp_path: Path
) -> None:
    """None of the code that the nursery imported is left in it."""
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    part = tmp_path / "second" / "batchyard" / "part.py"
    part.write_text(part.read_text().replace("first", "second"))
    child = nursery.bear("batchyard.handlers.own.handle", variables(tmp_path / "second", silence), tmp_path / "log")
    assert child.wait() == 7
    assert (tmp_path / "log").read_text().startswith("second False ")


def test_a_fork_repeats_calls_as_soon_as_the_tests_like(silence: socket.socket, tmp_path: Path) -> None:
    """The SDK's waits are scaled like those of the state machine: here to a hundredth of what they are."""
    code = "import os\nfrom botocore.retries.standard import ExponentialBackoff, RetryContext\n"
    code += "print(ExponentialBackoff(random=lambda: 1.0).delay_amount(RetryContext(4)), flush=True)\nos._exit(0)\n"
    (tmp_path / "hasty_handler.py").write_text(code)
    nursery = spawning.in_spawner(partial(Nursery, ROOT, tmp_path, 0.01))
    assert nursery.bear("hasty_handler.handle", variables(tmp_path, silence), tmp_path / "log").wait() == 0
    nursery.close()
    assert (tmp_path / "log").read_text() == "0.004\n"


def test_a_fork_can_be_killed(nursery: Nursery, silence: socket.socket, tmp_path: Path) -> None:
    """Its end is known, and a second kill is none of anybody else."""
    (tmp_path / "idle_handler.py").write_text("def handle(event, context):\n    pass\n")
    first = nursery.bear("idle_handler.handle", variables(tmp_path, silence), tmp_path / "log")
    second = nursery.bear("idle_handler.handle", variables(tmp_path, silence), tmp_path / "log")
    assert first.poll() is None and first.pid != second.pid
    first.kill()
    assert first.wait() == -9
    first.kill()
    assert second.poll() is None


def test_forks_end_with_the_nursery(nursery: Nursery, silence: socket.socket, tmp_path: Path) -> None:
    """So does whoever asks for another one."""
    (tmp_path / "idle_handler.py").write_text("def handle(event, context):\n    pass\n")
    child = nursery.bear("idle_handler.handle", variables(tmp_path, silence), tmp_path / "log")
    nursery.close()
    assert child.wait() == -9
    eventually(lambda: not _is_alive(child.pid), "the fork is gone")
    with pytest.raises((RuntimeError, OSError)):
        nursery.bear("idle_handler.handle", variables(tmp_path, silence), tmp_path / "log")


def _is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text() and os.getpgid(pid) > 0
    except (OSError, ProcessLookupError):
        return False
