"""Alarms, the topics they go to, the runbook that explains them, and the dashboard."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.infra.conftest import ROOT
from tests.infra.templates import Synthesized

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
AWS_METRICS = {
    "5XXError",
    "ApproximateNumberOfMessagesVisible",
    "Errors",
    "ExecutionsFailed",
    "FailedInvocations",
    "Invocations",
    "ReadThrottleEvents",
    "Throttles",
    "WriteThrottleEvents",
}
LANES = {"LanesBlocked", "LanesOpen", "ShardErrors"}
"""Metrics of the worker, by no dimension but the function."""


def _alarms(synthesized: Synthesized) -> dict[str, dict[str, Any]]:
    """Name without the deployment's -> properties."""
    found = synthesized.stateless.resources("AWS::CloudWatch::Alarm").values()
    return {each["AlarmName"].rpartition("-")[2]: each for each in found}


def _read(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics that an alarm reads."""
    if "MetricName" in alarm:
        return [alarm]
    return [
        {"Dimensions": [], **each["MetricStat"]["Metric"], "Period": each["MetricStat"]["Period"]}
        for each in alarm["Metrics"]
        if "MetricStat" in each
    ]


def _dimensions(alarm: dict[str, Any]) -> list[str]:
    return [json.dumps(each["Value"]) for metric in _read(alarm) for each in metric["Dimensions"]]


def test_every_alarm_has_a_row_in_the_runbook(synthesized: Synthesized, staging: Synthesized) -> None:
    """No alarm without a row that says what to do, and no row without an alarm."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", RUNBOOK, re.MULTILINE)
    assert {name for name, _, _ in rows} == _alarms(synthesized).keys() == _alarms(staging).keys()
    assert all(len(meaning) > 40 and len(action) > 30 for _, meaning, action in rows)


def test_every_dead_letter_queue_is_watched(synthesized: Synthesized) -> None:
    """One message in any dead-letter queue raises the alarm: of providers, of the drop folder, of uploads."""
    alarm = _alarms(synthesized)["DeadLetters"]
    assert alarm["Threshold"] == 1
    queues = synthesized.stateless.resources("AWS::SQS::Queue")
    dead_letters = {name for name, queue in queues.items() if "RedrivePolicy" not in queue}
    assert len(dead_letters) == 7
    assert set(_dimensions(alarm)) == {json.dumps({"Fn::GetAtt": [name, "QueueName"]}) for name in dead_letters}


def test_a_lane_that_stands_still_is_noticed_within_minutes(synthesized: Synthesized) -> None:
    """Blocked: after a minute. In trouble: after fifteen. Errors of our own: in two of three periods of five."""
    alarms = _alarms(synthesized)
    blocked, trouble, errors = alarms["LaneBlocked"], alarms["LaneOpen"], alarms["ShardErrors"]
    assert (blocked["MetricName"], blocked["Period"], blocked["DatapointsToAlarm"]) == ("LanesBlocked", 60, 1)
    assert (trouble["MetricName"], trouble["Period"] * trouble["EvaluationPeriods"]) == ("LanesOpen", 900)
    assert (errors["MetricName"], errors["DatapointsToAlarm"], errors["EvaluationPeriods"]) == ("ShardErrors", 2, 3)
    for alarm in (blocked, trouble, errors):
        assert alarm["Namespace"] == "batchyard"
        assert alarm["Dimensions"] == [{"Name": "service", "Value": "work"}]
        assert alarm["Threshold"] == 1


def test_a_batch_near_its_deadline_is_noticed(synthesized: Synthesized) -> None:
    """Two hours before the oldest of a window of 24 hours expires; no data means that no batch is open."""
    alarm = _alarms(synthesized)["DeadlineNear"]
    assert (alarm["MetricName"], alarm["Statistic"]) == ("OldestBatchSecondsLeft", "Minimum")
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanOrEqualToThreshold", 7200)
    assert alarm["TreatMissingData"] == "notBreaching"


def test_a_sweep_that_stopped_is_noticed(synthesized: Synthesized) -> None:
    """Ten minutes without a sweep that ended well, whether it fails or nothing invokes it. Only for this alarm, missing
    data is trouble."""
    alarms = _alarms(synthesized)
    alarm = alarms["SweepStopped"]
    (expression,) = [each["Expression"] for each in alarm["Metrics"] if "Expression" in each]
    assert expression == "invocations - errors"
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanOrEqualToThreshold", 0)
    assert sum(each["Period"] for each in _read(alarm)) * alarm["EvaluationPeriods"] // 2 == 600
    assert {name for name, each in alarms.items() if each["TreatMissingData"] == "breaching"} == {"SweepStopped"}


def test_an_upload_that_cannot_be_joined_leaves_a_letter(synthesized: Synthesized) -> None:
    """After Lambda's third try the event goes to a watched queue instead of nowhere."""
    functions = synthesized.stateless.resources("AWS::Lambda::Function")
    by_function = {
        functions[each["FunctionName"]["Ref"]]["FunctionName"]: each
        for each in synthesized.stateless.resources("AWS::Lambda::EventInvokeConfig").values()
    }
    assert by_function["batchyard-jobs"]["MaximumRetryAttempts"] == 0, "Sweep starts it again"
    retries = by_function["batchyard-assemble"]
    assert retries["MaximumRetryAttempts"] == 2
    (queue, _) = retries["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"]
    queues = synthesized.stateless.resources("AWS::SQS::Queue")
    assert queues[queue]["QueueName"] == "batchyard-assemble-dead-letters"


def test_limits_of_the_account_are_noticed(synthesized: Synthesized) -> None:
    """Throttled functions, throttled requests of the table, and events that EventBridge could not hand over."""
    alarms = _alarms(synthesized)
    functions = synthesized.stateless.resources("AWS::Lambda::Function")
    throttled = {
        functions[json.loads(each)["Ref"]]["FunctionName"] for each in _dimensions(alarms["FunctionsThrottled"])
    }
    assert throttled == {"batchyard-work", "batchyard-drop", "batchyard-batches"}
    assert {each["MetricName"] for each in _read(alarms["TableThrottled"])} == {
        "ReadThrottleEvents",
        "WriteThrottleEvents",
    }
    (rule,) = _dimensions(alarms["FailedDeliveries"])
    rules = synthesized.stateless.resources("AWS::Events::Rule")
    assert "EventPattern" in rules[json.loads(rule)["Ref"]]


def test_spending_is_watched_against_the_operators_limit(synthesized: Synthesized, staging: Synthesized) -> None:
    """Dollars of the deployment's file against a day's micro-dollars of ended batches."""
    for template, dollars in ((synthesized, 100), (staging, 5)):
        alarm = _alarms(template)["SpendPerDay"]
        assert (alarm["MetricName"], alarm["Statistic"], alarm["Period"]) == ("CostMicrousd", "Sum", 86_400)
        assert alarm["Threshold"] == dollars * 1_000_000


def test_sums_ignore_what_has_no_data(synthesized: Synthesized) -> None:
    """SQS sends no metric for an idle queue, and m1 + m2 has no value when one of them has none; SUM has. An alarm
    takes ten metrics at most, and no search."""
    for name, alarm in _alarms(synthesized).items():
        for expression in [each["Expression"] for each in alarm.get("Metrics", ()) if "Expression" in each]:
            assert "SEARCH" not in expression, name
            assert expression.startswith(("SUM([", "invocations - errors", "IF(failed + succeeded")), name
        assert len(_read(alarm)) <= 10, name


def test_technical_and_business_alarms_go_apart(synthesized: Synthesized) -> None:
    """Every alarm says what to do, goes to one of two topics, and both topics have alarms."""
    alarms = synthesized.stateless.resources("AWS::CloudWatch::Alarm")
    topics: dict[str, set[str]] = {}
    for name, alarm in alarms.items():
        assert len(alarm["AlarmDescription"]) > 40, name
        (topic,) = alarm["AlarmActions"]
        topics.setdefault(topic["Ref"], set()).add(name)
    business, technical = sorted(topics.values(), key=len)
    assert all(name.startswith("BusinessAlarms") for name in business)
    assert all(name.startswith("TechnicalAlarms") for name in technical)


def test_topics_are_encrypted_and_cloudwatch_may_publish(synthesized: Synthesized) -> None:
    """Topics are under the deployment's key, which lets CloudWatch in, refuse plain HTTP, and take alarms only."""
    topics = synthesized.stateless.resources("AWS::SNS::Topic").values()
    assert len(topics) == 2
    assert all("KmsMasterKeyId" in topic for topic in topics)
    assert not synthesized.stateless.resources("AWS::KMS::Key")
    (key,) = synthesized.stateful.resources("AWS::KMS::Key").values()
    (cloudwatch,) = [
        each for each in key["KeyPolicy"]["Statement"] if each["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    ]
    assert cloudwatch["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
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


def test_the_dashboard_is_a_choice_and_small_enough_to_be_free(synthesized: Synthesized, staging: Synthesized) -> None:
    """It has our own metrics by the names that handlers emit, beside AWS's; no more than 50, above which CloudWatch
    charges for the first dashboard too."""
    assert not synthesized.stateless.resources("AWS::CloudWatch::Dashboard")
    (dashboard,) = staging.stateless.resources("AWS::CloudWatch::Dashboard").values()
    text = json.dumps(dashboard["DashboardBody"])
    assert dashboard["DashboardName"] == "batchyard-staging"
    for metric in ("ApproximateAgeOfOldestMessage", "ExecutionsFailed", "Throttles", "BatchesEnded", "ItemsFailed"):
        assert metric in text, metric
    series = re.findall(r'\[\\"AWS/', text) + re.findall(r'\[\\"batchyard-staging', text)
    assert 30 < len(series) + text.count("SEARCH(") <= 50


def test_our_own_metrics_are_those_that_handlers_emit(synthesized: Synthesized, staging: Synthesized) -> None:
    """Each metric of our own that an alarm or the dashboard reads is emitted by some handler, and the other way round:
    none is emitted, and paid for, that nobody reads."""
    (dashboard,) = staging.stateless.resources("AWS::CloudWatch::Dashboard").values()
    code = "".join(path.read_text() for path in (ROOT / "functions" / "batchyard" / "handlers").glob("*.py"))
    own = {metric["MetricName"] for alarm in _alarms(staging).values() for metric in _read(alarm)} - AWS_METRICS
    own |= set(re.findall(r"\b(?:Batches|Items|Cost|Provider)[A-Z][A-Za-z]+", json.dumps(dashboard["DashboardBody"])))
    own = {name for name in own if not name.startswith("ProviderQueues")}
    assert own >= {"BatchesEnded", "CostMicrousd", "ItemsFailed", "ProviderThrottles", "OldestBatchSecondsLeft"} | LANES
    assert {name for name in own if f'"{name}"' not in code} == set()
