"""`batchyard` against the local cloud: what its own tests replace is real here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from batchyard_cli import uploading
from batchyard_cli.main import batchyard
from batchyard_cli.surroundings import Surroundings
from local.cloud import LocalCloud
from tests.cli.shell import Said
from tests.customer import Customer, chat_line, jsonl

ROOT = Path(__file__).parents[2]
Call = Callable[..., Said]


@pytest.fixture
def environment(customer: Customer, cloud: LocalCloud) -> dict[str, str]:
    return {
        "BATCHYARD_URL": cloud.api_url,
        "BATCHYARD_API_KEY": customer.api_key,
        "BATCHYARD_DEPLOYMENT": cloud.functions["admin"].removesuffix("-admin"),
        "AWS_ENDPOINT_URL": cloud.aws_endpoint,
        "AWS_REGION": cloud.region,
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_ACCESS_KEY_ID": cloud.access_key_id,
        "AWS_SECRET_ACCESS_KEY": cloud.secret_access_key,
    }


@pytest.fixture
def call(environment: dict[str, str], tmp_path: Path) -> Call:
    """A call of `batchyard` in this process, with real HTTP and boto3."""

    def call(*arguments: str | Path) -> Said:
        surroundings = Surroundings(environment=environment, folder=tmp_path / "config", keyring=False)
        texts = [str(each) for each in arguments]
        said = CliRunner().invoke(batchyard, texts, env=environment, obj=surroundings)
        if said.exception is not None and not isinstance(said.exception, SystemExit):
            raise said.exception
        return Said(said.exit_code, said.stdout, said.stderr)

    return call


def test_from_a_file_to_its_results(
    call: Call, customer: Customer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file goes out in parts, its batch is watched, the results come back, and every invariant holds; exit 3 because
    items have failed. cost says what it would cost, the lists know the batch, `merge` brings the input's order."""
    monkeypatch.setattr(uploading, "AT_ONCE_BYTES", 1000)
    lines = [chat_line(number, "status:400" if number == 3 else None) for number in range(40)]
    file = tmp_path / "work.jsonl"
    file.write_bytes(jsonl(lines))
    cost = call("cost", file, "--json")
    assert (cost.code, cost.result["items"]) == (0, 40)
    assert float(cost.result["expected_cost_usd"]) > 0
    said = call("run", file, "--out", tmp_path, "--json")
    assert said.code == 3, said.err
    batch = said.result["batch"]
    assert batch["request_counts"] == {"total": 40, "completed": 39, "failed": 1}
    customer.check(customer.openai.batches.retrieve(batch["id"]), lines)
    output, errors = (Path(said.result["files"][kind]) for kind in ("output", "errors"))
    merged = call("merge", output, errors, "--like", file, "--out", tmp_path / "all.jsonl", "--json")
    assert (merged.code, merged.result["items"]) == (0, 40)
    assert call("ls", "--json").lines[0]["id"] == batch["id"]
    assert call("results", batch["id"], "--out", tmp_path).code == 3
    assert (tmp_path / f"{batch['id']}.output.jsonl").read_bytes() == output.read_bytes()
    story = call("tail", batch["id"], "--json")
    assert [each["text"] for each in story.lines if each.get("where") == "batch"][-1] == "is completed"


def test_ctrl_c_and_attaching_again(environment: dict[str, str], call: Call, tmp_path: Path) -> None:
    """Ctrl-C ends the command and not the batch: exit 2, with the command that attaches again, which brings the
    results."""
    file = tmp_path / "work.jsonl"
    file.write_bytes(jsonl([chat_line(number, "latency:15000" if number == 0 else None) for number in range(3)]))
    command = [sys.executable, "-m", "batchyard_cli", "run", str(file), "--out", str(tmp_path), "--no-check"]
    paths = {"PYTHONPATH": f"{ROOT / 'functions'}:{ROOT / 'cli'}", "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    running = subprocess.Popen(
        command, env=environment | paths, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    said = [next(running.stderr)]
    while not said[-1].startswith("in_progress"):
        said.append(next(running.stderr))
    running.send_signal(signal.SIGINT)
    out, rest = running.communicate(timeout=300)
    assert running.returncode == 2, rest
    assert out == ""
    batch_id = next(line.split()[1] for line in said if line.startswith("created"))
    assert f"batchyard watch {batch_id}" in rest
    assert call("show", batch_id, "--json").result["batch"]["status"] == "in_progress"
    attached = call("watch", batch_id, "--out", tmp_path)
    assert attached.code == 0, attached.err
    assert len((tmp_path / f"{batch_id}.output.jsonl").read_text().splitlines()) == 3


def test_check_says_what_the_batch_would(call: Call, customer: Customer, tmp_path: Path) -> None:
    """The errors of a batch that is made from a bad file all the same are those that `check` has told."""
    file = tmp_path / "work.jsonl"
    lines = [
        chat_line(0),
        chat_line(0),
        chat_line(1, model="no-such-model"),
        chat_line(2) | {"provider": "nobody"},
        chat_line(3) | {"method": "GET"},
        chat_line(4, stream=True),
    ]
    file.write_bytes(jsonl(lines) + b"{\n")
    said = call("check", file, "--json")
    told = [{name: value for name, value in each.items() if name != "type"} for each in said.lines[:-1]]
    sent = call("run", file, "--no-check", "--json")
    assert (said.code, sent.code) == (1, 1)
    assert told == sent.result["batch"]["errors"]["data"]
    assert len(told) == 6


def _in_form(dialect: str, number: int, **body: Any) -> dict[str, Any]:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"Say {number}."}]} | body
    match dialect:
        case "anthropic":
            return {"custom_id": f"item-{number}", "params": {"max_tokens": 20} | body}
        case "batchrouter":
            model = body.pop("model")
            return {"customer_item_id": f"item-{number}", "operation": "responses", "model": model, "input": body}
        case _:
            return {"custom_id": f"item-{number}"} | body


@pytest.mark.parametrize("dialect", ["anthropic", "batchrouter", "kushrouter"])
def test_a_file_in_every_form(call: Call, customer: Customer, tmp_path: Path, dialect: str) -> None:
    """The batch is the dialect's own: it is checked, made, watched, and its results are the lines that the dialect's
    clients read, whose order is the input's; `results` finds the same again by the dialect's id. What `check` says of a
    bad file is what its batch fails with; BatchRouter's is refused with the quote."""
    file = tmp_path / "work.jsonl"
    failing = [{"role": "user", "content": "Say 3. [simulate: status:400]"}]
    file.write_bytes(jsonl([_in_form(dialect, n, **({"messages": failing} if n == 3 else {})) for n in range(6)]))
    assert call("check", file, "--json").result["lines"] == dialect
    assert call("cost", file).code == 0
    said = call("run", file, "--out", tmp_path, "--json")
    assert said.code == 3, said.err
    batch = said.result["batch"]
    assert batch["request_counts"] == {"total": 6, "completed": 5, "failed": 1}
    rows = b"".join(Path(path).read_bytes() for path in said.result["files"].values()).splitlines()
    name = "customer_item_id" if dialect == "batchrouter" else "custom_id"
    assert sorted(json.loads(row)[name] for row in rows) == [f"item-{number}" for number in range(6)]
    assert ("result" in json.loads(rows[0])) == (dialect != "batchrouter")
    spelled = batch["id"].replace("batch_", {"anthropic": "msgbatch_", "batchrouter": "bat_"}.get(dialect, "batch_"))
    assert sorted(call("results", spelled, "--stdout").out.encode().splitlines()) == sorted(rows)

    file.write_bytes(jsonl([_in_form(dialect, 0), _in_form(dialect, 0), _in_form(dialect, 1, model="no-such-model")]))
    told = [{each: line[each] for each in ("line", "code")} for line in call("check", file, "--json").lines[:-1]]
    assert [each["line"] for each in told] == [2, 3]
    sent = call("run", file, "--no-check", "--json")
    assert sent.code == 1
    if dialect != "batchrouter":
        assert told == [
            {each: error[each] for each in ("line", "code")} for error in sent.result["batch"]["errors"]["data"]
        ]


def test_an_operator_looks_and_makes_accounts(call: Call, cloud: LocalCloud) -> None:
    """doctor finds everything in its place; accounts and keys that are made work, and those that are revoked do not."""
    said = call("doctor", "--json")
    states = {each["area"]: each["state"] for each in said.lines[:-1]}
    assert said.code == 0, said.out
    assert states | {"quotas": "unknown"} == dict.fromkeys(states, "fine") | {"quotas": "unknown"}
    made = call("accounts", "create", "from the command line", "--json").result
    listed = call("accounts", "list", "--json")
    assert made["account_id"] in [each.get("id") for each in listed.lines]
    second = call("keys", "create", made["account_id"], "second", "--json").result
    assert call("keys", "revoke", made["account_id"], second["key_id"]).code == 0
    keys = call("keys", "list", made["account_id"], "--json").lines[:-1]
    assert [each["revoked"] == "-" for each in keys] == [True, False]
    assert call("credits", "billing", made["account_id"], "prepaid").code == 0
    for _ in range(2):
        topped = call("credits", "top-up", made["account_id"], "12.50", "--id", "first", "--json").result
        assert float(topped["balance"]["available_usd"]) == 12.5
    assert call("credits", "entries", made["account_id"], "--json").result["count"] == 1
    assert call("credits", "check", made["account_id"]).code == 0
    assert call("lanes").code == 0
    assert json.loads(call("dead-letters", "list", "--json").out.splitlines()[-1])["messages"] == 0
