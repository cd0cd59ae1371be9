"""The page checks a file as the server does: the same lines are good, and the same codes are given for the others."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from batchyard_cli.checking import check_file
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
        wanted = check_file(path, endpoint or CHAT, None)
        assert errors == [[error.line, error.code] for error in wanted.errors], text[:300]
        assert wanted.errors or items == wanted.items, text[:300]
