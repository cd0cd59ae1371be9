"""Two deployments in one account and region: they share nothing but what belongs to the region."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.infra.templates import Synthesized

_NAMES = {
    "AlarmName",
    "DashboardName",
    "FunctionName",
    "LogGroupName",
    "Name",
    "QueueName",
    "StateMachineName",
    "TopicName",
}
"""Properties that name something in the account, as opposed to something inside a resource."""
_TAGGED = (
    "AWS::ApiGateway::Stage",
    "AWS::DynamoDB::Table",
    "AWS::KMS::Key",
    "AWS::Lambda::Function",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
)


def _physical_names(synthesized: Synthesized) -> set[tuple[str, str, str]]:
    """(type, property, name) of everything that the templates name themselves."""
    found = set()
    for template in (synthesized.stateful, synthesized.stateless):
        for resource in template.body["Resources"].values():
            for name in _NAMES & resource.get("Properties", {}).keys():
                value = resource["Properties"][name]
                if isinstance(value, str):
                    found.add((resource["Type"], name, value))
    return found


def _values(node: Any, key: str) -> Iterator[Any]:
    """Every value under `key`, however deep."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from _values(value, key)
    elif isinstance(node, list):
        for each in node:
            yield from _values(each, key)


def test_no_name_is_shared(synthesized: Synthesized, staging: Synthesized) -> None:
    """Functions, queues, log groups, alarms, the API and the state machine are named after their deployment."""
    first, second = _physical_names(synthesized), _physical_names(staging)
    assert len(first) > 60
    assert first & second == set()
    assert all("batchyard-staging" in name.lower() for _, _, name in second), second


def test_no_metric_is_shared(synthesized: Synthesized, staging: Synthesized) -> None:
    """Functions emit under their deployment's name, and alarms read what their own deployment emits."""
    for template, name in ((synthesized, "batchyard"), (staging, "batchyard-staging")):
        functions = template.stateless.resources("AWS::Lambda::Function").values()
        namespaces = {each["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"] for each in functions}
        assert namespaces == {name}
        alarms = list(template.stateless.resources("AWS::CloudWatch::Alarm").values())
        assert {each for each in _values(alarms, "Namespace") if not each.startswith("AWS/")} == {name}
    (dashboard,) = staging.stateless.resources("AWS::CloudWatch::Dashboard").values()
    assert set(re.findall(r"SEARCH\('{([^,]+),", json.dumps(dashboard))) == {"batchyard-staging"}


def test_no_secret_is_shared(synthesized: Synthesized, staging: Synthesized) -> None:
    """The worker of a deployment looks for secrets below its deployment's name, and may read no others."""
    for template, name in ((synthesized, "batchyard"), (staging, "batchyard-staging")):
        (worker,) = [
            each
            for each in template.stateless.resources("AWS::Lambda::Function").values()
            if each["FunctionName"] == f"{name}-work"
        ]
        assert worker["Environment"]["Variables"]["SECRET_PREFIX"] == f"{name}/providers/"
        policies = json.dumps(template.stateless.resources("AWS::IAM::Policy"))
        assert set(re.findall(r":secret:([^\"]+)", policies)) == {f"{name}/providers/*"}


def test_everything_is_tagged_with_its_deployment(synthesized: Synthesized, staging: Synthesized) -> None:
    """What takes tags has the deployment's, for the bill, and those of its file."""
    for template, tags in (
        (synthesized, {"batchyard:deployment": "batchyard"}),
        (staging, {"batchyard:deployment": "batchyard-staging", "team": "search"}),
    ):
        tagged = [
            properties["Tags"]
            for stack in (template.stateful, template.stateless)
            for kind in _TAGGED
            for properties in stack.resources(kind).values()
        ]
        assert len(tagged) > 40
        for each in tagged:
            assert {tag["Key"]: tag["Value"] for tag in each}.items() >= tags.items()
