"""A queue with a dead-letter queue for every provider of providers.toml: the outage of one vendor delays no other.

The event source's maximum concurrency is that vendor's ceiling on workers.
"""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Duration, Stack
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.deployment import Deployment
from infra.function import Function
from infra.queue import queue_with_dead_letters


class ProviderQueues(Construct):
    """`queues` and `dead_letters` by provider name. `worker` takes from every queue, up to the provider's maximum of
    `maxima` at once."""

    def __init__(
        self, scope: Construct, name: str, *, deployment: Deployment, worker: Function, maxima: Mapping[str, int]
    ) -> None:
        super().__init__(scope, name)
        self.queues: dict[str, sqs.Queue] = {}
        self.dead_letters: dict[str, sqs.Queue] = {}
        for provider, maximum in maxima.items():
            queue, dead_letters = queue_with_dead_letters(
                self,
                provider.capitalize(),
                queue_name=f"{deployment.name}-provider-{provider}",
                # A shard's lease is renewed in the table; this only has to outlast one invocation. What a worker that
                # was killed holds back for as long, Sweep sends again sooner.
                visibility_timeout=Duration.seconds(worker.timeout.to_seconds() + 60),
                max_receive_count=10,
            )
            worker.function.add_event_source(
                event_sources.SqsEventSource(
                    queue,
                    batch_size=10,
                    max_batching_window=Duration.seconds(0),
                    report_batch_item_failures=True,
                    max_concurrency=maximum,
                )
            )
            self.queues[provider] = queue
            self.dead_letters[provider] = dead_letters

    @property
    def arns(self) -> list[str]:
        return [queue.queue_arn for queue in self.queues.values()]

    @property
    def dead_letter_arns(self) -> list[str]:
        return [queue.queue_arn for queue in self.dead_letters.values()]

    @property
    def dead_letter_urls_json(self) -> str:
        """The URLs of the dead-letter queues, as the variable DEAD_LETTER_URLS has them."""
        return Stack.of(self).to_json_string([queue.queue_url for queue in self.dead_letters.values()])

    @property
    def urls_json(self) -> str:
        """Provider name -> queue URL, as the variable QUEUE_URLS has it."""
        return Stack.of(self).to_json_string({name: queue.queue_url for name, queue in self.queues.items()})
