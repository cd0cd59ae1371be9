"""cdk-nag's AWS Solutions pack."""

from __future__ import annotations

import json

import pytest

from tests.infra.templates import Synthesized


@pytest.mark.parametrize("deployment", ["synthesized", "staging"])
def test_no_rule_is_broken(deployment: str, request: pytest.FixtureRequest) -> None:
    """No finding of the AWS Solutions pack is left open, in either deployment."""
    synthesized: Synthesized = request.getfixturevalue(deployment)
    findings = synthesized.findings()
    assert len(findings) > 100
    assert [each for each in findings if each.compliance not in ("Compliant", "Suppressed")] == []


@pytest.mark.parametrize("deployment", ["synthesized", "staging"])
def test_synth_has_nothing_to_say(deployment: str, request: pytest.FixtureRequest) -> None:
    """No construct carries a warning or an error, which `cdk deploy` would print or stop at."""
    folder = request.getfixturevalue(deployment).folder
    notes = [
        (path, note["data"])
        for file in folder.glob("*.metadata.json")
        for path, notes in json.loads(file.read_text()).items()
        for note in notes
        if note["type"] in ("aws:cdk:error", "aws:cdk:warning")
    ]
    assert len(list(folder.glob("*.metadata.json"))) == 2
    assert notes == []


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
        "AwsSolutions-APIG6",
        "AwsSolutions-COG4",
        "AwsSolutions-IAM4",
        "AwsSolutions-IAM5",
        "AwsSolutions-L1",
        "AwsSolutions-SQS3",
    }
