"""Operators' commands against AWS in memory."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from batchyard.adapters.aws.table import Key, Table
from batchyard.core.batches import Batch, Status
from batchyard.core.lanes import Lane
from batchyard.core.sharding import LaneShards, Plan
from tests.cli.fake_api import START
from tests.cli.fake_aws import NAME, FakeAws, FakeQueue
from tests.cli.shell import Shell

BATCH = "batch_00000000000000000000000001"


@pytest.fixture
def aws(shell: Shell) -> FakeAws:
    aws = FakeAws(queues={f"{NAME}-provider-openai": FakeQueue(), f"{NAME}-provider-openai-dead-letters": FakeQueue()})
    shell.aws = aws
    shell.environment = {"BATCHYARD_DEPLOYMENT": NAME}
    return aws


def put(aws: FakeAws, pk: str, sk: str, row: dict[str, Any]) -> None:
    Table(aws("dynamodb"), "table").put(Key(pk, sk), row)


def put_batch(aws: FakeAws, status: Status = Status.IN_PROGRESS, **fields: Any) -> Batch:
    """An open batch of 4 items on openai/gpt-4o, with its rows."""
    lanes = (LaneShards(Lane("openai", "gpt-4o"), 0, 1, 4),)
    batch = Batch(
        id=BATCH,
        account_id="acct_1",
        surface="openai",
        endpoint="/v1/chat/completions",
        input_file_id="file-1",
        completion_window="24h",
        status=status,
        created_at=int(START),
        expires_at=int(START) + 86_400,
        plan=Plan("run", 4, 1, lanes, stride=1, one_chain=False, shard_concurrency=None),
        status_times={"in_progress": int(START) + 2} | ({str(status): int(START) + 9} if status.is_terminal else {}),
        **fields,
    )
    put(aws, "accounts", "acct_0", {"id": "acct_0", "name": "others", "created_at": 1})
    put(aws, "accounts", "acct_1", {"id": "acct_1", "name": "search", "created_at": 2})
    put(aws, "account#acct_1", f"batch#{BATCH}", batch.to_row())
    if not status.is_terminal:
        put(aws, "open", BATCH, {"account_id": "acct_1", "created_at": batch.created_at})
    return batch


def block_lane(aws: FakeAws, state: str = "blocked", reason: str | None = "key_refused") -> None:
    put(aws, "lane#openai#gpt-4o", "health#", {"state": state, "reason": reason, "since": int(START) - 600})


def findings(shell: Shell) -> dict[str, list[dict[str, Any]]]:
    """Area -> what doctor found there."""
    areas: dict[str, list[dict[str, Any]]] = {}
    for each in shell("doctor", "--json").lines[:-1]:
        areas.setdefault(each["area"], []).append(each)
    return areas


# Who may do this at all.


def test_a_deployment_has_to_be_named(shell: Shell, aws: FakeAws) -> None:
    """By option or environment; the message says how."""
    shell.environment = {}
    said = shell("accounts", "list")
    assert (said.code, "BATCHYARD_DEPLOYMENT" in said.err) == (1, True)


@pytest.mark.parametrize(
    "arguments", [["doctor"], ["accounts", "list"], ["lanes"], ["dead-letters", "list"], ["tail", BATCH]]
)
@pytest.mark.parametrize(("error", "hint"), [("no credentials", "AWS_PROFILE"), ("ExpiredToken", "aws sso login")])
def test_without_credentials(shell: Shell, aws: FakeAws, arguments: list[str], error: str, hint: str) -> None:
    """Exit 4, and how to get some."""
    aws.refuse = dict.fromkeys(("sts", "lambda", "sqs", "dynamodb"), error)
    said = shell(*arguments, "--json")
    assert said.code == 4
    assert hint in said.err


def test_permissions_that_are_missing_are_named(shell: Shell, aws: FakeAws) -> None:
    """So that they can be asked for."""
    aws.refuse = {"lambda": "AccessDeniedException"}
    said = shell("accounts", "list")
    assert said.code == 4
    assert f"lambda:InvokeFunction on {NAME}-admin" in said.err


def test_a_deployment_that_is_not_there(shell: Shell, aws: FakeAws) -> None:
    """Names what may be wrong: the name, the region, the account."""
    said = shell("doctor", "--deployment", "nothing")
    assert said.code == 1
    assert "There is no deployment 'nothing' here" in said.err
    assert "AWS_REGION" in said.err


def test_boto3_is_asked_for_when_it_is_needed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Customers do not have it, and do not need it."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    shell.environment |= {"BATCHYARD_DEPLOYMENT": NAME}
    said = shell("dead-letters", "list")
    assert (said.code, "pipx inject batchyard-cli boto3" in said.err) == (1, True)
    assert shell("ls").code == 0


# doctor


def test_a_deployment_that_is_well(shell: Shell, aws: FakeAws) -> None:
    """Each area is fine, but for providers that nobody gave a key; exit 0."""
    put_batch(aws)
    said = shell("doctor")
    assert said.code == 0, said.out
    for expected in (
        "✓ credentials arn:aws:sts",
        "✓ api         https://abc.execute-api.eu-west-1.amazonaws.com/api answers",
        "✓ secrets     keys of bedrock, openai",
        "· secrets     There is no key of groq",
        f"✓ batches     1 open; the oldest, {BATCH}, has 1 d 0 h left",
        "✓ lanes       1 in use, all well",
        "✓ alarms      none fires",
    ):
        assert expected in said.out


def test_whatever_is_wrong_has_a_way_out(shell: Shell, aws: FakeAws) -> None:
    """A key that is refused, no keys, an API that is down, a batch near its end, dead letters, an alarm: each is found,
    exit 1, and what to do is said."""
    put_batch(aws)
    block_lane(aws)
    aws.secrets, aws.concurrency = set(), 10
    aws.queues[f"{NAME}-provider-openai-dead-letters"].bodies = ["x"]
    aws.alarms = [
        {"AlarmName": f"{NAME}-LaneBlocked", "AlarmDescription": "A provider refuses."},
        {"AlarmName": "other-X"},
    ]
    shell.api.now += 85_000

    def down(request: httpx.Request) -> httpx.Response | None:
        raise httpx.ConnectError("down")

    shell.api.faults = [down]
    said = shell("doctor", "--json")
    found = findings(shell)
    assert said.code == 1
    for area, state in {"api": "act", "quotas": "note", "batches": "act", "lanes": "act", "alarms": "act"}.items():
        assert found[area][0]["state"] == state, found[area]
        assert len(found[area][0]["way_out"]) > 20
    assert f"--secret-id {NAME}/providers/openai" in found["lanes"][0]["way_out"]
    assert found["queues"][0]["way_out"].endswith("`batchyard dead-letters replay provider-openai`.")
    assert len(found["alarms"]) == 1
    assert said.result["findings"]["act"] >= 5


@pytest.mark.parametrize(("short_by", "state"), [(0, "fine"), (1, "note")])
def test_the_quota_that_doctor_wants_is_the_guides(shell: Shell, aws: FakeAws, short_by: int, state: str) -> None:
    """Which is what the templates reserve (`infra/test_concurrency.py`): one less, and no function has its own."""
    guide = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
    wanted = re.search(r"- \*\*(\d+) or more:\*\* every function has its reservation", guide)
    assert wanted is not None
    aws.concurrency = int(wanted[1]) - short_by
    shell("doctor", "--json")
    assert [each["state"] for each in findings(shell)["quotas"]] == [state]


def test_doctor_looks_on_when_it_may_not_look_somewhere(shell: Shell, aws: FakeAws) -> None:
    """What is forbidden is `unknown`, with the permission that it takes; the rest is looked at."""
    aws.refuse = {"cloudwatch": "AccessDenied", "sqs": "AccessDenied"}
    found = findings(shell)
    assert [found[area][0]["state"] for area in ("queues", "alarms", "batches")] == ["unknown", "unknown", "fine"]
    assert "cloudwatch:DescribeAlarms" in found["alarms"][0]["way_out"]
    assert shell("doctor").code == 0


def test_trouble_that_passes_is_a_note(shell: Shell, aws: FakeAws) -> None:
    """An open lane needs nobody: doctor says so, and exits with 0."""
    put_batch(aws)
    block_lane(aws, "open", None)
    assert findings(shell)["lanes"][0]["state"] == "note"
    assert shell("doctor").code == 0


# accounts, keys, credits


def test_accounts_and_keys(shell: Shell, aws: FakeAws) -> None:
    """Lists are tables; what is made goes to stdout alone, so that a script can keep the key."""
    account = {"id": "acct_1", "name": "search", "created_at": 1_800_000_000, "weight": 1}
    key = {"id": "key_1", "name": "default", "hint": "abcd", "created_at": 1_800_000_000, "revoked_at": None}
    aws.admin = {
        "list_accounts": {"accounts": [account]},
        "create_account": {"account_id": "acct_2", "name": "x", "api_key": "by_live_secret", "key_id": "key_2"},
        "set_weight": {"account_id": "acct_1", "weight": 3},
        "set_operator": {"account_id": "acct_1", "is_operator": True},
        "list_keys": {"keys": [key]},
        "create_key": {"account_id": "acct_1", "api_key": "by_live_other", "key_id": "key_3"},
        "revoke_key": {"key_id": "key_1", "revoked_at": 1_800_000_100},
    }
    assert shell("accounts", "list").out.split()[:5] == ["ID", "NAME", "WEIGHT", "CREATED", "acct_1"]
    assert shell("accounts", "create", "x").out == "by_live_secret\n"
    assert shell("accounts", "weight", "acct_1", "3").out == "acct_1 has weight 3\n"
    assert shell("accounts", "operator", "acct_1").out == "acct_1 is an operator's account\n"
    assert "abcd" in shell("keys", "list", "acct_1").out
    assert shell("keys", "create", "acct_1", "ci").out == "by_live_other\n"
    assert shell("keys", "revoke", "acct_1", "key_1").code == 0
    assert [event for _, event in aws.invoked] == [
        {"action": "list_accounts"},
        {"action": "create_account", "name": "x"},
        {"action": "set_weight", "account_id": "acct_1", "weight": 3},
        {"action": "set_operator", "account_id": "acct_1", "is_operator": True},
        {"action": "list_keys", "account_id": "acct_1"},
        {"action": "create_key", "account_id": "acct_1", "name": "ci"},
        {"action": "revoke_key", "account_id": "acct_1", "key_id": "key_1"},
    ]


def test_policies(shell: Shell, aws: FakeAws) -> None:
    """What is said is set as a whole and shown on one line; without an option nothing is changed."""
    said = {"modes": ["realtime", "native"], "routing_mode": "sla_aware", "early_failover": False}
    account = {"id": "acct_1", "name": "search", "created_at": 1_800_000_000, "weight": 1, "policy": said}
    aws.admin = {
        "list_accounts": {"accounts": [account]},
        "set_policy": {"account_id": "acct_1", "policy": said},
    }
    line = "acct_1: modes realtime and native, routing mode sla_aware, failover late\n"
    options = ("--mode", "realtime", "--mode", "native", "--routing-mode", "sla_aware", "--late-failover")
    assert shell("accounts", "policy", "acct_1", *options).out == line
    assert aws.invoked[-1][1] == {"action": "set_policy", "account_id": "acct_1", "policy": said}
    assert shell("accounts", "policy", "acct_1").out == line
    assert aws.invoked[-1][1] == {"action": "list_accounts"}
    assert shell("accounts", "policy", "acct_9").code == 1
    assert shell("accounts", "policy", "acct_1", "--clear", "--early-failover").code == 1
    aws.admin["set_policy"] = {"account_id": "acct_1", "policy": {}}
    assert shell("accounts", "policy", "acct_1", "--clear").out == "acct_1: as the deployment has it\n"
    assert aws.invoked[-1][1] == {"action": "set_policy", "account_id": "acct_1", "policy": {}}


def test_a_refusal_of_the_admin_function(shell: Shell, aws: FakeAws) -> None:
    """Its own words, and where to look."""
    aws.admin = {"list_keys": {"error": {"message": "There is no account acct_9.", "param": "account_id"}}}
    said = shell("keys", "list", "acct_9")
    assert said.code == 1
    assert "There is no account acct_9." in said.err
    assert "batchyard accounts list" in said.err


def test_credits(shell: Shell, aws: FakeAws) -> None:
    """Dollars travel as texts; a top-up has an id, so that it can be repeated."""
    balance = {"available_usd": "12.50", "reserved_usd": "0.00", "charged_usd": "1.00"}
    shown = {"account_id": "acct_1", "billing": "prepaid", "balance": balance, "spent_today_usd": "1.00"}
    entry = {"id": "e1", "kind": "top_up", "about": "t1", "at": 1_800_000_000, "amount_usd": "12.50"}
    aws.admin = {
        "show_balance": shown | {"daily_limit_usd": None},
        "top_up": {"entry": entry, "balance": balance},
        "list_entries": {"entries": [entry], "has_more": False},
        "set_billing": {"account_id": "acct_1", "billing": "prepaid"},
        "set_daily_limit": {"account_id": "acct_1", "daily_limit_usd": None},
        "check_books": {"balances": False, "balance": balance, "entries_come_to": balance},
    }
    assert "available    $12.50" in shell("credits", "show", "acct_1").out
    said = shell("credits", "top-up", "acct_1", "12.50")
    _, event = aws.invoked[-1]
    assert event == {"action": "top_up", "account_id": "acct_1", "id": event["id"], "usd": "12.50"}
    assert f"--id {event['id']}" in said.err
    shell("credits", "top-up", "acct_1", "--id", "t1", "--", "-3")
    assert aws.invoked[-1][1] == {"action": "top_up", "account_id": "acct_1", "id": "t1", "usd": "-3"}
    assert "top_up" in shell("credits", "entries", "acct_1", "--about", "t1").out
    assert shell("credits", "billing", "acct_1", "prepaid").code == 0
    shell("credits", "limit", "acct_1", "none")
    assert aws.invoked[-1][1] == {"action": "set_daily_limit", "account_id": "acct_1", "usd": None}
    assert shell("credits", "check", "acct_1").code == 1
    invoked = len(aws.invoked)
    for amount in ("a lot", "1e9", "1,50", ""):
        assert shell("credits", "top-up", "acct_1", amount).code == 1
    assert len(aws.invoked) == invoked


def test_a_deployment_older_than_the_command(shell: Shell, aws: FakeAws) -> None:
    """An action that the admin function does not know is told as such."""
    said = shell("credits", "show", "acct_1", "--json")
    assert said.result["error"]["code"] == "not_deployed"


# lanes, dead-letters, tail, cost


def test_lanes(shell: Shell, aws: FakeAws) -> None:
    """State, reason, rate and workers of each lane of an open batch, and what people have to do."""
    put_batch(aws)
    put(
        aws,
        "lane#openai#gpt-4o",
        "health#",
        {
            "state": "blocked",
            "reason": "out_of_money",
            "since": int(START) - 90,
            "rate_thousandths": 12_500,
            "worker_a": [int(START), int(START) - 60, {BATCH: "acct_1"}, 0, {}],
        },
    )
    said = shell("lanes", "--json")
    assert {
        "provider": "openai",
        "state": "blocked",
        "since": "1 min 30 s",
        "rate": "12.5/s",
        "workers": 1,
        "batches": 1,
    }.items() <= said.lines[0].items()
    assert "put money into the account at openai" in shell("lanes").err


def test_no_lanes(shell: Shell, aws: FakeAws) -> None:
    """Nothing is open, and that is said."""
    said = shell("lanes")
    assert (said.code, said.out) == (0, "")
    assert "No batch is open" in said.err


def test_dead_letters_are_sent_back(shell: Shell, aws: FakeAws) -> None:
    """--dry-run says what would go where and moves nothing; then messages go back to their queue, and those of a
    function are handed to it again."""
    shard, event = json.dumps({"batch_id": BATCH}), {"account_id": "acct_1", "upload_id": "upload_1"}
    aws.queues[f"{NAME}-provider-openai-dead-letters"].bodies = [shard] * 3
    aws.queues[f"{NAME}-assemble-dead-letters"] = FakeQueue([json.dumps({"requestPayload": event})])
    listed = shell("dead-letters", "list", "--peek", "--json")
    assert listed.result["messages"] == 4
    assert sum(BATCH in each.get("body", "") for each in listed.lines) == 3
    dry = shell("dead-letters", "replay", "--dry-run", "--json")
    assert [(each["queue"], each["messages"], each["to"]) for each in dry.lines[:-1]] == [
        ("assemble", 1, f"{NAME}-assemble"),
        ("provider-openai", 3, f"{NAME}-provider-openai"),
    ]
    assert aws.queues[f"{NAME}-provider-openai"].bodies == []
    assert shell("dead-letters", "replay", "provider-openai").code == 0
    assert aws.queues[f"{NAME}-provider-openai"].bodies == [shard] * 3
    assert aws.invoked == []
    assert shell("dead-letters", "replay").code == 0
    assert aws.invoked == [(f"{NAME}-assemble", event)]
    assert aws.queues[f"{NAME}-assemble-dead-letters"].bodies == []


def test_a_dead_letter_queue_that_is_not_there(shell: Shell, aws: FakeAws) -> None:
    """The message lists those that are."""
    said = shell("dead-letters", "replay", "nothing")
    assert said.code == 1
    assert "provider-openai" in said.err


def test_the_story_of_a_batch(shell: Shell, aws: FakeAws) -> None:
    """Rows and log lines in the order of time, whoever's batch it is; lines of other batches are left out."""
    put_batch(aws, Status.COMPLETED)
    fields = {"level": "INFO", "message": "validated", "batch_id": BATCH, "items": 4, "location": "x:1"}
    aws.logs = {
        f"/aws/lambda/{NAME}-validate": [(START + 1, json.dumps(fields)), (START + 1, '{"message": "another\'s"}')],
        f"/aws/lambda/{NAME}-work": [(START + 5, f"Task timed out for {BATCH}\n")],
        "/aws/lambda/other-validate": [(START + 1, f"{BATCH} of another deployment")],
    }
    said = shell("tail", BATCH, "--json")
    assert [(each["where"], each["text"]) for each in said.lines[:-1]] == [
        ("batch", "created by acct_1 for /v1/chat/completions (openai)"),
        ("validate", "validated  items=4"),
        ("batch", "is in_progress"),
        ("plan", "4 items on openai/gpt-4o/realtime, 1 shards"),
        ("work", f"Task timed out for {BATCH}"),
        ("batch", "is completed"),
    ]
    assert said.result["status"] == "completed"


def test_the_story_goes_on(shell: Shell, aws: FakeAws) -> None:
    """--follow tells what is new, once, until the batch ends."""
    put_batch(aws)
    aws.logs = {f"/aws/lambda/{NAME}-work": [(START + 5, f"worked {BATCH}")]}
    shell.on_sleep = lambda: put_batch(aws, Status.COMPLETED) and None
    said = shell("tail", BATCH, "--follow")
    assert said.code == 0
    assert said.out.count("worked") == 1
    assert said.out.splitlines()[-1].endswith("is completed")


def test_a_batch_of_nobody(shell: Shell, aws: FakeAws) -> None:
    """Every account was asked, and the message says so."""
    put_batch(aws)
    assert "No account has a batch" in shell("tail", "batch_x").err
    assert "acct_0 has no batch" in shell("tail", BATCH, "--account", "acct_0").err


def test_what_a_deployment_costs(shell: Shell, aws: FakeAws) -> None:
    """Providers from the deployment's own metric, AWS by service, dearest first; the total is exact."""
    aws.metric_sums, aws.bill = [1_500_000.0, 250_000.0], {"AWS Lambda": "0.10", "Amazon DynamoDB": "1.25"}
    said = shell("cost", "--json")
    assert [(each["what"], each["usd"]) for each in said.lines[:-1]] == [
        ("providers (batches that ended)", "1.750000"),
        ("Amazon DynamoDB", "1.250000"),
        ("AWS Lambda", "0.100000"),
    ]
    assert said.result["total_usd"] == "3.100000"


def test_a_bill_that_nobody_may_read(shell: Shell, aws: FakeAws) -> None:
    """What is known is shown, what is not is said, with the permission that it takes."""
    aws.refuse = {"ce": "AccessDeniedException"}
    said = shell("cost")
    assert (said.code, "ce:GetCostAndUsage" in said.err) == (0, True)
    assert "cost-allocation tag" in said.err
