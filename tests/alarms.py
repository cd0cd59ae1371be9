"""The alarms of the template, as CloudWatch would judge them by what a running local cloud has done.

All that happened since `Watch` was made counts as one period; periods are not waited for. What is measured where: own
metrics in the functions' logs (EMF), Lambda, EventBridge and API Gateway by the meter, queues and executions by asking
for them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.cloud import LocalCloud
from local.deployment import templates

_NAMES = ("FunctionName", "QueueName", "StateMachineName", "Name", "TableName")
_THROTTLED = {"ProvisionedThroughputExceededException", "ThrottlingException"}
_STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {"Sum": sum, "Maximum": max, "Minimum": min}


@dataclass(frozen=True)
class Metric:
    """`dimensions`: name -> value, references resolved."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str


class Watch:
    """What has happened since this was made."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._alarms = _alarms()
        self._read = {function: len(cloud.log(function)) for function in cloud.functions}
        self._depths_before = cloud.queue_depths()
        self._failed_before = self._executions_failed()
        cloud.reset_meter()

    def firing(self) -> set[str]:
        """The names, without the deployment's, of the alarms whose threshold is reached."""
        self._emitted = list(self._emf())
        self._meter = self._cloud.meter()
        return {name for name, alarm in self._alarms.items() if self._fires(alarm)}

    def _fires(self, alarm: Mapping[str, Any]) -> bool:
        value = self._value(alarm)
        if value is None:
            return bool(alarm["TreatMissingData"] == "breaching")
        if alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold":
            return bool(value >= alarm["Threshold"])
        assert alarm["ComparisonOperator"] == "LessThanOrEqualToThreshold"
        return bool(value <= alarm["Threshold"])

    def _value(self, alarm: Mapping[str, Any]) -> float | None:
        if "MetricName" in alarm:
            return self._measure(alarm["_metrics"][""])
        known = {id: self._measure(metric) for id, metric in alarm["_metrics"].items()}
        return _evaluate(alarm["_expression"], known)

    def _measure(self, metric: Metric) -> float | None:
        found = self._datapoints(metric)
        return _STATISTICS[metric.statistic](found) if found else None

    def _datapoints(self, metric: Metric) -> list[float]:
        usage = self._meter["functions"].get(metric.dimensions.get("FunctionName", "").partition("-")[2], {})
        match metric.namespace, metric.name:
            case "AWS/Lambda", name:
                return [usage[name.lower()]] if usage else []
            case "AWS/SQS", "ApproximateNumberOfMessagesVisible":
                name = metric.dimensions["QueueName"]
                return [self._cloud.queue_depths()[name] - self._depths_before[name]]
            case "AWS/States", "ExecutionsFailed":
                return [self._executions_failed() - self._failed_before]
            case "AWS/ApiGateway", "5XXError":
                return [self._meter["api_server_errors"]]
            case "AWS/DynamoDB", _:
                faults = [each for each in self._cloud.faults() if each["code"] in _THROTTLED]
                return [sum(each["fired"] for each in faults)] if faults else []
            case "AWS/Events", "FailedInvocations":
                failed = self._meter["failed_deliveries"].get(metric.dimensions["RuleName"])
                return [failed] if failed else []
        assert not metric.namespace.startswith("AWS/"), f"nobody measures {metric}"
        return [
            value
            for each, value in self._emitted
            if (each.namespace, each.name, each.dimensions) == (metric.namespace, metric.name, metric.dimensions)
        ]

    def _emf(self) -> Iterator[tuple[Metric, float]]:
        """Every value that functions have emitted."""
        for function in self._cloud.functions:
            for line in self._cloud.log(function)[self._read[function] :].splitlines():
                if '"_aws"' in line:
                    yield from _values(json.loads(line))

    def _executions_failed(self) -> int:
        client = self._cloud.client("stepfunctions")
        return sum(
            len(client.list_executions(stateMachineArn=arn, statusFilter="FAILED")["executions"])
            for arn in self._cloud.state_machines
        )


def _values(line: Mapping[str, Any]) -> Iterator[tuple[Metric, float]]:
    for directive in line["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = {name: str(line[name]) for name in names}
            for metric in directive["Metrics"]:
                values = line[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    yield Metric(directive["Namespace"], metric["Name"], dimensions, ""), value


def _evaluate(expression: str, known: Mapping[str, float | None]) -> float | None:
    """Metric math, of which alarms use SUM, IF and arithmetic. None if something that is needed has no data."""
    if listed := re.fullmatch(r"SUM\(\[(.+)\]\)", expression):
        there = [value for id in listed[1].split(", ") if (value := known[id]) is not None]
        return sum(there) if there else None
    if None in known.values():
        return None
    if choice := re.fullmatch(r"IF\((.+), (.+), (.+)\)", expression):
        test, then, otherwise = choice.groups()
        return _arithmetic(then if _arithmetic(test, known) else otherwise, known)
    return _arithmetic(expression, known)


def _arithmetic(expression: str, known: Mapping[str, float | None]) -> float:
    return float(eval(expression, {"__builtins__": {}}, dict(known)))


def _alarms() -> dict[str, dict[str, Any]]:
    """Name without the deployment's -> properties, with `_metrics` and `_expression` read out of them."""
    resources = templates.stacks()[-1].template["Resources"]

    def resolved(value: Any) -> str:
        if isinstance(value, str):
            return value
        reference = value.get("Ref") or value.get("Fn::GetAtt", [""])[0]
        properties = resources.get(reference, {}).get("Properties", {})
        return next((str(properties[name]) for name in _NAMES if isinstance(properties.get(name), str)), "")

    def metric(each: Mapping[str, Any], statistic: str) -> Metric:
        dimensions = {one["Name"]: resolved(one["Value"]) for one in each.get("Dimensions", ())}
        return Metric(each["Namespace"], each["MetricName"], dimensions, statistic)

    found = {}
    for resource in resources.values():
        if resource["Type"] != "AWS::CloudWatch::Alarm":
            continue
        alarm = dict(resource["Properties"])
        if "MetricName" in alarm:
            alarm["_metrics"] = {"": metric(alarm, alarm["Statistic"])}
        else:
            stats = {each["Id"]: each["MetricStat"] for each in alarm["Metrics"] if "MetricStat" in each}
            alarm["_metrics"] = {id: metric(stat["Metric"], stat["Stat"]) for id, stat in stats.items()}
            (alarm["_expression"],) = (each["Expression"] for each in alarm["Metrics"] if "Expression" in each)
        found[alarm["AlarmName"].rpartition("-")[2]] = alarm
    return found
