"""What a deployment costs while nobody uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.infra.conftest import ROOT
from tests.infra.templates import Synthesized
from tools import idle_cost
from tools.idle_cost import Line

GUIDE = (ROOT / "docs" / "deploy.md").read_text()
SWEEP: dict[str, Any] = {
    "Type": "AWS::Lambda::Function",
    "Properties": {"Handler": "batchyard.handlers.sweep.handler", "MemorySize": 256},
}


def lines(folder: Path) -> list[Line]:
    return idle_cost.idle_lines(idle_cost.read(folder))


def test_it_is_below_six_dollars_a_month(synthesized: Synthesized) -> None:
    """With every setting at its default and one provider's key, at list prices, without any free tier."""
    assert idle_cost.total(lines(synthesized.folder)) < 6


def test_the_guide_has_the_computed_table(synthesized: Synthesized) -> None:
    """Line by line, as `make cost` prints it."""
    assert idle_cost.table(lines(synthesized.folder)) in GUIDE


def test_what_a_deployment_adds_is_counted(synthesized: Synthesized, staging: Synthesized) -> None:
    """A dashboard, and a web ACL with its rules."""
    added = {line.what: line for line in lines(staging.folder)}
    assert added["dashboard"].dollars == 3
    assert added["web ACL"].dollars + added["web ACL's rule"].dollars == 5 + 3
    assert not {"dashboard", "web ACL", "web ACL's rule"} & {line.what for line in lines(synthesized.folder)}


@pytest.mark.parametrize(
    ("resource", "dollars"),
    [
        ({"Type": "AWS::KMS::Key"}, 1.0),
        ({"Type": "AWS::CloudWatch::Alarm", "Properties": {"MetricName": "Errors"}}, 0.1),
        ({"Type": "AWS::CloudWatch::Alarm", "Properties": {"Metrics": [{"MetricStat": {}}] * 7 + [{}]}}, 0.7),
        ({"Type": "AWS::CloudWatch::Dashboard"}, 3.0),
        ({"Type": "AWS::Lambda::EventSourceMapping"}, 0.2592),
        ({"Type": "AWS::SQS::Queue"}, 0.0),
        ({"Type": "AWS::Events::Rule", "Properties": {"EventPattern": {}}}, 0.0),
    ],
)
def test_each_kind_of_resource_has_its_price(resource: dict[str, Any], dollars: float) -> None:
    """What is billed by the month is in the sum; what is billed by use is not."""
    with_it = idle_cost.total(idle_cost.idle_lines([SWEEP, resource]))
    without = idle_cost.total(idle_cost.idle_lines([SWEEP]))
    assert with_it - without == pytest.approx(dollars)
