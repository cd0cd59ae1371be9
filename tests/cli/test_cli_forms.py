"""Files in the lines of every dialect: what form a file has, what is wrong with it, how it is sent and comes back."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

import httpx
import pytest

from batchyard.surfaces.registry import surface
from batchyard_cli import checking
from batchyard_cli.forms import CHAT, DIALECTS, Form
from batchyard_cli.limits import Limits
from tests.cli.fake_api import refusal
from tests.cli.shell import Shell, line
from tests.cli.test_cli_checks import what_the_server_says

Line = dict[str, Any]
MESSAGES: list[Line] = [{"role": "user", "content": "Hello."}]
GOOD: dict[str, Line] = {
    "anthropic": {"custom_id": "a", "params": {"model": "claude-sonnet-4-5", "max_tokens": 5, "messages": MESSAGES}},
    "batchrouter": {
        "customer_item_id": "a",
        "operation": "responses",
        "model": "gpt-4o-mini",
        "input": {"messages": MESSAGES},
    },
    "kushrouter": {"custom_id": "a", "model": "gpt-4o-mini", "messages": MESSAGES},
}
ENDPOINTS = {"anthropic": "/v1/messages", "batchrouter": CHAT, "kushrouter": CHAT}
ODD: tuple[Any, ...] = (None, 1, 1.5, True, [], {}, "", "x y", [1])
ROWS = {
    "anthropic": [
        b'{"custom_id":"a","result":{"type":"succeeded","message":{"big":12345678901234567890.10}}}',
        b'{"custom_id":"b","result":{"type":"errored","error":{"type":"error"}}}',
        b'{"custom_id":"c","result":{"type":"canceled"}}',
    ],
    "batchrouter": [
        b'{"customer_item_id":"a","index":0,"status":"succeeded","response":{"status_code":200,"body":{}},"error":null}',
        b'{"customer_item_id":"b","index":1,"status":"failed","response":null,"error":{"code":"x","message":""}}',
        b'{"customer_item_id":"c","index":2,"status":"expired","response":null,"error":{"code":"x","message":""}}',
    ],
    "kushrouter": [
        b'{"index":0,"status":"succeeded","result":{"status":"failed"},"custom_id":"a"}',
        b'{"index":1,"status":"failed","result":null,"error":{"status":400},"custom_id":"b"}',
        b'{"index":2,"status":"failed","result":null,"error":{"status":499}}',
    ],
}
OTHERS = sorted(GOOD)


def numbered(dialect: str, count: int) -> list[Line]:
    name = "customer_item_id" if dialect == "batchrouter" else "custom_id"
    return [GOOD[dialect] | {name: f"item-{number}"} for number in range(count)]


def bad(dialect: str) -> list[Line]:
    """Lines that are wrong in one thing each, but for some that are not."""
    good = GOOD[dialect]
    lines = [good | {name: value} for name in good for value in ODD]
    lines += [{each: value for each, value in good.items() if each != name} for name in good]
    lines += [good | {"more": 1}, line(1), line(2, method="GET"), line(3, url="/v1/nothing")]
    inside = "params" if dialect == "anthropic" else "input"
    if inside in good:
        lines += [good | {inside: good[inside] | {name: value}} for name in ("model", "stream") for value in ODD]
    else:
        lines += [good | {"custom_id": "index:7"}, good | {"custom_id": "x" * 513}, good | {"model": "no-such-model"}]
    return lines


@pytest.mark.parametrize("dialect", OTHERS)
def test_check_says_what_the_server_would_of_every_form(shell: Shell, dialect: str) -> None:
    """A good line says whose the file is. Line, code, message and parameter of what is wrong with others are those of
    the dialect's surface, models included."""
    lines, codes = bad(dialect), set()
    for start in range(0, len(lines), 20):
        content = b"".join(json.dumps(each).encode() + b"\n" for each in [*numbered(dialect, 1), *lines[start:][:20]])
        said = shell("check", shell.file("work.jsonl", content), "--json")
        errors = [{name: value for name, value in each.items() if name != "type"} for each in said.lines[:-1]]
        assert errors == what_the_server_says(content, Form(dialect, ENDPOINTS[dialect]))
        assert (said.code, said.result["lines"]) == (1, dialect)
        codes |= {each["code"] for each in errors}
    assert len(codes) > 5


@pytest.mark.parametrize("dialect", OTHERS)
def test_what_is_wrong_is_told_with_its_place(shell: Shell, dialect: str) -> None:
    """The line, the member even if the dialect's message does not name it, and how such a line is written."""
    lines = [*numbered(dialect, 1), {name: value for name, value in GOOD[dialect].items() if not name.endswith("_id")}]
    lines[1] |= {"model": None} if dialect == "kushrouter" else {}
    file = shell.file("work.jsonl", lines)
    said = shell("check", file)
    assert said.out.startswith(f"{file}:2: missing_")
    member = {"anthropic": "custom_id", "batchrouter": "customer_item_id", "kushrouter": "model"}[dialect]
    assert member in said.out
    assert DIALECTS[dialect].title in said.err
    assert DIALECTS[dialect].example in said.err


@pytest.mark.parametrize("dialect", OTHERS)
def test_a_good_file_in_every_form(shell: Shell, dialect: str) -> None:
    """Is good, and its form is told; a broken line before the first good one does not hide the form."""
    file = shell.file("work.jsonl", numbered(dialect, 9))
    said = shell("check", file)
    assert said.code == 0
    assert said.out.startswith(f"{file} is good: 9 items, ")
    assert said.out.endswith(f", {DIALECTS[dialect].title}\n")
    file.write_bytes(b'{\n[1]\n{"custom_id": "z"}\n' + file.read_bytes())
    assert shell("check", file, "--json").result["lines"] == dialect


def test_the_form_can_be_said(shell: Shell) -> None:
    """--lines counts more than what the lines look like; --endpoint is for OpenAI's form only; neither, where nothing
    can be told, says both ways."""
    file = shell.file("work.jsonl", [line(1)])
    for dialect, code in (("openai", 0), ("kushrouter", 0), ("batchrouter", 0), ("anthropic", 1)):
        said = shell("check", file, "--lines", dialect, "--json")
        assert (said.code, said.result["lines"]) == (code, dialect)
    said = shell("check", file, "--lines", "anthropic", "--endpoint", CHAT)
    assert (said.code, "Leave --endpoint out" in said.err) == (1, True)
    said = shell("check", shell.file("odd.jsonl", b'{"custom_id": "1"}\n'))
    assert (said.code, "--lines" in said.err, "--endpoint" in said.err) == (1, True, True)


def test_every_form_is_a_surfaces() -> None:
    """The command line reads lines by the code of the surface, and knows its limits."""
    for name, dialect in DIALECTS.items():
        known = surface(name)
        assert checking.PARSERS[name] is known.parse_line
        own = asdict(known.rules.limits)
        limits = {each.name: own[each.name] for each in fields(Limits) if own.get(each.name) is not None}
        assert limits == dialect.limits


def test_a_deployments_limits_for_a_dialect_count(shell: Shell) -> None:
    """They are what the dashboard is told; the dialect's own hold if a deployment does not say."""
    shell.api.told_of_dialects = {
        "kushrouter": {"max_batch_items": 2, "max_file_bytes": 10_000, "max_line_bytes": 9_000}
    }
    file = shell.file("work.jsonl", numbered("kushrouter", 3))
    assert "has more than 2 requests" in shell("check", file).out
    shell.api.faults = [lambda each: refusal(404, "No.", None) if "dashboard" in each.url.path else None]
    assert shell("check", file).code == 0
    long = shell.file("long.jsonl", [GOOD["kushrouter"] | {"user": "x" * 300_000}])
    assert "line_too_long" in shell("check", long).out
    assert "line_too_long" in shell("check", long, "--offline").out


@pytest.mark.parametrize("dialect", OTHERS)
def test_a_file_in_every_form_goes_out_and_comes_back(shell: Shell, dialect: str) -> None:
    """`run` makes the batch by the dialect's surface, watches it as any other, and writes the dialect's own lines, byte
    for byte: those of items that succeeded into the output file, the rest into the error file."""
    shell.api.rows = ROWS[dialect]
    shell.api.life = [{"status": "completed", "request_counts": {"total": 3, "completed": 1, "failed": 2}}]
    file = shell.file("work.jsonl", numbered(dialect, 3))
    said = shell("run", file, "--identical-once", "--json")
    assert said.code == 3
    created = next(each for each in shell.api.requests if each.method == "POST" and each.url.path.endswith("/batches"))
    assert (
        json.loads(created.content)
        == {
            "input_file_id": "file-0",
            "settings": {"identical_once": True},
        }
        | {"anthropic": {"requests": []}, "batchrouter": {"quote_id": "quote of file-0"}, "kushrouter": {}}[dialect]
    )
    assert len(created.headers["idempotency-key"]) == 32
    batch = said.result["batch"]["id"]
    assert batch.startswith("batch_")
    assert [each["done"] for each in said.lines if "done" in each][-1] == 3
    assert (shell.folder / "work.output.jsonl").read_bytes() == ROWS[dialect][0] + b"\n"
    assert (shell.folder / "work.errors.jsonl").read_bytes() == b"".join(each + b"\n" for each in ROWS[dialect][1:])
    assert shell.api.files["file-0"] == file.read_bytes()


@pytest.mark.parametrize("dialect", OTHERS)
def test_a_batch_of_every_dialect_is_found_again(shell: Shell, dialect: str) -> None:
    """By any spelling of its id; `watch` and `results` ask by whom it was made."""
    shell.api.rows = ROWS[dialect][:1]
    shell.api.life = [{"status": "completed", "request_counts": {"total": 1, "completed": 1, "failed": 0}}]
    batch = shell("submit", shell.file("work.jsonl", numbered(dialect, 1))).out.strip()
    for prefix in ("batch_", "msgbatch_", "bat_"):
        spelled = batch.replace("batch_", prefix)
        assert shell("show", spelled).code == 0
        assert shell("watch", spelled, "--out", prefix).code == 0
        assert (shell.folder / prefix / f"{batch}.output.jsonl").read_bytes() == ROWS[dialect][0] + b"\n"
        assert not (shell.folder / prefix / f"{batch}.errors.jsonl").exists()
    assert shell("results", batch, "--stdout").out.encode() == ROWS[dialect][0] + b"\n"
    assert shell("cancel", batch.replace("batch_", "msgbatch_")).out.startswith(batch)


@pytest.mark.parametrize(
    ("dialect", "option"), [("anthropic", ("--metadata", "a=b")), ("batchrouter", ("--concurrency", "7"))]
)
def test_what_a_dialect_has_not_is_refused_at_once(shell: Shell, dialect: str, option: tuple[str, ...]) -> None:
    """Nothing is sent; the message says to leave it out."""
    said = shell("run", shell.file("work.jsonl", numbered(dialect, 1)), *option)
    assert (said.code, f"Leave {option[0]} out" in said.err) == (1, True)
    assert shell.api.calls == []


def test_a_batch_that_was_made_and_cannot_be_seen(shell: Shell) -> None:
    """If the API cannot be reached after it has made the batch, its id is told all the same."""
    shell.api.faults = [
        lambda each: refusal(503, "later", None) if each.method == "GET" and "/batches/" in each.url.path else None
    ]
    said = shell("submit", shell.file("work.jsonl", numbered("anthropic", 1)))
    assert (said.code, said.out) == (0, f"{next(iter(shell.api.batches))}\n")


def test_results_that_take_long_are_asked_for_again(shell: Shell) -> None:
    """The API gives up on a large reply, and has it ready soon: the second request gets it."""
    shell.api.rows = ROWS["kushrouter"]
    shell.api.life = [{"status": "completed", "request_counts": {"total": 3, "completed": 1, "failed": 2}}]
    given_up = iter([httpx.Response(503, json={}), httpx.Response(504, json={})])
    shell.api.faults = [lambda each: next(given_up, None) if each.url.path.endswith("/export") else None]
    assert shell("run", shell.file("work.jsonl", numbered("kushrouter", 3))).code == 3
    assert (shell.folder / "work.errors.jsonl").read_bytes().count(b"\n") == 2


def test_a_broken_download_leaves_no_file_of_a_dialect(shell: Shell) -> None:
    """Files have their names only when they are whole."""
    shell.api.rows = [ROWS["kushrouter"][0]] * 3
    shell.api.life = [{"status": "completed", "request_counts": {"total": 3, "completed": 3, "failed": 0}}]

    def fault(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith("/export"):
            raise httpx.ReadError("gone")
        return None

    shell.api.faults = [fault]
    said = shell("run", shell.file("work.jsonl", numbered("kushrouter", 3)))
    assert (said.code, "→" in said.err) == (1, True)
    assert list(shell.folder.glob("work.*.jsonl*")) == []


def test_cost_of_a_file_in_every_form(shell: Shell) -> None:
    """The plan is asked for by what each item is for; messages count as chat completions, which it knows."""
    items = numbered("batchrouter", 2)
    items.append(
        {"customer_item_id": "e", "operation": "embeddings", "model": "text-embedding-3-small", "input": {"input": "x"}}
    )
    assert shell("cost", shell.file("routed.jsonl", items)).code == 0
    assert shell("cost", shell.file("messages.jsonl", numbered("anthropic", 3))).code == 0
    asked = [json.loads(each.content) for each in shell.api.requests]
    assert [(each["endpoint"], each["items"]) for each in asked] == [(CHAT, 2), ("/v1/embeddings", 1), (CHAT, 3)]


def test_merge_takes_the_results_of_routed_items(shell: Shell) -> None:
    """By their customer_item_id, in the order of the input."""
    one, two = (shell.file(f"{number}.jsonl", row + b"\n") for number, row in enumerate(ROWS["batchrouter"][:2]))
    like = shell.file("like.jsonl", [GOOD["batchrouter"] | {"customer_item_id": name} for name in ("b", "a")])
    said = shell("merge", one, two, "--like", like, "--out", shell.folder / "all.jsonl")
    assert said.code == 0
    assert (shell.folder / "all.jsonl").read_bytes() == ROWS["batchrouter"][1] + b"\n" + ROWS["batchrouter"][0] + b"\n"
