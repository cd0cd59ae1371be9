"""The page checks a file as the server does: the same lines are good, and the same codes are given for the others."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from batchyard.core.items import Item, LineError
from batchyard.surfaces.registry import surface
from batchyard.surfaces.surface import LineContext
from batchyard_cli.checking import check_file
from batchyard_cli.forms import Form
from batchyard_cli.limits import Limits
from tests.dashboard.conftest import Visit

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4o-mini", "messages": []}
GOOD = {"custom_id": "a", "method": "POST", "url": CHAT, "body": BODY}
LIMITS = Limits()


def _lines() -> list[str]:
    """Each stands in a file of its own."""
    changed: list[dict[str, Any]] = [{name: value} for name in GOOD for value in (None, 1, 1.5, True, [], {}, "", "x")]
    changed += [{"custom_id": "x" * length} for length in (512, 513)] + [{"custom_id": "\U0001f600" * 512}]
    changed += [{"method": "post"}, {"url": "/v1/embeddings"}, {"provider": 3}, {"provider": None}, {"provider": "p"}]
    changed += [{"body": BODY | {"model": model}} for model in (None, 3, "", "x" * 256, "x" * 257)]
    changed += [{"body": BODY | {name: value}} for name in ("stream", "background") for value in (True, False, 0, "no")]
    changed += [{"body": BODY | {"input": "y" * length}} for length in (100, LIMITS.max_line_bytes)]
    lines = [json.dumps(GOOD | change) for change in changed]
    lines += [json.dumps({name: value for name, value in GOOD.items() if name != left_out}) for left_out in GOOD]
    good = json.dumps(GOOD)
    lines += [
        "",
        " ",
        "null",
        "1",
        '"a"',
        "[]",
        "{",
        "{}",
        good + ",",
        good + "}",
        "\ufeff" + good,
        good + "\r",
        "\t" + good,
    ]
    return [*lines, good + "\n" + good, good + "\n\n" + good.replace('"a"', '"b"') + "\n", "NaN", good[:-1]]


def test_the_page_finds_what_the_server_finds(visit: Visit, tmp_path: Path) -> None:
    """What is wrong with each file, line by line and by its code, is the same here and in the code that Validate
    runs, which the command line carries."""
    page = visit("new")
    files = _lines()
    found = page.evaluate(
        """async ([files, limits]) => {
            const { check } = await import("./lines.js");
            const [told, never] = [[], new AbortController().signal];
            for (const text of files) {
                const { endpoint, items, errors } = await check(new File([text], "f"), limits, null, () => {}, never);
                told.push([endpoint, items, errors.map((error) => [error.line || null, error.code])]);
            }
            return told;
        }""",
        [files, asdict(LIMITS)],
    )
    assert len(files) > 60
    path = tmp_path / "requests.jsonl"
    for text, (endpoint, items, errors) in zip(files, found, strict=True):
        path.write_bytes(text.encode())
        wanted = check_file(path, Form("openai", endpoint or CHAT), None)
        assert errors == [[error.line, error.code] for error in wanted.errors], text[:300]
        assert wanted.errors or items == wanted.items, text[:300]


# Other forms of lines.

ANTHROPIC = {"custom_id": "a", "params": {"model": "claude-haiku-4-5", "max_tokens": 5, "messages": []}}
ROUTED = {"customer_item_id": "a", "operation": "responses", "model": "m", "input": {"messages": [{"role": "user"}]}}
KUSH = {"custom_id": "a", "model": "m", "messages": [{"role": "user", "content": "x"}]}
ODD: tuple[Any, ...] = (None, 1, 1.5, True, False, [], {}, "", "x", [1], {"model": "m"})


def _without(line: dict[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in line.items() if each != name}


def _anthropic_lines() -> list[dict[str, Any]]:
    lines = [ANTHROPIC | {name: value} for name in ANTHROPIC for value in ODD]
    lines += [ANTHROPIC | {"custom_id": each} for each in ("a" * 64, "a" * 65, "a b", "a\n", "\u00e4", "A_-9")]
    params = ANTHROPIC["params"]
    assert isinstance(params, dict)
    lines += [ANTHROPIC | {"params": params | {"model": each}} for each in ("y" * 256, "y" * 257, "\U0001f600" * 256)]
    lines += [ANTHROPIC | {"params": params | {"stream": each}} for each in ODD]
    return [*lines, ANTHROPIC | {"more": 1}, _without(ANTHROPIC, "custom_id")]


def _routed_lines() -> list[dict[str, Any]]:
    lines = [ROUTED | {name: value} for name in ROUTED for value in ODD]
    inputs: list[dict[str, Any]] = [{name: value} for name in ("messages", "input") for value in ODD]
    inputs += [{"messages": [1], name: value} for name in ("model", "stream", "background") for value in ODD]
    inputs += [{"messages": [1], "model": "m"}, {"messages": None, "input": "x"}]
    operations = ("responses", "embeddings", "vision", "other")
    lines += [ROUTED | {"operation": operation, "input": each} for operation in operations for each in inputs]
    lines += [_without(ROUTED, name) for name in ("operation", "model", "input")] + [ROUTED | {"more": 1}]
    return [*lines, *(GOOD | {"url": url} for url in (CHAT, "/v1/responses", "/v1/messages", "/v1/nothing", None, 3))]


def _kush_lines() -> list[dict[str, Any]]:
    lines = [KUSH | {name: value} for name in KUSH for value in ODD]
    lines += [KUSH | {"custom_id": each} for each in ("index:7", "index:", "index:\u0663", "x" * 512, "x" * 513)]
    enveloped = {"custom_id": "a", "method": "POST", "url": CHAT, "body": _without(KUSH, "custom_id")}
    lines += [enveloped | {name: value} for name in ("method", "url", "body", "more") for value in ODD]
    lines += [_without(enveloped, name) for name in ("custom_id", "method", "url")]
    return [*lines, *(_without(KUSH, name) for name in ("custom_id", "model")), KUSH | {"stream": True, "body": 1}]


FORMS = {
    "anthropic": (ANTHROPIC, _anthropic_lines()),
    "batchrouter": (ROUTED, _routed_lines()),
    "kushrouter": (KUSH, _kush_lines()),
}


def _code(item: Item | LineError) -> str | None:
    if isinstance(item, LineError):
        return item.code
    return "duplicate_custom_id" if item.custom_id == "first" else None


@pytest.mark.parametrize("dialect", FORMS)
def test_the_page_knows_the_lines_of_every_dialect(visit: Visit, dialect: str) -> None:
    """A good line first, which says what form the file has: what is wrong with the second one, by its code, is what
    the dialect's surface says, whose code Validate runs."""
    good, lines = FORMS[dialect]
    first = json.dumps(good).replace('"a"', '"first"')
    texts = [json.dumps(each) for each in lines] + [json.dumps(good), "[]", "1", "null", "{", first]
    found = visit("new").evaluate(
        """async ([files, limits]) => {
            const { check } = await import("./lines.js");
            const [told, never] = [[], new AbortController().signal];
            for (const text of files) {
                const { dialect, errors } = await check(new File([text], "f"), limits, null, () => {}, never);
                told.push([dialect, errors.map((error) => [error.line, error.code])]);
            }
            return told;
        }""",
        [[f"{first}\n{text}" for text in texts], asdict(LIMITS)],
    )
    context = LineContext("" if dialect == "batchrouter" else CHAT, LIMITS.max_custom_id_chars)
    assert len(texts) > 40
    codes = set()
    for text, (told, errors) in zip(texts, found, strict=True):
        code = _code(surface(dialect).parse_line(text.encode(), 1, 2, context))
        assert told == dialect and errors == ([[2, code]] if code else []), text
        codes.add(code)
    assert len(codes) > 6 and None in codes


def test_a_dialects_own_limits_hold(visit: Visit) -> None:
    """Once a line says whose form the file has; a file whose lines are none of these is taken for one in OpenAI's."""
    own = {"kushrouter": {"max_line_bytes": 200, "max_batch_items": 2, "max_file_bytes": 5_000}}
    files = [
        "\n".join([json.dumps(_without(KUSH, "custom_id"))] * 3),
        "\n".join([json.dumps(KUSH), json.dumps(KUSH | {"custom_id": "b", "user": "x" * 200})]),
        "\n".join([json.dumps(KUSH | {"user": "x" * 6_000})]),
        "{}",
    ]
    found = visit("new").evaluate(
        """async ([files, limits]) => {
            const { check } = await import("./lines.js");
            const never = new AbortController().signal;
            const checks = files.map((text) => check(new File([text], "f"), limits, null, () => {}, never));
            return (await Promise.all(checks)).map(({ errors }) => errors.map((error) => error.code));
        }""",
        [files, asdict(LIMITS) | {"dialects": own}],
    )
    assert found == [["too_many_tasks"], ["line_too_long"], ["file_too_large"], ["missing_required_parameter"]]
