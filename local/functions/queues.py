"""Plays Lambda's SQS event source: takes messages from moto's queues, invokes the function, and deletes the messages
that it dealt with.

One dispatcher thread per event source sleeps until a message is due and an invocation may start; nothing polls. A
message whose invocation failed or was throttled stays invisible until its visibility timeout ends, as in AWS, and the
receive counts; `redelivery_seconds` shortens that for tests. moto's own event source (all or nothing, called from
within SendMessage) is not used: event source mappings are never deployed into moto. Which of the waiting messages comes
next: fair_queues.py.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
from moto.sqs.models import Message, Queue, sqs_backends
from moto.sqs.utils import generate_receipt_handle

from local.deployment.declared import ACCOUNT_ID, REGION, EventSource
from local.functions.fair_queues import NOISY_MESSAGES, Backlog, next_fairly
from local.functions.invocation import Function, Functions, Throttled
from local.meter import Meter
from local.simulated_aws.gate import MotoGate

log = logging.getLogger(__name__)

LONGEST_SLEEP_SECONDS = 5.0
_MAX_EVENT_BYTES = 6_000_000


@dataclass(slots=True)
class DeliverySwitches:
    """`duplicate`: every message is delivered twice, at the same time. `visibility_seconds`: overrides the queues' own.
    `redelivery_seconds`: how soon a failed record comes back; None leaves it to the visibility timeout.
    `noisy_messages`: how many of a group's messages must be in flight before others go first; a small machine may never
    have as many in flight as AWS asks for."""

    duplicate: bool = False
    visibility_seconds: float | None = None
    redelivery_seconds: float | None = None
    noisy_messages: int = NOISY_MESSAGES


class QueuePoller:
    """`wake` must be called after every SQS call that may have made a message due."""

    def __init__(self, *, gate: MotoGate, functions: Functions, meter: Meter, switches: DeliverySwitches) -> None:
        self._gate = gate
        self._functions = functions
        self._meter = meter
        self.switches = switches
        self._sources: list[_Source] = []

    def start(self, sources: list[EventSource]) -> None:
        for source in sources:
            queue = sqs_backends[ACCOUNT_ID][REGION].queues[source.queue_name]
            function = self._functions.get(source.function)
            self._sources.append(_Source(source, queue, function, self._gate, self._meter, self.switches))

    def wake(self, queue_name: str | None = None) -> None:
        for source in self._sources:
            if queue_name in (None, source.source.queue_name):
                source.wake()

    def close(self) -> None:
        for source in self._sources:
            source.close()

    def depths(self) -> dict[str, int]:
        """Messages per queue of the account, in flight or not."""
        with self._gate.lock("sqs"):
            return {name: len(queue._messages) for name, queue in sqs_backends[ACCOUNT_ID][REGION].queues.items()}


class _Source:
    def __init__(
        self,
        source: EventSource,
        queue: Queue,
        function: Function,
        gate: MotoGate,
        meter: Meter,
        switches: DeliverySwitches,
    ) -> None:
        self.source = source
        self._queue = queue
        self._function = function
        self._gate = gate
        self._meter = meter
        self._switches = switches
        self._changed = threading.Condition()
        self._woken = True
        self._closed = False
        self._running = 0
        self._limit = min(source.maximum_concurrency or function.cap, function.cap)
        # Twice as many, because a duplicate runs beside the delivery that it repeats.
        self._workers = ThreadPoolExecutor(2 * self._limit, thread_name_prefix=f"source-{source.queue_name}")
        threading.Thread(target=self._dispatch, name=f"source-{source.queue_name}", daemon=True).start()

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _dispatch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._running < self._limit)
                if self._closed:
                    return
                self._woken = False
            records, pause_seconds = self._take()
            if records:
                with self._changed:
                    self._running += 1
                self._workers.submit(self._deliver, records)
                if self._switches.duplicate:
                    self._workers.submit(self._repeat, records)
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._woken, pause_seconds)

    def _take(self) -> tuple[list[dict[str, Any]], float]:
        """(records of messages that are due, which are invisible from now on; seconds until the next message may be
        due)"""
        now = time.time()
        with self._gate.lock("sqs"):
            due, next_due = self._due(now)
            due = self._without_dead_letters(due)
            oldest = min((_due_at(message) for message in due), default=now)
            window_ends = oldest + self.source.window_seconds
            if due and len(due) < self.source.batch_size and now < window_ends:
                return [], min(next_due, window_ends) - now
            records = []
            size = 0
            backlog = Backlog(self._in_flight(now), self._switches.noisy_messages)
            waiting = [(_group(message), message) for message in due]
            for message in next_fairly(waiting, backlog, self.source.batch_size):
                size += len(message.body)
                if size > _MAX_EVENT_BYTES:
                    break
                records.append(self._record(message, now))
        if records:
            self._meter.count("event-source", "sqs", "ReceiveMessage")
        return records, max(0.001, next_due - now + 0.001)

    def _due(self, now: float) -> tuple[list[Message], float]:
        """(the messages that are visible now; when the next one may be, but no later than after a short sleep)"""
        due = []
        next_due = now + LONGEST_SLEEP_SECONDS
        for message in self._queue._messages:
            visible_at = max(message.visible_at, message.delayed_until) / 1000
            if visible_at <= now:
                due.append(message)
            else:
                next_due = min(next_due, visible_at)
        return due, next_due

    def _in_flight(self, now: float) -> Counter[str]:
        """How many messages of each group were received and are neither deleted nor visible again."""
        return Counter(
            _group(message)
            for message in self._queue._messages
            if message.approximate_receive_count and message.visible_at / 1000 > now
        )

    def _without_dead_letters(self, due: list[Message]) -> list[Message]:
        queue = self._queue
        if queue.dead_letter_queue is None or not queue.redrive_policy:
            return due
        most = queue.redrive_policy["maxReceiveCount"]
        dead = [message for message in due if message.approximate_receive_count >= most]
        for message in dead:
            queue._messages.remove(message)
            queue.pending_messages.discard(message)
            queue.dead_letter_queue.add_message(message)
            log.warning("message %s of %s went to the dead-letter queue", message.id, queue.name)
        return [message for message in due if message not in dead]

    def _record(self, message: Message, now: float) -> dict[str, Any]:
        """Receives the message, as ReceiveMessage would: it is invisible from now on and has a new receipt handle."""
        visibility_seconds = self._switches.visibility_seconds
        if visibility_seconds is None:
            visibility_seconds = float(self._queue.visibility_timeout)  # type: ignore[attr-defined]
        message.visible_at = (now + visibility_seconds) * 1000
        message.approximate_first_receive_timestamp = message.approximate_first_receive_timestamp or int(now * 1000)
        message.approximate_receive_count += 1
        if message.receipt_handle is not None:
            message._old_receipt_handles.append(message.receipt_handle)
        message.receipt_handle = generate_receipt_handle()
        self._queue.pending_messages.add(message)
        group = {} if message.group_id is None else {"MessageGroupId": message.group_id}
        return {
            "messageId": message.id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": str(message.approximate_receive_count),
                "SentTimestamp": str(message.sent_timestamp),
                "SenderId": message.sender_id,
                "ApproximateFirstReceiveTimestamp": str(message.approximate_first_receive_timestamp),
                **group,
            },
            "messageAttributes": {},
            "md5OfBody": message.body_md5,
            "eventSource": "aws:sqs",
            "eventSourceARN": self.source.queue_arn,
            "awsRegion": REGION,
        }

    def _deliver(self, records: list[dict[str, Any]]) -> None:
        try:
            failed = self._invoke(records)
            self._settle(records, failed)
        except Exception:
            log.exception("event source of %s", self.source.queue_name)
        finally:
            with self._changed:
                self._running -= 1
                self._woken = True
                self._changed.notify_all()

    def _repeat(self, records: list[dict[str, Any]]) -> None:
        try:
            self._invoke(records)
        except Exception:
            log.exception("second delivery of %s", self.source.queue_name)

    def _invoke(self, records: list[dict[str, Any]]) -> set[str]:
        """Returns the ids of the messages that failed; after a throttled invoke, all of them did."""
        everything = {record["messageId"] for record in records}
        try:
            result = self._function.invoke(orjson.dumps({"Records": records}))
        except Throttled:
            return everything
        if result.error is not None:
            return everything
        return _reported_failures(result.payload, everything) if self.source.reports_failures else set()

    def _settle(self, records: list[dict[str, Any]], failed: set[str]) -> None:
        handled = {record["receiptHandle"] for record in records if record["messageId"] not in failed}
        handles = {record["receiptHandle"] for record in records}
        with self._gate.lock("sqs"):
            queue = self._queue
            kept = []
            for message in queue._messages:
                receipts = {receipt for receipt in message.all_receipt_handles if receipt is not None}
                if handled & receipts:
                    queue.pending_messages.discard(message)
                    queue.deleted_messages |= receipts
                    continue
                kept.append(message)
                soon = self._switches.redelivery_seconds
                if soon is not None and message.id in failed and message.receipt_handle in handles:
                    message.visible_at = min(message.visible_at, time.time() * 1000 + soon * 1000)
            queue._messages[:] = kept
        if handled:
            self._meter.count("event-source", "sqs", "DeleteMessageBatch")


def _reported_failures(payload: bytes, everything: set[str]) -> set[str]:
    """The ids of the messages that failed. All of `everything` failed if the reply cannot be parsed, or names a message
    that was not sent, as in AWS.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html"""
    try:
        answer = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return everything
    if answer is None:
        return set()
    failures = (answer.get("batchItemFailures") or []) if isinstance(answer, dict) else None
    if not isinstance(failures, list):
        return everything
    named = {str(failure.get("itemIdentifier") if isinstance(failure, dict) else None) for failure in failures}
    return named if named <= everything else everything


def _group(message: Message) -> str:
    """A message without a group is a tenant of its own."""
    return message.group_id if message.group_id is not None else f"message {message.id}"


def _due_at(message: Message) -> float:
    """When the message was due for the first time."""
    return max(message.sent_timestamp or 0, message.delayed_until) / 1000
