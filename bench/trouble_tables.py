"""The tables of the part `trouble`, with what has to be known to read them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from bench.findings import Findings, table
from bench.outages import BEGINS, RATE, WORKERS
from simulation.outages import KINDS

_ORDER = tuple(KINDS)


def trouble_tables(found: Findings) -> str:
    """Markdown, of what was measured. The goals stand in the heads."""
    makers: dict[str, Callable[[Any], str]] = {
        "outages": _outages,
        "limits": _limits,
        "small": _small,
        "shares": _shares,
        "kills": _kills,
    }
    return "\n".join(make(found[name]) for name, make in makers.items() if name in found)


def _outages(runs: list[Findings]) -> str:
    by_kind: dict[tuple[str, int], dict[str, Findings]] = defaultdict(dict)
    for run in runs:
        by_kind[run["kind"], run["minutes"]][run["begins"]] = run
    rows = []
    for (kind, minutes), by_start in sorted(by_kind.items(), key=lambda entry: _ORDER.index(entry[0][0])):

        def each(cell: Callable[[Findings], str], by_start: dict[str, Findings] = by_start) -> str:
            return " / ".join(cell(by_start[begins]) if begins in by_start else "–" for begins in BEGINS)

        rows.append(
            [
                kind,
                str(minutes),
                str(sum(run["lost"] for run in by_start.values())),
                each(lambda run: f"{run['extra_calls'] / run['items'] * 100:.2f}"),
                each(lambda run: _seconds(run["full_speed_seconds"])),
                each(lambda run: _seconds(run["late_seconds"])),
            ]
        )
    title = f"Outages: start / middle / end of a batch, {WORKERS} workers, {RATE} calls a second (simulated)"
    heads = ["the provider", "minutes", "items lost (0)", "extra calls, % (1)", "to full speed, s (30)", "late by, s"]
    return table(title, heads, rows)


def _limits(runs: list[Findings]) -> str:
    of_one = {run["rate"]: run["gigabyte_seconds"] for run in runs if run["workers"] == 1}
    rows = [
        [
            f"{run['rate']:,}",
            str(run["workers"]),
            f"{run['call_seconds']:g} s",
            f"{run['items']:,}",
            f"{run['used'] * 100:.1f}",
            f"{run['refused'] * 100:.1f}",
            f"{run['gigabyte_seconds']:,.0f}",
            f"{run['gigabyte_seconds'] / of_one[run['rate']]:.2f}" if run["rate"] in of_one else "–",
            f"{run['usd_per_million_items']:.2f}",
        ]
        for run in runs
    ]
    heads = ["calls a second", "workers", "a call", "items", "used, % (95)", "refused, % (3)"]
    heads += ["GB-seconds", "× one worker (1.5)", "$ per million"]
    return table("A lane with a limit (simulated)", heads, rows)


def _small(runs: list[Findings]) -> str:
    rows = [
        [
            run["beside"],
            str(run["workers"]),
            f"{run['alone_seconds']:.1f}",
            f"{run['first_call_seconds']:.1f}",
            f"{run['ended_seconds']:.1f}",
            f"{2 * run['alone_seconds'] + 10:.1f}",
        ]
        for run in runs
    ]
    heads = ["1,000,000 items of", "workers", "alone, s", "first call after, s", "done after, s", "goal, s"]
    return table("A batch of 50 beside 1,000,000 items, 200 calls a second (simulated)", heads, rows)


def _shares(runs: list[Findings]) -> str:
    rows = [
        [str(run["workers"]), *(f"{run[name] * 100:.0f}" for name in ("first", "smallest", "largest"))] for run in runs
    ]
    heads = ["workers", "the account with five batches, %", "smallest, % (90)", "largest, % (110)"]
    return table("Ten accounts that want everything: 100 is an equal share (simulated)", heads, rows)


def _kills(run: Findings) -> str:
    row = [
        f"{run['items']:,}",
        f"{run['kills']} ({run['killed_processes']})",
        f"{run['different']:,} of {run['lines']:,}",
        f"{run['repeated']:,}",
        f"{run['killed_share'] * 100:.1f}",
        f"{run['alone_seconds']:.0f}",
        f"{run['seconds']:.0f}",
        f"{run['slowdown'] * 100:.1f}",
    ]
    heads = ["items", "kills (processes)", "different lines", "repeated calls", "killed, % of the calls"]
    heads += ["without kills, s", "with kills, s", "lost time, %"]
    return table("Every worker killed every 5 seconds (local cloud, not simulated)", heads, [row])


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"
