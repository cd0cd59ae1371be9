"""One CloudWatch dashboard, top down: what customers get, how providers do, where work waits, what breaks."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.deployment import Deployment
from infra.metrics import Metrics
from infra.watched import Watched

_MINUTES_5 = Duration.minutes(5)
_BUSY = ("work", "validate", "finalize", "files", "batches", "results")
"""The functions whose figures a person looks at. A dashboard of up to 50 metrics may be free."""
_HALF, _THIRD = 12, 8


class Dashboard(Construct):
    def __init__(self, scope: Construct, name: str, *, deployment: Deployment, watched: Watched) -> None:
        super().__init__(scope, name)
        metrics = Metrics(deployment.name)
        functions = [watched.functions[each].function for each in _BUSY]
        cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=deployment.name,
            default_interval=Duration.hours(6),
            widgets=[
                [
                    _graph("Batches that ended, by status", [metrics.batches_by_status()], width=_THIRD),
                    _graph("Items by provider", metrics.items_by_provider(), width=_THIRD),
                    _graph("Cost (US dollars)", [metrics.cost_usd()], width=_THIRD),
                ],
                [
                    _graph(
                        "Executions",
                        [
                            watched.state_machine.metric_started(period=_MINUTES_5),
                            watched.state_machine.metric_succeeded(period=_MINUTES_5),
                            watched.state_machine.metric_failed(period=_MINUTES_5),
                        ],
                    ),
                    _graph(
                        "API",
                        [
                            watched.api.metric_count(period=_MINUTES_5, statistic="Sum"),
                            watched.api.metric_client_error(period=_MINUTES_5, statistic="Sum"),
                            watched.api.metric_server_error(period=_MINUTES_5, statistic="Sum"),
                        ],
                    ),
                ],
                [
                    _graph("Calls by provider", [metrics.calls_by_provider()], width=_THIRD),
                    _graph("Provider latency (p95, milliseconds)", [metrics.latency_by_provider()], width=_THIRD),
                    _graph("Answers of 429 by provider", [metrics.throttles_by_provider()], width=_THIRD),
                ],
                [
                    _graph(
                        "Shards waiting",
                        [_waiting(name, queue) for name, queue in watched.queues.items()],
                        width=_THIRD,
                    ),
                    _graph(
                        "Oldest shard (seconds)",
                        [_age(name, queue) for name, queue in watched.queues.items()],
                        width=_THIRD,
                    ),
                    _graph(
                        "Dead letters",
                        [_waiting(name, queue) for name, queue in watched.dead_letters.items()],
                        width=_THIRD,
                    ),
                ],
                [
                    _graph(
                        "Function duration (p95, milliseconds)",
                        [each.metric_duration(period=_MINUTES_5, statistic="p95") for each in functions],
                    ),
                    _graph(
                        "Function errors and throttles",
                        [each.metric_errors(period=_MINUTES_5) for each in functions]
                        + [each.metric_throttles(period=_MINUTES_5) for each in functions],
                    ),
                ],
            ],
        )


def _graph(title: str, left: Sequence[cloudwatch.IMetric], *, width: int = _HALF) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(left), width=width, height=7)


def _waiting(name: str, queue: sqs.Queue) -> cloudwatch.Metric:
    return queue.metric_approximate_number_of_messages_visible(period=_MINUTES_5, statistic="Maximum", label=name)


def _age(name: str, queue: sqs.Queue) -> cloudwatch.Metric:
    return queue.metric_approximate_age_of_oldest_message(period=_MINUTES_5, statistic="Maximum", label=name)
