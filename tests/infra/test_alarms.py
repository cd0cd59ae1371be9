"""Alarms, the topics they go to, and the dashboard."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.infra.conftest import ROOT
from tests.infra.templates import Synthesized


def _alarms(synthesized: Synthesized, metric: str) -> list[dict[str, Any]]:
    found = synthesized.stateless.resources("AWS::CloudWatch::Alarm").values()
    return [each for each in found if each.get("MetricName") == metric]


def _dimensions(alarms: list[dict[str, Any]], name: str) -> set[str]:
    return {json.dumps(each["Value"]) for alarm in alarms for each in alarm["Dimensions"] if each["Name"] == name}


def test_every_dead_letter_queue_is_watched(synthesized: Synthesized) -> None:
    """One message in any dead-letter queue raises an alarm."""
    alarms = _alarms(synthesized, "ApproximateNumberOfMessagesVisible")
    assert {alarm["Threshold"] for alarm in alarms} == {1}
    queues = synthesized.stateless.resources("AWS::SQS::Queue")
    dead_letters = {name for name, queue in queues.items() if "RedrivePolicy" not in queue}
    assert _dimensions(alarms, "QueueName") == {
        json.dumps({"Fn::GetAtt": [name, "QueueName"]}) for name in dead_letters
    }


def test_work_that_waits_is_noticed(synthesized: Synthesized) -> None:
    """Every provider's queue, and the drop folder's, has an alarm on the age of its oldest message."""
    queues = synthesized.stateless.resources("AWS::SQS::Queue")
    sources = {name for name, queue in queues.items() if "RedrivePolicy" in queue}
    watched = _dimensions(_alarms(synthesized, "ApproximateAgeOfOldestMessage"), "QueueName")
    assert watched == {json.dumps({"Fn::GetAtt": [name, "QueueName"]}) for name in sources}


def test_every_function_is_watched(synthesized: Synthesized) -> None:
    """Errors and throttles of each function raise an alarm."""
    functions = synthesized.stateless.resources("AWS::Lambda::Function")
    for metric in ("Errors", "Throttles"):
        watched = _dimensions(_alarms(synthesized, metric), "FunctionName")
        assert watched == {json.dumps({"Ref": name}) for name in functions}


def test_executions_and_the_api_are_watched(synthesized: Synthesized) -> None:
    """Executions that fail, time out or are throttled, and 5xx answers."""
    for metric in ("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionThrottled", "5XXError"):
        assert len(_alarms(synthesized, metric)) == 1, metric


def test_technical_and_business_alarms_go_apart(synthesized: Synthesized) -> None:
    """Every alarm says what to do, goes to one of two topics, and both topics have alarms."""
    alarms = synthesized.stateless.resources("AWS::CloudWatch::Alarm")
    topics: dict[str, set[str]] = {}
    for name, alarm in alarms.items():
        assert len(alarm["AlarmDescription"]) > 40, name
        assert alarm["TreatMissingData"] == "notBreaching"
        (topic,) = alarm["AlarmActions"]
        topics.setdefault(topic["Ref"], set()).add(name)
    business, technical = sorted(topics.values(), key=len)
    assert all(name.startswith("BusinessAlarms") for name in business)
    assert all(name.startswith("TechnicalAlarms") for name in technical)


def test_topics_are_encrypted_and_cloudwatch_may_publish(synthesized: Synthesized) -> None:
    """Topics are under a key that lets CloudWatch in, refuse plain HTTP, and e-mail the deployment's address."""
    topics = synthesized.stateless.resources("AWS::SNS::Topic").values()
    assert len(topics) == 2
    assert all("KmsMasterKeyId" in topic for topic in topics)
    (key,) = synthesized.stateless.resources("AWS::KMS::Key").values()
    principals = [each["Principal"] for each in key["KeyPolicy"]["Statement"]]
    assert {"Service": "cloudwatch.amazonaws.com"} in principals
    policies = synthesized.stateless.resources("AWS::SNS::TopicPolicy").values()
    assert len(policies) == 2
    for policy in policies:
        by_effect = {each["Effect"]: each for each in policy["PolicyDocument"]["Statement"]}
        assert by_effect["Deny"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert by_effect["Allow"]["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert by_effect["Allow"]["Action"] == "sns:Publish"


def test_alarms_reach_the_operator(synthesized: Synthesized, staging: Synthesized) -> None:
    """A deployment with an e-mail address subscribes it to both topics; without one nobody is subscribed."""
    assert not synthesized.stateless.resources("AWS::SNS::Subscription")
    subscriptions = staging.stateless.resources("AWS::SNS::Subscription").values()
    assert [(each["Protocol"], each["Endpoint"]) for each in subscriptions] == [("email", "ops@example.com")] * 2


def test_the_dashboard_shows_what_the_functions_count(synthesized: Synthesized) -> None:
    """It has our own metrics by the names that handlers emit, beside AWS's; so have the alarms."""
    (dashboard,) = synthesized.stateless.resources("AWS::CloudWatch::Dashboard").values()
    text = json.dumps(dashboard["DashboardBody"])
    assert dashboard["DashboardName"] == "batchyard"
    for metric in ("ApproximateAgeOfOldestMessage", "ExecutionsFailed", "Throttles", "BatchesEnded", "ItemsFailed"):
        assert metric in text, metric


def test_our_own_metrics_are_those_that_handlers_emit(synthesized: Synthesized) -> None:
    """Each metric of the namespace Batchyard that an alarm or the dashboard reads is emitted by some handler."""
    (dashboard,) = synthesized.stateless.resources("AWS::CloudWatch::Dashboard").values()
    text = json.dumps([dashboard, synthesized.stateless.resources("AWS::CloudWatch::Alarm")])
    ours = set(re.findall(r"\b(?:Batches|Items|Cost|Provider)[A-Z][A-Za-z]+", text))
    ours = {name for name in ours if not name.startswith("ProviderQueues")}
    code = "".join(path.read_text() for path in (ROOT / "functions" / "batchyard" / "handlers").glob("*.py"))
    emitted = {name for name in ours if f'"{name}"' in code}
    assert {"BatchesEnded", "CostMicrousd", "ItemsFailed", "ProviderThrottles"} <= ours
    assert ours == emitted
