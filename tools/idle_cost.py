"""What a deployment costs while nobody uses it: each line from the synthesized templates and AWS's list prices.

    make cost                          deployments/local.toml, which has every setting at its default
    make cost DEPLOYMENT=production

Prices are those of us-east-1 in November 2026, in dollars, without any free tier.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
Resource = Mapping[str, Any]

_MONTH_SECONDS = 30 * 24 * 3600

_KMS_KEY = 1.00
_SECRET = 0.40
_ALARM_METRIC = 0.10
"""For each metric that an alarm reads, at standard resolution."""
_DASHBOARD = 3.00
_FIREWALL, _FIREWALL_RULE = 5.00, 1.00
_SQS_REQUEST = 0.40e-6
_INVOCATION, _GIGABYTE_SECOND = 0.20e-6, 0.0000133334
"""Lambda on arm64."""
_TRACE = 5.00e-6
_READ = 0.125e-6
"""A read unit of DynamoDB on demand."""
_LOG_GIGABYTE = 0.50

_POLLS_AT_ONCE, _POLL_SECONDS = 5, 20
"""An event source keeps five long polls open on an idle queue.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"""
_SWEEP_SECONDS, _SWEEP_READS, _SWEEP_LOG_BYTES = 0.3, 3, 1500
_SECRETS = 1
_KEPT = 0.05
"""Storage of table, buckets and logs in a deployment that is hardly used: a guess, not a calculation."""


@dataclass(frozen=True, slots=True)
class Line:
    """`dollars` a month for `count` of `what`."""

    what: str
    count: int
    dollars: float


def idle_lines(resources: Iterable[Resource]) -> list[Line]:
    """What the resources of all stacks cost idle, without what costs nothing."""
    found = list(resources)
    lines = [
        _line("KMS key", _of(found, "AWS::KMS::Key"), _KMS_KEY),
        Line("secret, one provider's key", _SECRETS, _SECRETS * _SECRET),
        Line("metric read by an alarm", (read := sum(map(_metrics_read, _alarms(found)))), read * _ALARM_METRIC),
        _line("dashboard", _of(found, "AWS::CloudWatch::Dashboard"), _DASHBOARD),
        _line("queue that Lambda polls", _of(found, "AWS::Lambda::EventSourceMapping"), _poller()),
        *_schedules(found),
        _line("web ACL", _of(found, "AWS::WAFv2::WebACL"), _FIREWALL),
        _line("web ACL's rule", _rules(found), _FIREWALL_RULE),
        Line("rows, objects and logs that are kept (a guess)", 1, _KEPT),
    ]
    return [line for line in lines if line.count]


def total(lines: Iterable[Line]) -> float:
    return sum(line.dollars for line in lines)


def table(lines: list[Line]) -> str:
    """Markdown, as docs/deploy.md has it."""
    rows = [f"| {line.what} | {line.count} | {line.dollars:.2f} |" for line in lines]
    return "\n".join(
        ["| what | count | dollars a month |", "|---|---|---|", *rows, f"| total | | {total(lines):.2f} |"]
    )


def read(folder: Path) -> Iterator[Resource]:
    """The resources of every template that a synth wrote to `folder`."""
    for path in sorted(folder.glob("*.template.json")):
        yield from json.loads(path.read_text())["Resources"].values()


def _of(resources: list[Resource], kind: str) -> list[Resource]:
    return [each.get("Properties", {}) for each in resources if each["Type"] == kind]


def _line(what: str, resources: list[Resource], dollars: float) -> Line:
    return Line(what, len(resources), len(resources) * dollars)


def _alarms(resources: list[Resource]) -> list[Resource]:
    return _of(resources, "AWS::CloudWatch::Alarm")


def _metrics_read(alarm: Resource) -> int:
    return 1 if "MetricName" in alarm else sum("MetricStat" in each for each in alarm["Metrics"])


def _rules(resources: list[Resource]) -> list[Resource]:
    return [rule for acl in _of(resources, "AWS::WAFv2::WebACL") for rule in acl["Rules"]]


def _poller() -> float:
    return _POLLS_AT_ONCE * _MONTH_SECONDS / _POLL_SECONDS * _SQS_REQUEST


def _schedules(resources: list[Resource]) -> Iterator[Line]:
    """A function that a schedule invokes: Sweep, which has nothing to do when nothing is open."""
    (sweep,) = [each for each in _of(resources, "AWS::Lambda::Function") if ".sweep." in each["Handler"]]
    run = (
        _INVOCATION
        + sweep["MemorySize"] / 1024 * _SWEEP_SECONDS * _GIGABYTE_SECOND
        + (_TRACE if "TracingConfig" in sweep else 0)
        + _SWEEP_READS * _READ
        + _SWEEP_LOG_BYTES / 1e9 * _LOG_GIGABYTE
    )
    for rule in _of(resources, "AWS::Events::Rule"):
        if every := re.fullmatch(r"rate\((\d+) minutes?\)", rule.get("ScheduleExpression", "")):
            runs = _MONTH_SECONDS // (60 * int(every[1]))
            yield Line("sweep, every minute", runs, runs * run)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "infra" / "app.py"), *sys.argv[1:]]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"CDK_OUTDIR": folder}, check=True)
        sys.stdout.write(table(idle_lines(read(Path(folder)))) + "\n")


if __name__ == "__main__":
    main()
