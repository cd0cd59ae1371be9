"""`check` and `cost`: what is said about a file before anything is sent."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from batchyard import settings
from batchyard.adapters import catalogue
from batchyard.content.reading import Checks, InputLimits, InputRejected, Reading
from batchyard.content.workfile import WorkFile
from batchyard.core.routing import eligible
from batchyard.core.sharding import ShardSizes
from batchyard.handlers.limits import limits_of
from batchyard.surfaces.registry import surface
from batchyard.surfaces.surface import LineContext
from batchyard_cli import checking
from batchyard_cli.forms import Form
from batchyard_cli.limits import Limits
from tests.cli.shell import Shell, line

CHAT = "/v1/chat/completions"
BAD: list[bytes] = [
    b"{",
    b"[1]",
    json.dumps({"custom_id": 1}).encode(),
    json.dumps(line(1, method="GET")).encode(),
    json.dumps(line(2, url="/v1/embeddings")).encode(),
    json.dumps(line(3, body={"model": "gpt-4o-mini", "stream": True})).encode(),
    json.dumps(line(4, model="no-such-model")).encode(),
    json.dumps(line(5, model="text-embedding-3-small", provider="nobody")).encode(),
    json.dumps(line(6, model="claude-sonnet-4-5", provider="openai")).encode(),
    b"",
    json.dumps(line(7)).encode(),
    json.dumps(line(7)).encode(),
    b'{"custom_id": "' + b"x" * 600 + b'", "method": "POST"}',
    b'{"a": "' + b"x" * 1_000_001 + b'"}',
]


def what_the_server_says(content: bytes, form: Form = Form("openai", CHAT)) -> list[dict[str, Any]]:
    """The errors that Validate would put on the batch."""
    known = catalogue.load()
    context = LineContext(form.endpoint)
    deployment = settings.Limits()
    own = limits_of(surface(form.dialect), deployment)
    limits = InputLimits(
        own.max_batch_items, own.max_file_bytes, own.max_line_bytes, deployment.max_line_errors, 256, 4_000_000, 128
    )
    checks = Checks(
        limits=lambda name: limits,
        parser=lambda name, endpoint: partial(surface(name).parse_line, context=context),
        route=lambda model, provider, endpoint, rules: eligible(model, provider, known, endpoint, rules),
    )
    reading = Reading(checking._batch(form), limits, checks)
    work = WorkFile(lambda data: None, sizes=ShardSizes(256), bytes_at_most=4_000_000, lanes_at_most=100)
    with pytest.raises(InputRejected) as rejected:
        reading.read(iter([content]), work)
    return [{"line": e.line, "code": e.code, "message": e.message, "param": e.param} for e in rejected.value.errors]


@pytest.mark.parametrize(
    "content", [b"\n".join(BAD), b"\n", b'{"custom_id": "' * 60 + b"\n"], ids=["lines", "empty", "one"]
)
def test_check_says_what_the_server_would(shell: Shell, content: bytes) -> None:
    """Line, code, message and parameter of each error are those of the server, models included."""
    file = shell.file("work.jsonl", content)
    said = shell("check", file, "--endpoint", CHAT, "--json")
    errors = [{name: value for name, value in each.items() if name != "type"} for each in said.lines[:-1]]
    assert errors == what_the_server_says(content)
    assert said.code == 1
    assert said.result["valid"] is False


def test_too_many_errors_stop_the_check(shell: Shell) -> None:
    """As the server does, `check` stops at fifty, and says so."""
    content = b"{\n" * 100
    said = shell("check", shell.file("work.jsonl", content), "--endpoint", CHAT, "--json")
    assert [each["code"] for each in said.lines[:-1]][-1] == "too_many_errors"
    assert len(said.lines) == 52


def test_a_good_file(shell: Shell) -> None:
    """Exit 0; every model is asked for once, and nothing is uploaded."""
    file = shell.file("work.jsonl", [line(number, "gpt-4o" if number % 2 else "gpt-4o-mini") for number in range(50)])
    said = shell("check", file)
    assert (said.code, said.out) == (0, f"{file} is good: 50 items, {file.stat().st_size / 1000:.1f} kB, {CHAT}\n")
    assert shell.api.calls == ["GET /limits", "POST /plan", "POST /plan"]


def test_check_needs_no_key(shell: Shell) -> None:
    """Without a key, or with --offline, the lines are checked, and it is said that the models were not."""
    file = shell.file("work.jsonl", [line(1, "no-such-model")])
    assert shell("check", file).code == 1
    said = shell("check", file, "--offline", "--json")
    assert (said.code, said.result["models_checked"]) == (0, False)
    shell.environment, shell.api.requests = {}, []
    said = shell("check", file)
    assert (said.code, "batchyard login" in said.err) == (0, True)
    assert shell.api.calls == []


def test_the_deployments_own_limits_count(shell: Shell) -> None:
    """A file over one of them is sent to `split`; a deployment that is too old to tell them has the defaults."""
    shell.api.told_limits = {"max_batch_items": 3, "max_custom_id_chars": 5}
    said = shell("check", shell.file("work.jsonl", [line(n, custom_id=str(n)) for n in range(5)]))
    assert said.code == 1
    assert "has more than 3 requests" in said.out
    assert "batchyard split" in said.err
    assert "1 to 5 are allowed" in shell("check", shell.file("work.jsonl", [line(1)])).out
    shell.api.told_limits = None
    assert shell("check", shell.file("work.jsonl", [line(1)])).code == 0


def test_the_default_limits_are_the_servers() -> None:
    """What is assumed if nobody can be asked is what a deployment has that sets nothing."""
    assert vars(Limits()).items() <= settings.Limits().model_dump().items()


def test_cost_says_which_lanes(shell: Shell) -> None:
    """`cost FILE` asks for a plan per model with its items and tokens, adds them up exactly, and sends nothing else."""
    lines = [line(number, "gpt-4o" if number == 0 else "gpt-4o-mini") for number in range(10)]
    file = shell.file("work.jsonl", lines)
    said = shell("cost", file, "--output-tokens", "20", "--json")
    asked = [json.loads(each.content) for each in shell.api.requests]
    assert [(each["model"], each["items"], each["output_tokens"]) for each in asked] == [
        ("gpt-4o", 1, 20),
        ("gpt-4o-mini", 9, 180),
    ]
    assert all(each["tokens"] > 10 * each["items"] for each in asked)
    assert shell.api.calls == ["POST /plan", "POST /plan"]
    assert said.result["expected_cost_usd"] == "0.020000"
    assert said.result["realtime_cost_usd"] == "0.040000"
    assert [each["model"] for each in said.lines[:-1]] == ["gpt-4o", "gpt-4o-mini"]
    assert "about $0.020000, instead of $0.040000" in shell("cost", file).out


def test_cost_of_nothing(shell: Shell) -> None:
    """Neither a file nor a deployment: the message names both ways."""
    said = shell("cost")
    assert said.code == 1
    assert "batchyard cost FILE" in said.err
    assert "--deployment" in said.err
