"""The one checker: what must hold for every batch that has ended, whatever happened to it on the way. Each invariant
has a name, and what is raised says which one was broken."""

from __future__ import annotations

import enum
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from batchyard.core import exact_json

TERMINAL = frozenset({"completed", "failed", "expired", "cancelled"})
COUNTS = ("succeeded", "failed", "cancelled", "expired")
_BALANCE = ("available_picousd", "reserved_picousd", "charged_picousd")


class Invariant(enum.Enum):
    """What must hold, one sentence each."""

    ENDS = "a batch reaches a terminal status, and has the time of it"
    ONE_LINE = "each item has exactly one line in the two files, and no line belongs to no item"
    RIGHT_FILE = "what succeeded is in the output file, everything else in the error file"
    FORM = "each line is whole, has an id of its own, and one of response and error"
    COUNTS = "request_counts add up to the number of items and to the lines of the files"
    FILES = "a file is named if it has lines, and only then"
    TOKENS = "the batch's tokens are those of its lines"
    SUMS = "the shard rows add up to the batch row, and each says as many results as it has done"
    CREDITS = (
        "an account's entries add up to its balance, only what runs is reserved for, and each end was settled once"
    )
    UNMOVED = "nothing moves after a terminal status"
    CALLED_ONCE = "while no lease ends, no item is sent to its provider twice"
    PAID_ONCE = "no item is billed twice, in whatever mode and at whatever provider"
    PRIVACY = "no item reaches a provider that it was not routed to"


class InvariantBroken(AssertionError):
    """`invariant` is the one that does not hold, the text says what broke it."""

    def __init__(self, invariant: Invariant, what: str) -> None:
        super().__init__(f"{invariant.name} ({invariant.value}): {what}")
        self.invariant = invariant


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
    _require(
        Invariant.ONE_LINE,
        not (missing := expected - seen),
        f"items in neither file: {sorted(missing)[:5]} ({missing.total()})",
    )
    _require(
        Invariant.ONE_LINE, not (extra := seen - expected), f"lines too many: {sorted(extra)[:5]} ({extra.total()})"
    )
    ids = Counter(line["id"] for line in [*out, *err])
    _require(Invariant.FORM, all(n == 1 for n in ids.values()), "two lines share an id")
    for line in out:
        _require(
            Invariant.RIGHT_FILE,
            line["error"] is None and line["response"] is not None,
            f"not a success: {line['custom_id']}",
        )
        _require(
            Invariant.RIGHT_FILE,
            200 <= line["response"]["status_code"] < 300,
            f"a failure in the output file: {line['custom_id']}",
        )
    codes: Counter[str] = Counter()
    for line in err:
        _require(Invariant.FORM, set(line) == {"id", "custom_id", "response", "error"}, f"odd fields: {sorted(line)}")
        _require(
            Invariant.FORM, (line["response"] is None) != (line["error"] is None), f"one of response and error: {line}"
        )
        if line["response"] is not None:
            _require(
                Invariant.RIGHT_FILE,
                line["response"]["status_code"] >= 300,
                f"a success in the error file: {line['custom_id']}",
            )
            codes[str(line["response"]["status_code"])] += 1
        else:
            codes[line["error"]["code"]] += 1
    return Checked(len(out), len(err), codes)


def check_batch(
    batch: Mapping[str, Any], custom_ids: Iterable[str], output: bytes | None, errors: bytes | None, copies: int = 0
) -> Checked:
    """`batch`: the OpenAI object as a dict, in a terminal status other than `failed` by validation. `copies`: how many
    items have the result of another one, whose tokens they do not spend again."""
    _require(Invariant.ENDS, batch["status"] in TERMINAL, f"not terminal: {batch['status']}")
    _require(Invariant.ENDS, batch[f"{batch['status']}_at"] is not None, "no time of its terminal status")
    checked = check_files(custom_ids, output, errors)
    counts = batch["request_counts"]
    _require(Invariant.COUNTS, counts["completed"] == checked.succeeded, f"completed: {counts} against {checked}")
    _require(Invariant.COUNTS, counts["failed"] == checked.failed, f"failed: {counts} against {checked}")
    _require(
        Invariant.COUNTS, counts["total"] == counts["completed"] + counts["failed"], f"counts do not add up: {counts}"
    )
    _require(
        Invariant.FILES,
        (batch["output_file_id"] is None) == (checked.succeeded == 0),
        "output file without a success, or none",
    )
    _require(
        Invariant.FILES,
        (batch["error_file_id"] is None) == (checked.failed == 0),
        "error file without a failure, or none",
    )
    _check_usage(batch, output, copies)
    return checked


def check_rows(batch_row: Mapping[str, Any], shard_rows: Iterable[Mapping[str, Any]]) -> None:
    """What the shard rows add up to is what the batch row says, in every column they share. Copies are in no shard:
    they count as items, and cost nothing."""
    rows, copies = list(shard_rows), copies_of(batch_row)
    for row in rows:
        _require(
            Invariant.SUMS, row.get("state") in ("settled", "sealed"), f"shard {row['number']} is {row.get('state')}"
        )
        bits = int.from_bytes(bytes(row.get("done", b"")), "big").bit_count()
        counted = sum(row.get(name, 0) for name in COUNTS)
        _require(Invariant.SUMS, bits == counted, f"shard {row['number']}: {bits} done, {counted} counted")
    for column in ("succeeded", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost_picousd"):
        total = sum(row.get(column, 0) for row in rows)
        beside = batch_row["tally"].get(column, 0) - total
        _require(
            Invariant.SUMS,
            0 <= beside <= (copies if column == "succeeded" else 0),
            f"{column}: shards {total}, copies {copies}, batch {batch_row['tally']}",
        )


def copies_of(batch_row: Mapping[str, Any]) -> int:
    """How many of the batch's items have the result of another one."""
    return int((batch_row.get("plan") or {}).get("copies", 0))


def check_credits(
    balance_row: Mapping[str, Any] | None,
    entry_rows: Iterable[Mapping[str, Any]],
    batch_rows: Iterable[Mapping[str, Any]],
) -> None:
    """An account's books, all read at one moment. A batch that ended is charged what its results cost, neither more nor
    less, and what was reserved for it is free again; one that runs has its reservation; a free one has no entries. A
    batch that was deleted is settled, whatever it cost."""
    balance, entries, batches = balance_row or {}, list(entry_rows), list(batch_rows)
    for column in _BALANCE:
        total = sum(entry.get(column, 0) for entry in entries)
        _require(Invariant.CREDITS, total == balance.get(column, 0), f"{column}: entries {total}, balance {balance}")
    by_batch: defaultdict[str, Counter[str]] = defaultdict(Counter)
    kinds: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        kinds[entry["about"], entry["kind"]] += 1
        if entry["kind"] != "top_up":
            by_batch[entry["about"]].update({column: entry.get(column, 0) for column in _BALANCE})
    _require(Invariant.CREDITS, all(count == 1 for count in kinds.values()), f"made twice: {kinds}")
    overrun = 0
    for deleted in by_batch.keys() - {batch["id"] for batch in batches}:
        has = by_batch[deleted]
        is_settled = has["reserved_picousd"] == 0 and has["available_picousd"] == -has["charged_picousd"]
        _require(Invariant.CREDITS, is_settled, f"{deleted} is gone, and not settled: {has}")
        overrun += has["charged_picousd"]
    for batch in batches:
        has, reserved = by_batch[batch["id"]], batch.get("reserved_picousd", 0)
        cost = batch["tally"].get("cost_picousd", 0) if batch["status"] in TERMINAL else 0
        if batch.get("billing", "free") == "free":
            expected = (0, 0, 0)
        elif batch["status"] in TERMINAL:
            expected = (-cost, 0, cost)
            overrun += max(0, cost - reserved)
        else:
            expected = (-reserved, reserved, 0)
        found = tuple(has[column] for column in _BALANCE)
        _require(Invariant.CREDITS, found == expected, f"{batch['id']}, {batch['status']}: {found} against {expected}")
    is_prepaid = all(batch.get("billing") != "postpaid" for batch in batches)
    available = balance.get("available_picousd", 0)
    _require(Invariant.CREDITS, not is_prepaid or available >= -overrun, f"overdrawn: {available}")


def check_unmoved(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Two looks at a terminal batch see the same."""
    _require(Invariant.UNMOVED, before["status"] in TERMINAL, f"not terminal: {before['status']}")
    _require(Invariant.UNMOVED, dict(before) == dict(after), f"moved after {before['status']}")


def check_calls(received: Iterable[int]) -> None:
    """`received`: how often the provider got each item, in a run in which no lease ended."""
    counts = list(received)
    _require(Invariant.CALLED_ONCE, max(counts, default=0) <= 1, f"{sum(each > 1 for each in counts)} items")


def check_bills(bills: Iterable[Iterable[int]]) -> None:
    """`bills`: of each item, how often it was billed in each mode."""
    totals = [sum(bill) for bill in bills]
    _require(Invariant.PAID_ONCE, max(totals, default=0) <= 1, f"{sum(each > 1 for each in totals)} items")


def check_places(used: Iterable[tuple[str, str]], allowed: Iterable[tuple[str, str]]) -> None:
    """(provider, model): those that were billed for items, and those that items were routed to."""
    strange = set(used) - set(allowed)
    _require(Invariant.PRIVACY, not strange, f"items at {sorted(strange)}")


def check_ended(status: str) -> None:
    """After all the time that a batch was given."""
    _require(Invariant.ENDS, status in TERMINAL, f"still {status}")


def _check_usage(batch: Mapping[str, Any], output: bytes | None, copies: int) -> None:
    usage = batch.get("usage")
    if usage is None:
        return
    lines = _lines(output, "output")
    called = {line["response"]["request_id"]: line for line in lines}.values() if copies else lines
    _require(Invariant.TOKENS, len(lines) - len(called) <= copies, f"{len(called)} calls, and {copies} copies")
    bodies = [line["response"]["body"].get("usage") or {} for line in called]
    spent = sum(body.get("prompt_tokens", body.get("input_tokens", 0)) for body in bodies)
    made = sum(body.get("completion_tokens", body.get("output_tokens", 0)) or 0 for body in bodies)
    _require(Invariant.TOKENS, usage["input_tokens"] == spent, f"input tokens: {usage['input_tokens']} against {spent}")
    _require(
        Invariant.TOKENS, usage["output_tokens"] == made, f"output tokens: {usage['output_tokens']} against {made}"
    )
    _require(Invariant.TOKENS, usage["total_tokens"] == spent + made, "total tokens do not add up")


def _lines(data: bytes | None, name: str) -> list[dict[str, Any]]:
    if data is None:
        return []
    _require(Invariant.FORM, data.endswith(b"\n"), f"the {name} file does not end with a newline")
    return [exact_json.loads_anything(line) for line in data.removesuffix(b"\n").split(b"\n")]


def _require(invariant: Invariant, holds: bool, what: str) -> None:
    if not holds:
        raise InvariantBroken(invariant, what)
