"""Keeps what a benchmark found: all of it as JSON in bench/results/, the tables people read in docs/benchmarks.md.

Only the lines between the two markers of docs/benchmarks.md are replaced; the rest of the page is written by people.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from bench.cost import PRICES_AS_OF

Findings = dict[str, Any]
"""What was measured, as it is stored in JSON."""

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "bench" / "results"
DOCUMENT = REPOSITORY / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured: make bench writes this -->", "<!-- end of what make bench writes -->"

GOALS = {0: 0.25, 50: 0.5}
"""Latency in milliseconds -> the ratio to reach."""


def store(findings: Findings, *, complete: bool) -> Path:
    """Writes the JSON file and, for a complete run, the tables. Returns the JSON file's path."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    suffix = "" if complete else "-partial"
    path = RESULTS / f"{findings['at'][:10]}{suffix}.json"
    path.write_bytes(orjson.dumps(findings, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if complete:
        text = DOCUMENT.read_text() if DOCUMENT.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
        before, _, rest = text.partition(BEGIN)
        after = rest.partition(END)[2]
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(f"{before}{BEGIN}\n\n{tables(findings)}\n{END}{after}")
    return path


def tables(findings: Findings) -> str:
    """Markdown, of the parts that were measured."""
    machine = findings["machine"]
    head = (
        f"Measured {findings['at'][:10]} on {machine['cores']} cores ({machine['architecture']}, Python "
        f"{machine['python']}); the local cloud, the simulated provider and the client share them.\n"
    )
    parts = [head]
    if "speed" in findings:
        parts.append(_speed(findings["speed"]))
    if "cost" in findings:
        parts += [_cost(findings["cost"]), _calls(findings["cost"])]
    if "scale" in findings:
        parts.append(_scale(findings["scale"]))
    if "steps" in findings:
        parts.append(_steps(findings["steps"]))
    if functions := _functions(findings):
        parts.append(functions)
    return "\n".join(parts)


def _speed(runs: list[Findings]) -> str:
    rows = []
    for run in runs:
        phases = run["status_seconds"]
        rows.append(
            [
                f"{run['items']:,}",
                f"{run['latency_ms']:g} ms",
                f"{run['items_per_second']:,.0f}",
                f"{run['limit']['items_per_second']:,.0f}",
                f"{run['ratio']:.2f}",
                f"{GOALS.get(run['latency_ms'], 0):.2f}" if run["latency_ms"] in GOALS else "–",
                f"{run['seconds']:.1f} s",
                f"{run['upload_seconds']:.1f}",
                *(f"{phases.get(name, 0):.1f}" for name in ("validating", "in_progress", "finalizing")),
                f"{run['download_seconds']:.1f}",
            ]
        )
    heads = ["items", "provider", "items/s", "bare loop", "ratio", "goal", "whole", "up", "validating", "in progress"]
    return _table("Speed", [*heads, "finalizing", "down"], rows)


def _cost(run: Findings) -> str:
    rows = [
        [charge["what"], f"{charge['quantity']:,.1f} {charge['unit']}s", f"{charge['usd_per_million_items']:.4f}"]
        for charge in run["bill"]["charges"]
    ]
    rows.append(["**together**", "", f"**{run['bill']['usd_per_million_items']:.3f}**"])
    title = f"Cost: {run['items']:,} items, provider 3 s on average, list prices of {PRICES_AS_OF}"
    return _table(title, ["what", "used in this run", "$ per million items"], rows)


def _calls(run: Findings) -> str:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for call in run["meter"]["calls"]:
        counts[call["service"], call["operation"]] += call["calls"]
    ordered = sorted(counts.items(), key=lambda entry: -entry[1])
    rows = [[f"{s} {o}", f"{calls / run['items'] * 1000:.2f}"] for (s, o), calls in ordered]
    rows.append(["**together**", f"**{sum(counts.values()) / run['items'] * 1000:.2f}**"])
    return _table("AWS calls per 1,000 items (the cost run)", ["call", "per 1,000 items"], rows)


def _scale(runs: list[Findings]) -> str:
    rows = [
        [f"{run['items']:,}", f"{run['seconds']:.1f} s", f"{run['seconds'] / run['items'] * 1e6:.0f} µs"]
        for run in runs
    ]
    return _table("Time per item as batches grow (0 ms)", ["items", "whole", "per item"], rows)


def _steps(runs: list[Findings]) -> str:
    rows = [
        [
            run["step"],
            f"{run['items']:,}",
            f"{run['bytes'] / 1e6:.0f} MB",
            f"{run['seconds']:.2f} s",
            f"{run['megabytes_per_second']:.0f}",
            f"{run['growth_bytes'] / 1e6:.0f} MB",
        ]
        for run in runs
    ]
    heads = ["step", "items", "bytes", "seconds", "MB/s", "memory above the start's"]
    return _table("Validate and Finalize alone (a folder in the place of S3)", heads, rows)


def _functions(findings: Findings) -> str:
    peaks: dict[str, int] = defaultdict(int)
    cost = [findings["cost"]] if "cost" in findings else []
    for run in [*findings.get("speed", ()), *cost, *findings.get("scale", ())]:
        for name, usage in run["meter"]["functions"].items():
            peaks[name] = max(peaks[name], usage["peak_rss_bytes"])
    imports = findings.get("imports", {})
    rows = [
        [
            name,
            f"{imports[name]:.0f} ms" if name in imports else "–",
            f"{peaks[name] / 1e6:.0f} MB" if name in peaks else "not used",
        ]
        for name in sorted(imports.keys() | peaks.keys())
    ]
    return _table("Functions", ["function", "import (median)", "peak memory of all runs"], rows) if rows else ""


def _table(title: str, heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [f"### {title}", "", _row(heads), _row(["---"] + ["---:"] * (len(heads) - 1))]
    return "\n".join([*lines, *(_row(row) for row in rows), ""])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
