"""The one checker: what must hold for every batch that has ended, whatever happened to it on the way.

- each item has exactly one line, in exactly one of the two files, and no line belongs to no item
- succeeded items are in the output file, all others in the error file; each line has one of response and error
- request_counts add up to the number of items and to the lines of the files
- the batch's tokens are those of its lines, and its rows add up to the same figures (the ledger)
- nothing moves after a terminal status
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

TERMINAL = frozenset({"completed", "failed", "expired", "cancelled"})
COUNTS = ("succeeded", "failed", "cancelled", "expired")


class InvariantBroken(AssertionError):
    """Names the invariant and what broke it."""


@dataclass(frozen=True)
class Checked:
    """Figures of a batch that passed."""

    succeeded: int
    failed: int
    codes: Counter[str]


def check_files(custom_ids: Iterable[str], output: bytes | None, errors: bytes | None) -> Checked:
    """Exactly one line per item across the two files."""
    expected = Counter(custom_ids)
    out, err = _lines(output, "output"), _lines(errors, "error")
    seen = Counter(line["custom_id"] for line in [*out, *err])
    _require(not (missing := expected - seen), f"items in neither file: {sorted(missing)[:5]} ({missing.total()})")
    _require(not (extra := seen - expected), f"lines too many: {sorted(extra)[:5]} ({extra.total()})")
    ids = Counter(line["id"] for line in [*out, *err])
    _require(all(n == 1 for n in ids.values()), "two lines share an id")
    for line in out:
        _require(line["error"] is None and line["response"] is not None, f"not a success: {line['custom_id']}")
        _require(200 <= line["response"]["status_code"] < 300, f"a failure in the output file: {line['custom_id']}")
    codes: Counter[str] = Counter()
    for line in err:
        _require(set(line) == {"id", "custom_id", "response", "error"}, f"odd fields: {sorted(line)}")
        _require((line["response"] is None) != (line["error"] is None), f"one of response and error: {line}")
        if line["response"] is not None:
            _require(line["response"]["status_code"] >= 300, f"a success in the error file: {line['custom_id']}")
            codes[str(line["response"]["status_code"])] += 1
        else:
            codes[line["error"]["code"]] += 1
    return Checked(len(out), len(err), codes)


def check_batch(
    batch: Mapping[str, Any], custom_ids: Iterable[str], output: bytes | None, errors: bytes | None
) -> Checked:
    """`batch`: the OpenAI object as a dict, in a terminal status other than `failed` by validation."""
    _require(batch["status"] in TERMINAL, f"not terminal: {batch['status']}")
    _require(batch[f"{batch['status']}_at"] is not None, "no time of its terminal status")
    checked = check_files(custom_ids, output, errors)
    counts = batch["request_counts"]
    _require(counts["completed"] == checked.succeeded, f"completed: {counts} against {checked}")
    _require(counts["failed"] == checked.failed, f"failed: {counts} against {checked}")
    _require(counts["total"] == counts["completed"] + counts["failed"], f"counts do not add up: {counts}")
    _require((batch["output_file_id"] is None) == (checked.succeeded == 0), "output file without a success, or none")
    _require((batch["error_file_id"] is None) == (checked.failed == 0), "error file without a failure, or none")
    _check_usage(batch, output)
    return checked


def check_rows(batch_row: Mapping[str, Any], shard_rows: Iterable[Mapping[str, Any]]) -> None:
    """The ledger: what the shard rows add up to is what the batch row says, in every column they share."""
    rows = list(shard_rows)
    for row in rows:
        _require(row.get("state") in ("settled", "sealed"), f"shard {row['number']} is {row.get('state')}")
        bits = int.from_bytes(bytes(row.get("done", b"")), "big").bit_count()
        counted = sum(row.get(name, 0) for name in COUNTS)
        _require(bits == counted, f"shard {row['number']}: {bits} done, {counted} counted")
    for column in ("succeeded", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost_picousd"):
        total = sum(row.get(column, 0) for row in rows)
        _require(total == batch_row["tally"].get(column, 0), f"{column}: shards {total}, batch {batch_row['tally']}")


def check_unmoved(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Two looks at a terminal batch see the same."""
    _require(before["status"] in TERMINAL, f"not terminal: {before['status']}")
    _require(dict(before) == dict(after), f"moved after {before['status']}")


def _check_usage(batch: Mapping[str, Any], output: bytes | None) -> None:
    usage = batch.get("usage")
    if usage is None:
        return
    bodies = [line["response"]["body"].get("usage") or {} for line in _lines(output, "output")]
    spent = sum(body.get("prompt_tokens", body.get("input_tokens", 0)) for body in bodies)
    made = sum(body.get("completion_tokens", body.get("output_tokens", 0)) or 0 for body in bodies)
    _require(usage["input_tokens"] == spent, f"input tokens: {usage['input_tokens']} against {spent}")
    _require(usage["output_tokens"] == made, f"output tokens: {usage['output_tokens']} against {made}")
    _require(usage["total_tokens"] == spent + made, "total tokens do not add up")


def _lines(data: bytes | None, name: str) -> list[dict[str, Any]]:
    if data is None:
        return []
    _require(data.endswith(b"\n"), f"the {name} file does not end with a newline")
    return [json.loads(line) for line in data.removesuffix(b"\n").split(b"\n")]


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise InvariantBroken(what)
