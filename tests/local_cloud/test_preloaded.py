"""Local clouds that start as forks of a process with their packages are like those that start by themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from local.cloud import LocalCloud
from local.deployment.templates import ROOT
from tests.customer import eventually
from tests.local_cloud.probe_stacks import stacks

PROBES = Path(__file__).with_name("probes")
KILLED_CALLER = """
import json, os, signal, sys
from pathlib import Path
from local.cloud import LocalCloud
options = json.loads(sys.argv[1])
options |= {name: Path(options[name]) for name in ("templates", "functions_path")}
print(LocalCloud(**options).start().aws_endpoint, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pidfds are Linux's")


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """Of a cloud of probes that starts as a fork."""
    templates = tmp_path / "stacks.json"
    templates.write_text(json.dumps(stacks()))
    nobody = "http://127.0.0.1:9/v1"
    return {
        "templates": templates,
        "functions_path": PROBES,
        "provider_url": nobody,
        "account": None,
        "preload": True,
    }


def test_each_fork_makes_names_of_its_own(options: dict[str, Any]) -> None:
    """What is random in moto is so in each fork."""
    with LocalCloud(**options) as one, LocalCloud(**options) as other:
        assert one.access_key_id != other.access_key_id
        assert one.secret_access_key != other.secret_access_key


def test_a_fork_ends_with_its_caller(options: dict[str, Any]) -> None:
    """Even if the caller is killed."""
    command = [sys.executable, "-c", KILLED_CALLER, json.dumps(options, default=str)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    endpoint = done.stdout.strip()

    def refuses() -> bool:
        try:
            with urlopen(endpoint, timeout=60):
                return False
        except URLError as error:
            return isinstance(error.reason, ConnectionRefusedError)
        except OSError:
            return False

    eventually(refuses, "nobody listens there")
