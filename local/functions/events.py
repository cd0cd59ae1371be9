"""Plays EventBridge: events of objects that were created, for buckets that send them to EventBridge, and rules with a
schedule.

Rules come from the template. Played of a pattern: exact values and `prefix`. Targets: queues and functions. Schedules:
`rate(…)`; a `cron(…)` only fires on demand.
"""

from __future__ import annotations

import datetime
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

from local.deployment.declared import ACCOUNT_ID, REGION, Rule, RuleTarget
from local.functions.invocation import Functions
from local.http_server import Request, Response
from local.iam.queue_policies import may_send
from local.meter import Meter
from local.simulated_aws.calls import Call
from local.simulated_aws.gate import MotoGate

log = logging.getLogger(__name__)

_REASONS = {
    "PutObject": "PutObject",
    "PostObject": "POST Object",
    "CopyObject": "CopyObject",
    "CompleteMultipartUpload": "CompleteMultipartUpload",
}
_RATE = re.compile(r"rate\((\d+) (second|minute|hour|day)s?\)")
_MINUTE_SECONDS = 60
_UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


class EventBus:
    def __init__(self, *, gate: MotoGate, functions: Functions, meter: Meter, wake: Callable[[str], None]) -> None:
        self._gate = gate
        self._functions = functions
        self._meter = meter
        self._wake = wake
        self._rules: list[Rule] = []
        self._buckets: set[str] = set()
        self._closing = threading.Event()

    def start(self, rules: list[Rule], buckets: set[str], *, minute_seconds: float | None) -> None:
        """`minute_seconds`: how long a minute of a schedule lasts; None: rules fire only by `fire`."""
        self._rules = rules
        self._buckets = buckets
        for rule in rules:
            seconds = _interval_seconds(rule)
            if minute_seconds is not None and seconds is not None:
                every = seconds / _MINUTE_SECONDS * minute_seconds
                threading.Thread(target=self._tick, args=(rule, every), name=rule.name, daemon=True).start()

    def close(self) -> None:
        self._closing.set()

    def on_call(self, call: Call, request: Request, response: Response) -> None:
        """Called by the endpoint after each AWS call. A call that created an object in a bucket with EventBridge
        becomes an event."""
        if call.service != "s3" or call.bucket not in self._buckets or response.status != 200:
            return
        if call.operation in _REASONS and b"<Error>" not in response.body[:200]:
            self.publish("aws.s3", "Object Created", self._created(call, request), [f"arn:aws:s3:::{call.bucket}"])

    def publish(self, source: str, detail_type: str, detail: Mapping[str, Any], resources: list[str]) -> None:
        event = _event(source, detail_type, detail, resources)
        for rule in self._rules:
            if rule.pattern is not None and matches(rule.pattern, event):
                self._send(rule, event)

    def fire(self, name: str) -> int:
        """Runs the scheduled rules that have the function `name` as a target; returns how many."""
        wanted = [
            rule
            for rule in self._rules
            if rule.schedule is not None and any(self._is(target.arn, name) for target in rule.targets)
        ]
        for rule in wanted:
            self._send(rule, _event("aws.events", "Scheduled Event", {}, [_rule_arn(rule)]))
        return len(wanted)

    def _is(self, arn: str, name: str) -> bool:
        return ":lambda:" in arn and self._functions.get(arn).config.name == name

    def _tick(self, rule: Rule, seconds: float) -> None:
        while not self._closing.wait(seconds):
            self._send(rule, _event("aws.events", "Scheduled Event", {}, [_rule_arn(rule)]))

    def _send(self, rule: Rule, event: Mapping[str, Any]) -> None:
        for target in rule.targets:
            payload = target.input.encode() if target.input is not None else orjson.dumps(event)
            service = target.arn.split(":")[2]
            if service == "lambda":
                self._functions.invoke_async(target.arn, payload)
            elif service == "sqs":
                self._hand_over(rule, target, payload.decode())
            else:
                log.warning("rule %s: no local target for %s", rule.name, target.arn)

    def _hand_over(self, rule: Rule, target: RuleTarget, body: str) -> None:
        """To the target's queue; to the dead letters if its policy forbids that, which EventBridge does not try again;
        else nowhere. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html"""
        with self._gate.lock("sqs"):
            queues = [arn for arn in (target.arn, target.dead_letters) if arn is not None and may_send(rule, arn)]
        if target.arn not in queues:
            self._meter.count_failed_delivery(rule.name)
            log.warning("rule %s: %s may not be sent to", rule.name, target.arn)
        if queues:
            self.send_to_queue(queues[0], body)

    def send_to_queue(self, arn: str, body: str) -> None:
        """As AWS itself does it: for a rule, or for an asynchronous event that failed for good."""
        name = arn.rpartition(":")[2]
        with self._gate.lock("sqs"):
            sqs_backends[ACCOUNT_ID][REGION].send_message(name, body)
        self._wake(name)

    def _created(self, call: Call, request: Request) -> dict[str, Any]:
        with self._gate.lock("s3"):
            key = s3_backends[ACCOUNT_ID]["aws"].get_object(call.bucket, call.key)
        described: dict[str, Any] = {"key": call.key, "sequencer": f"{time.time_ns():016X}"}
        if key is not None:
            described |= {"size": key.size, "etag": key.etag.strip('"')}
            if key.version_id != "null":
                described["version-id"] = key.version_id
        return {
            "version": "0",
            "bucket": {"name": call.bucket},
            "object": described,
            "request-id": uuid.uuid4().hex[:16].upper(),
            "requester": ACCOUNT_ID,
            "source-ip-address": request.client,
            "reason": _REASONS[call.operation],
        }


def matches(pattern: Any, event: Any) -> bool:
    """Whether every field of the pattern is in the event, with one of the values listed for it.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html"""
    if isinstance(pattern, dict):
        return all(
            matches(filters, event.get(name) if isinstance(event, dict) else None) for name, filters in pattern.items()
        )
    values = event if isinstance(event, list) else [event]
    return any(_fits(wanted, value) for wanted in pattern for value in values)


def _fits(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, dict):
        return bool(wanted == value)
    if wanted.keys() != {"prefix"}:
        raise ValueError(f"the event filter {wanted!r} is not played by the local cloud")
    return isinstance(value, str) and value.startswith(wanted["prefix"])


def _event(source: str, detail_type: str, detail: Mapping[str, Any], resources: list[str]) -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": ACCOUNT_ID,
        "time": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": resources,
        "detail": detail,
    }


def _rule_arn(rule: Rule) -> str:
    return f"arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{rule.name}"


def _interval_seconds(rule: Rule) -> float | None:
    if rule.schedule is None:
        return None
    match = _RATE.fullmatch(rule.schedule)
    if match is None:
        log.info("rule %s: %s fires only on demand", rule.name, rule.schedule)
        return None
    return float(match[1]) * _UNIT_SECONDS[match[2]]
