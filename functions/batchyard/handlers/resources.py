"""The adapters of this process, built once and only when a handler asks for them."""

from __future__ import annotations

import time
from functools import cache

from batchyard.adapters import catalogue
from batchyard.adapters.aws.accounts import Accounts
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.caller_keys import CallerKeys
from batchyard.adapters.aws.clients import client
from batchyard.adapters.aws.dead_letters import DeadLetters
from batchyard.adapters.aws.deliveries import Deliveries
from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.functions import Functions
from batchyard.adapters.aws.job_starter import JobStarter
from batchyard.adapters.aws.lanes import Lanes
from batchyard.adapters.aws.ledger import Ledger
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.queues import Queues
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Table
from batchyard.adapters.aws.webhooks import Webhooks
from batchyard.adapters.aws.windows import Windows
from batchyard.adapters.aws.workflow import Workflow
from batchyard.adapters.receivers import Receivers, resolve
from batchyard.core.catalogue import Catalogue
from batchyard.core.deliveries import DeliveryRef
from batchyard.core.webhook_urls import local_hosts
from batchyard.settings import (
    DispatchSettings,
    JobStarterSettings,
    LaneSettings,
    Settings,
    SweepSettings,
    WebhookSettings,
    load,
)
from batchyard.steps.explain import LaneLook


@cache
def table() -> Table:
    return Table(client("dynamodb"), load(Settings).table_name)


@cache
def objects() -> Objects:
    return Objects(client("s3"), load(Settings).data_bucket)


def stores() -> Stores:
    return Stores.of(table(), objects())


def accounts() -> Accounts:
    return Accounts(table())


def ledger() -> Ledger:
    return Ledger(table())


def files() -> Files:
    return Files(table())


def functions() -> Functions:
    return Functions(client("lambda"))


def batches() -> Batches:
    return Batches(table())


def windows() -> Windows:
    return Windows(table())


def shards() -> Shards:
    return Shards(table())


def lanes() -> Lanes:
    return Lanes(table())


def lane_look() -> LaneLook:
    """How the lanes of batches that somebody looks at are looked at."""
    return LaneLook(lanes(), providers_by_role())


@cache
def caller_keys(key_id: str) -> CallerKeys:
    return CallerKeys(table(), lambda: client("kms"), key_id, time.monotonic)


@cache
def queues() -> Queues:
    return Queues(client("sqs"), load(DispatchSettings).queue_urls)


@cache
def job_starter() -> JobStarter:
    settings = load(JobStarterSettings)
    return JobStarter(lambda: client("lambda"), settings.jobs_function, settings.jobs_at_once)


def webhooks() -> Webhooks:
    return Webhooks(table(), lambda: client("kms"), load(WebhookSettings).caller_key_id)


def deliveries() -> Deliveries:
    return Deliveries(table())


@cache
def receivers() -> Receivers:
    return Receivers(resolve, local_hosts(load(WebhookSettings).webhook_hosts))


def start_delivery(ref: DeliveryRef) -> None:
    """Nobody waits for it, and nothing is lost with it: Sweep starts what is due."""
    payload = {"account_id": ref.account_id, "delivery_id": ref.delivery_id}
    functions().start(load(WebhookSettings).deliver_function, payload)


@cache
def lane_catalogue() -> Catalogue:
    """The catalogue with the modes that this deployment gives its providers."""
    return catalogue.load().in_modes(load(LaneSettings).provider_modes)


@cache
def providers_by_role() -> frozenset[str]:
    """The providers that are called with the worker's role, and not with an API key."""
    return frozenset(provider.name for provider in catalogue.load_providers() if provider.uses_role)


@cache
def dead_letters() -> DeadLetters:
    return DeadLetters(client("sqs"), load(SweepSettings).dead_letter_urls)


@cache
def workflow(state_machine_arn: str = "") -> Workflow:
    """Without an ARN it can wake executions, but start none."""
    return Workflow(client("stepfunctions"), state_machine_arn)
