"""Fixtures of the API's tests: the handlers on moto, two accounts, and clients for them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import pytest

from batchyard import settings
from batchyard.adapters.aws import clients
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.table import Table
from batchyard.adapters.receivers import Receivers
from batchyard.handlers import admin, http, resources
from tests.api.gateway import Context, Gateway
from tests.aws import DATA_BUCKET, TABLE_NAME

ASSEMBLE, DELIVER = "batchyard-assemble", "batchyard-deliver"
INSIDE = "inside.example.com"
"""A name that leads to a private address; all others lead to a public one."""


@dataclass(frozen=True)
class Customer:
    """An account, its key, and clients that use it."""

    account_id: str
    key: str
    openai: openai.OpenAI
    http: httpx.Client


@dataclass
class Cloud:
    """What stands behind the API: `started` has the names of the executions, `assembled` and `delivered` what was
    invoked."""

    table: Table
    objects: Objects
    state_machine_arn: str
    assembled: list[dict[str, Any]]
    delivered: list[dict[str, Any]]

    @property
    def started(self) -> list[str]:
        executions = clients.client("stepfunctions").list_executions(stateMachineArn=self.state_machine_arn)[
            "executions"
        ]
        return [execution["name"] for execution in executions]


def forget() -> None:
    """Empty the caches that a function keeps for the life of its process, but for its AWS clients, which moto can take
    from test to test and which cost more than a test."""
    settings.load.cache_clear()
    caches = (
        resources.table,
        resources.objects,
        resources.queues,
        resources.workflow,
        resources.lane_catalogue,
        http.keyring,
        http.admission,
    )
    for cached in caches:
        cached.cache_clear()


@pytest.fixture
def cloud(table: Table, objects: Objects, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Pass", "End": True}}}
    machine = clients.client("stepfunctions").create_state_machine(
        name="batchyard", definition=json.dumps(definition), roleArn="arn:aws:iam::123456789012:role/states"
    )
    invoked: dict[str, list[dict[str, Any]]] = {ASSEMBLE: [], DELIVER: []}
    for name, value in {
        "TABLE_NAME": TABLE_NAME,
        "DATA_BUCKET": DATA_BUCKET,
        "STATE_MACHINE_ARN": machine["stateMachineArn"],
        "ASSEMBLE_FUNCTION": ASSEMBLE,
        "DELIVER_FUNCTION": DELIVER,
        "CALLER_KEY_ID": clients.client("kms").create_key()["KeyMetadata"]["KeyId"],
        "QUEUE_URLS": "{}",
        "DEAD_LETTER_URLS": "[]",
    }.items():
        monkeypatch.setenv(name, value)
    forget()

    class Functions:
        def start(self, name: str, payload: dict[str, Any]) -> None:
            invoked[name].append(payload)

    monkeypatch.setattr(resources, "functions", Functions)
    monkeypatch.setattr(resources, "receivers", lambda: Receivers(addresses_of))
    yield Cloud(table, objects, machine["stateMachineArn"], invoked[ASSEMBLE], invoked[DELIVER])
    forget()


def addresses_of(name: str) -> list[str]:
    """Stands for the system's resolver."""
    return ["10.0.0.7"] if name == INSIDE else ["8.8.8.8"]


def customer(name: str) -> Customer:
    made = admin.handler({"action": "create_account", "name": name}, Context())
    transport = Gateway()
    web = httpx.Client(
        transport=transport,
        base_url=f"https://{Gateway.HOST}",
        headers={"authorization": f"Bearer {made['api_key']}"},
    )
    client = openai.OpenAI(
        api_key=made["api_key"],
        base_url=f"https://{Gateway.HOST}/v1",
        http_client=httpx.Client(transport=transport),
        max_retries=0,
    )
    return Customer(made["account_id"], made["api_key"], client, web)


@pytest.fixture
def alice(cloud: Cloud) -> Customer:
    return customer("alice")


@pytest.fixture
def mallory(cloud: Cloud) -> Customer:
    return customer("mallory")


def lines(count: int) -> bytes:
    """`count` lines of an input file."""
    made = [
        {
            "custom_id": f"r-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"question {number}"}]},
        }
        for number in range(count)
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in made)


def jsonl(count: int = 3, name: str = "requests.jsonl") -> io.BytesIO:
    """A file object of that many lines, as SDKs take it."""
    data = io.BytesIO(lines(count))
    data.name = name
    return data
