"""Alarms that say something is broken, whoever's batch it hits. Each description says what to do about it."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra import metrics
from infra.watched import Watched

_MINUTES_5 = Duration.minutes(5)
_OLDEST_MESSAGE_SECONDS = 3600


class TechnicalAlarms(Construct):
    def __init__(self, scope: Construct, name: str, *, topic: sns.Topic, watched: Watched) -> None:
        super().__init__(scope, name)
        self._action = actions.SnsAction(topic)
        for each, queue in watched.dead_letters.items():
            self._alarm(
                f"{each}DeadLetters",
                queue.metric_approximate_number_of_messages_visible(period=_MINUTES_5, statistic="Maximum"),
                "A message was given up after its last try. Read why in the function's log, then redrive the queue.",
            )
        for each, queue in watched.queues.items():
            self._alarm(
                f"{each}Age",
                queue.metric_approximate_age_of_oldest_message(period=_MINUTES_5, statistic="Maximum"),
                "Work has waited for an hour. Is the provider down, or its maximum concurrency too low?",
                threshold=_OLDEST_MESSAGE_SECONDS,
                periods=3,
            )
        for each, metric in {
            "Failed": watched.state_machine.metric_failed(period=_MINUTES_5),
            "TimedOut": watched.state_machine.metric_timed_out(period=_MINUTES_5),
            "Throttled": watched.state_machine.metric_throttled(period=_MINUTES_5),
        }.items():
            self._alarm(
                f"Executions{each}",
                metric,
                "An execution ended without its batch. Sweep starts it again; the execution's history says which step.",
            )
        for each, function in watched.functions.all.items():
            title = each.capitalize()
            self._alarm(
                f"{title}Errors",
                function.function.metric_errors(period=_MINUTES_5),
                f"The function {each} raises or times out. Nothing is lost: its trigger tries again. Read its log.",
                periods=2,
            )
            self._alarm(
                f"{title}Throttles",
                function.function.metric_throttles(period=_MINUTES_5),
                f"The function {each} is refused concurrency. Raise its reservation or the account's limit.",
                periods=3,
            )
        self._alarm(
            "BatchesGivenUp",
            metrics.batches_given_up(),
            "A batch was closed as failed after its last execution, with what it had. Its log says which step broke.",
        )
        self._alarm(
            "ApiErrors",
            watched.api.metric_server_error(period=_MINUTES_5, statistic="Sum"),
            "The API answers 5xx. Read the access log, then the function's log by request id.",
            threshold=5,
        )

    def _alarm(
        self, name: str, metric: cloudwatch.Metric, description: str, *, threshold: float = 1, periods: int = 1
    ) -> None:
        alarm = metric.create_alarm(
            self,
            name[0].upper() + name[1:],
            alarm_description=description,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(self._action)
