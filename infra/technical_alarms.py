"""Alarms about something that is broken, whichever batches it affects. Each description says what to do about it.

They are few on purpose: one per way in which work stops, not one per function. A function of the API that fails shows
as a 5xx, a step as a failed execution, an event's function as a dead letter.
"""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.alarm import Alarms, sum_of
from infra.deployment import Deployment
from infra.metrics import Metrics
from infra.watched import Watched

_MINUTES_5 = Duration.minutes(5)
_PART_OF_THE_WINDOW = 12
"""A batch that is open in the last twelfth of its completion window (two of 24 hours) may well expire."""
_THROTTLED = ("work", "drop", "batches")
"""The functions for which being throttled does harm that no other alarm shows: messages lose a try, or batches cannot
be made."""


class TechnicalAlarms(Alarms):
    def __init__(
        self, scope: Construct, name: str, *, deployment: Deployment, topic: sns.Topic, watched: Watched
    ) -> None:
        super().__init__(scope, name, deployment=deployment, topic=topic)
        metrics = Metrics(deployment.name)
        self._lanes(metrics)
        self._batches(metrics, watched, deployment.completion_window_seconds)
        self._events(watched)
        self._limits(watched)
        self.fires(
            "ApiErrors",
            watched.api.metric_server_error(period=_MINUTES_5, statistic="Sum"),
            "The API answers 5xx. Read the access log, then the function's log by request id.",
            threshold=5,
        )

    def _lanes(self, metrics: Metrics) -> None:
        self.fires(
            "LaneBlocked",
            metrics.lanes_blocked(),
            "A provider refuses the deployment's key, its account has no money, or its secret is missing. Batches wait "
            "for people: mend it, and they go on by themselves.",
            of_periods=(1, 5),  # a blocked lane is probed, and heard of, about once a minute
        )
        self.fires(
            "LaneOpen",
            metrics.lanes_open(),
            "A provider has been in trouble for a quarter of an hour. Batches wait; nothing is lost. See its status.",
            of_periods=(3, 3),
        )
        self.fires(
            "ShardErrors",
            metrics.shard_errors(),
            "Workers cannot work on shards, for a reason of our own. The worker's log has it under `shard failed`.",
            of_periods=(2, 3),
        )

    def _batches(self, metrics: Metrics, watched: Watched, window_seconds: int) -> None:
        self.fires_below(
            "DeadlineNear",
            metrics.oldest_batch_seconds_left(),
            "The oldest open batch is about to expire. Its lane is slow, blocked or starved: see the other alarms.",
            threshold=window_seconds // _PART_OF_THE_WINDOW,
        )
        self.fires(
            "ExecutionsFailed",
            watched.state_machine.metric_failed(period=_MINUTES_5),
            "An execution ended without its batch. Sweep starts it again; the execution's history says which step.",
        )
        self.fires(
            "BatchesGivenUp",
            metrics.batches_given_up(),
            "A batch was closed as failed after its last execution, with what it had. Its log says which step broke.",
        )
        sweep = watched.functions["sweep"].function
        self.fires_below(
            "SweepStopped",
            cloudwatch.MathExpression(
                expression="invocations - errors",
                using_metrics={
                    "invocations": sweep.metric_invocations(period=_MINUTES_5),
                    "errors": sweep.metric_errors(period=_MINUTES_5),
                },
                label="Sweeps that ended well",
                period=_MINUTES_5,
            ),
            "No sweep has ended well for ten minutes: what a crash leaves standing stays so. Read the sweep's log.",
            threshold=0,
            of_periods=(2, 2),
            silence_is_trouble=True,
        )
        errors = [watched.functions[name].function.metric_errors(period=_MINUTES_5) for name in ("work", "jobs")]
        (executors,) = sum_of(errors, label="Failed executors", period=_MINUTES_5)
        self.fires(
            "WorkerErrors",
            executors,
            "Executors (work, jobs) are killed or raise. Shards and jobs come back, and cost time. Read their logs.",
            of_periods=(2, 2),
        )

    def _events(self, watched: Watched) -> None:
        letters = [
            queue.metric_approximate_number_of_messages_visible(period=_MINUTES_5, statistic="Maximum")
            for queue in watched.dead_letters.values()
        ]
        for number, total in enumerate(sum_of(letters, label="Dead letters", period=_MINUTES_5)):
            self.fires(
                f"DeadLetters{number + 1 if number else ''}",
                total,
                "A message was given up after its last try. Read why in the function's log, then redrive the queue.",
            )
        self.fires(
            "FailedDeliveries",
            cloudwatch.Metric(
                namespace="AWS/Events",
                metric_name="FailedInvocations",
                dimensions_map={"RuleName": watched.drop_rule.rule_name},
                statistic="Sum",
                period=_MINUTES_5,
            ),
            "EventBridge could not hand over what was dropped. Is the drop queue's policy as it was deployed?",
        )

    def _limits(self, watched: Watched) -> None:
        throttles = [watched.functions[name].function.metric_throttles(period=_MINUTES_5) for name in _THROTTLED]
        (functions,) = sum_of(throttles, label="Throttled invocations", period=_MINUTES_5)
        self.fires(
            "FunctionsThrottled",
            functions,
            "Functions are refused concurrency: the account's limit is used up. Who else uses it? Ask for more.",
            of_periods=(3, 3),
        )
        kinds = ("ReadThrottleEvents", "WriteThrottleEvents")
        table = [watched.table.metric(kind, period=_MINUTES_5, statistic="Sum") for kind in kinds]
        (requests,) = sum_of(table, label="Throttled requests", period=_MINUTES_5)
        self.fires(
            "TableThrottled",
            requests,
            "DynamoDB refuses requests of the table: a hot row, or the account's limit. Contributor Insights tells.",
            threshold=10,
            of_periods=(2, 2),
        )
