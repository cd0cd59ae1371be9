"""What CloudFormation itself would refuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.infra.templates import Synthesized


def test_the_templates_are_sound(synthesized: Synthesized, staging: Synthesized) -> None:
    """cfn-lint, which knows each resource's schema and finds circular dependencies, has nothing to say.

    W3005 is left out: CDK makes a function depend on its role by name although it refers to it as well."""
    for folder in (synthesized.folder, staging.folder):
        templates = sorted(map(str, folder.glob("*.template.json")))
        assert len(templates) == 2
        tool = str(Path(sys.executable).with_name("cfn-lint"))
        command = [tool, "--ignore-checks", "W3005", "--regions", "us-east-1", "--", *templates]
        linted = subprocess.run(command, capture_output=True, text=True, timeout=900)
        assert linted.stdout == ""
        assert linted.returncode == 0, linted.stderr


def test_outputs_say_where_everything_is(synthesized: Synthesized) -> None:
    """The API's base URL, the drop folder's bucket and the admin function, under names that people can type."""
    assert synthesized.stateless.body["Outputs"].keys() == {"BaseUrl", "AdminFunction"}
    named = {name for name in synthesized.stateful.body["Outputs"] if not name.startswith("ExportsOutput")}
    assert named == {"DropBucket"}
    base_url = "".join(map(str, synthesized.stateless.body["Outputs"]["BaseUrl"]["Value"]["Fn::Join"][1]))
    assert base_url.endswith("/v1")
