"""A deployment's settings, and what docs/deploy.md says of it."""

from __future__ import annotations

import dataclasses
import re

import pytest

from infra import deployment
from infra.deployment import Deployment
from tests.infra.conftest import ROOT
from tests.infra.templates import Synthesized

GUIDE = (ROOT / "docs" / "deploy.md").read_text()


def test_context_values_take_the_kind_of_their_field() -> None:
    """The command line passes text; a value that is no number, switch or mapping where one is due is refused."""
    assert deployment._parse("waf", "true", False) is True
    assert deployment._parse("api_burst", "900", 400) == 900
    assert deployment._parse("limits", '{"max_batch_items": 5}', {}) == {"max_batch_items": 5}
    assert deployment._parse("name", "staging", "batchyard") == "staging"
    assert deployment._parse("alarm_email", "you@example.com", None) == "you@example.com"
    assert deployment._parse("waf", True, False) is True
    for name, value, default in (("waf", "yes", False), ("api_burst", "many", 400), ("waf", "1", False)):
        with pytest.raises(ValueError):
            deployment._parse(name, value, default)


def test_stacks_are_named_after_the_deployment(synthesized: Synthesized, staging: Synthesized) -> None:
    """Two deployments in one account do not share a name."""
    assert Deployment().title == "Batchyard"
    assert {path.name.partition(".")[0] for path in synthesized.folder.glob("*.template.json")} == {
        "Batchyard-Stateful",
        "Batchyard-Stateless",
    }
    assert {path.name.partition(".")[0] for path in staging.folder.glob("*.template.json")} == {
        "Batchyard-Staging-Stateful",
        "Batchyard-Staging-Stateless",
    }


def test_the_guide_knows_every_switch_it_names() -> None:
    """Names and defaults in the guide's table are those of the code."""
    fields = {field.name: getattr(Deployment(), field.name) for field in dataclasses.fields(Deployment)}
    rows = re.findall(r"^\| `([^|]+)` \| `?([^|`]+)`?(?:, `[^|]+`)? \|", GUIDE, re.MULTILINE)
    assert len(rows) >= 9
    for names, default in rows:
        first = names.partition("`")[0]
        assert first in fields
        assert default.lower() == str(fields[first]).lower(), first


def test_the_guide_counts_reserved_concurrency(synthesized: Synthesized) -> None:
    """The number that decides whether a small account can deploy is the template's."""
    functions = synthesized.stateless.resources("AWS::Lambda::Function").values()
    reserved = sum(each.get("ReservedConcurrentExecutions", 0) for each in functions)
    assert f"reserve {reserved} concurrent executions" in GUIDE
