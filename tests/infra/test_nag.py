"""cdk-nag's AWS Solutions pack."""

from __future__ import annotations

import json

import pytest

from tests.infra.templates import Synthesized


@pytest.mark.parametrize("environment", ["synthesized", "staging"])
def test_no_rule_is_broken(environment: str, request: pytest.FixtureRequest) -> None:
    """No finding of the AWS Solutions pack is left open, in either environment."""
    synthesized: Synthesized = request.getfixturevalue(environment)
    findings = synthesized.findings()
    assert len(findings) > 100
    assert [each for each in findings if each.compliance not in ("Compliant", "Suppressed")] == []
    manifest = json.loads((synthesized.folder / "manifest.json").read_text())
    notes = [
        note
        for artifact in manifest["artifacts"].values()
        for entry in artifact.get("metadata", {}).values()
        for note in entry
    ]
    assert [note for note in notes if note["type"] in ("aws:cdk:error", "aws:cdk:warning")] == []


def test_every_suppression_has_its_reason(synthesized: Synthesized) -> None:
    """A suppressed finding says why in a whole sentence."""
    suppressed = [each for each in synthesized.findings() if each.compliance == "Suppressed"]
    assert suppressed
    assert [each for each in suppressed if len(each.reason) < 30 or not each.reason.endswith(".")] == []


def test_suppressions_are_few_in_kind(synthesized: Synthesized) -> None:
    """A new kind of suppression has to be added here too, so that nobody adds one in passing."""
    suppressed = {each.rule.partition("[")[0] for each in synthesized.findings() if each.compliance == "Suppressed"}
    assert suppressed == {
        "AwsSolutions-APIG2",
        "AwsSolutions-APIG3",
        "AwsSolutions-APIG4",
        "AwsSolutions-COG4",
        "AwsSolutions-IAM4",
        "AwsSolutions-IAM5",
        "AwsSolutions-L1",
    }
