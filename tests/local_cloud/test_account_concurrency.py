"""An account whose Lambda quota is small, as a new one's is."""

from __future__ import annotations

import concurrent.futures
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from local.functions.concurrency import AccountConcurrency, QuotaTooSmall
from tests.local_cloud.probe_stacks import stacks

PROBES = Path(__file__).with_name("probes")
QUOTA = 3
"""One of which the function `narrow` reserves."""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    templates = tmp_path_factory.mktemp("probes") / "stacks.json"
    templates.write_text(json.dumps(stacks()))
    with LocalCloud(
        templates=templates,
        functions_path=PROBES,
        provider_url="http://127.0.0.1:9/v1",
        account=None,
        processes=3,
        account_concurrency=QUOTA,
    ) as cloud:
        yield cloud


@pytest.fixture(autouse=True)
def alone(local: LocalCloud) -> Iterator[None]:
    local.reset_meter()
    yield
    local.occupy(0)
    local.deliver(redelivery_seconds=None)


def eventually(probe: Callable[[], Any], seconds: float = 600.0) -> Any:
    """The first true value of `probe`."""
    deadline = time.monotonic() + seconds
    while not (value := probe()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
    return value


def refused(local: LocalCloud, function: str) -> str:
    """The code with which a synchronous invoke is refused."""
    with pytest.raises(ClientError) as caught:
        local.client("lambda", retries={"total_max_attempts": 1}).invoke(FunctionName=local.functions[function])
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    return str(caught.value.response["Error"]["Code"])


def send(local: LocalCloud, body: dict[str, Any]) -> None:
    sqs = local.client("sqs")
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="probe")["QueueUrl"], MessageBody=json.dumps(body))


def test_functions_share_what_others_did_not_reserve(local: LocalCloud) -> None:
    """Two run, of different functions; the third is refused; who has a reservation runs all the same."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        running = [pool.submit(local.invoke, each, {"do": "sleep", "seconds": 6}) for each in ("echo", "echo")]
        eventually(lambda: sum(each["busy"] for each in local.processes("echo")) == 2)
        assert refused(local, "storage") == "TooManyRequestsException"
        assert local.invoke("narrow", {})["pid"]
        for each in running:
            each.result()
    assert local.meter()["functions"]["storage"]["throttles"] == 1
    assert local.invoke("echo", {})["event"] == {}


def test_neighbours_can_use_an_account_up(local: LocalCloud) -> None:
    """Until they leave: other workloads of the account count towards its quota."""
    local.occupy(QUOTA)
    assert refused(local, "echo") == "TooManyRequestsException"
    local.occupy(0)
    assert local.invoke("echo", {})["event"] == {}


def test_a_throttled_receive_counts(local: LocalCloud) -> None:
    """The message comes back after its visibility, and goes to the dead letters when it was received as often as the
    queue allows, although no function ever saw it."""
    local.deliver(redelivery_seconds=0.1)
    local.occupy(QUOTA)
    before = local.queue_depths()["probe-dead-letters"]
    send(local, {"name": "unseen"})
    eventually(lambda: local.queue_depths()["probe-dead-letters"] == before + 1)
    usage = local.meter()["functions"]["records"]
    assert (usage["throttles"], usage["invocations"]) == (3, 0)


def test_a_message_outlives_a_short_throttle(local: LocalCloud) -> None:
    """It is delivered when there is room again."""
    local.deliver(redelivery_seconds=0.5)
    local.occupy(QUOTA)
    send(local, {"name": "later"})
    eventually(lambda: local.meter()["functions"].get("records", {}).get("throttles"))
    local.occupy(0)
    eventually(lambda: local.queue_depths()["probe"] == 0)
    assert local.meter()["functions"]["records"]["invocations"] == 1


def test_an_asynchronous_invoke_waits_for_room(local: LocalCloud) -> None:
    """Lambda keeps it and tries again, for hours."""
    local.occupy(QUOTA)
    event = json.dumps({"do": "print", "text": "at last"})
    local.client("lambda").invoke(FunctionName="probe-echo", InvocationType="Event", Payload=event)
    local.occupy(0)
    eventually(lambda: "at last" in local.log("echo"))


def test_more_is_reserved_than_there_is() -> None:
    """Lambda refuses such a deployment, and so does the local cloud."""
    with pytest.raises(QuotaTooSmall, match="5 executions are reserved, and the account has 5"):
        AccountConcurrency.of(5, [2, None, 3])


def test_what_is_given_back_wakes_who_waits() -> None:
    """A waiting invoke goes on when another one ends."""
    account = AccountConcurrency(1)
    assert account.take()
    assert not account.take()
    threading.Thread(target=account.give_back).start()
    eventually(lambda: account.wait_for_room() or account.take())
