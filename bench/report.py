"""Keeps what a benchmark found: all of it as JSON in bench/results/, the tables people read in docs/benchmarks.md.

Only the lines between the markers of docs/benchmarks.md are replaced: the parts `trouble`, `plan` and `caches` have
their own, all others share theirs. The rest of the page is written by people.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import orjson

from bench.cache_tables import cache_tables
from bench.cost import PRICES_AS_OF
from bench.findings import Findings, table
from bench.plan_tables import plan_tables
from bench.trouble_tables import trouble_tables

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "bench" / "results"
DOCUMENT = REPOSITORY / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Section:
    """What the lines between two markers of the page show: some parts, all of which have to be measured."""

    begin: str
    end: str
    parts: frozenset[str]


SECTIONS = (
    Section(
        "<!-- measured: make bench writes this -->",
        "<!-- end of what make bench writes -->",
        frozenset({"imports", "steps", "speed", "cost", "scale"}),
    ),
    Section(
        "<!-- trouble: make bench ARGS='--only trouble' writes this -->",
        "<!-- end of trouble -->",
        frozenset({"trouble"}),
    ),
    Section(
        "<!-- plan: make bench ARGS='--only plan' writes this -->",
        "<!-- end of plan -->",
        frozenset({"plan"}),
    ),
    Section(
        "<!-- caches: make bench ARGS='--only caches' writes this -->",
        "<!-- end of caches -->",
        frozenset({"caches"}),
    ),
)

GOALS = {0: 0.25, 50: 0.5}
"""Latency in milliseconds -> the ratio to reach."""


def store(findings: Findings, *, complete: bool) -> Path:
    """Writes the JSON file and, if the run is `complete` (nothing was made smaller), the sections of the page that were
    measured. Returns the JSON file's path."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    measured = [section for section in SECTIONS if complete and section.parts <= findings.keys()]
    suffix = "" if len(measured) == len(SECTIONS) else "-" + "-".join(sorted(_PARTS & findings.keys()))
    path = RESULTS / f"{findings['at'][:10]}{suffix}.json"
    path.write_bytes(orjson.dumps(findings, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    for section in measured:
        before, _, rest = DOCUMENT.read_text().partition(section.begin)
        after = rest.partition(section.end)[2]
        shown = {name: found for name, found in findings.items() if name in section.parts or name not in _PARTS}
        DOCUMENT.write_text(f"{before}{section.begin}\n\n{tables(shown)}\n{section.end}{after}")
    return path


_PARTS = frozenset[str]().union(*(section.parts for section in SECTIONS))
_IS_RUN = _PARTS - {"plan", "caches"}
"""Parts that are more than arithmetic."""


def tables(findings: Findings) -> str:
    """Markdown, of the parts that were measured."""
    machine = findings["machine"]
    shared = "; the local cloud, the simulated provider and the client share them" if _IS_RUN & findings.keys() else ""
    busy = ", which other work shared" if machine.get("load", 0) > machine["cores"] / 2 else ""
    head = (
        f"Measured {findings['at'][:10]} on {machine['cores']} cores ({machine['architecture']}, Python "
        f"{machine['python']}){busy}{shared}.\n"
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
    if "trouble" in findings:
        parts.append(trouble_tables(findings["trouble"]))
    if "plan" in findings:
        parts.append(plan_tables(findings["plan"]))
    if "caches" in findings:
        parts.append(cache_tables(findings["caches"]))
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
    return table("Speed", [*heads, "finalizing", "down"], rows)


def _cost(run: Findings) -> str:
    rows = [
        [charge["what"], f"{charge['quantity']:,.1f} {charge['unit']}s", f"{charge['usd_per_million_items']:.4f}"]
        for charge in run["bill"]["charges"]
    ]
    rows.append(["**together**", "", f"**{run['bill']['usd_per_million_items']:.3f}**"])
    title = f"Cost: {run['items']:,} items, provider 3 s on average, list prices of {PRICES_AS_OF}"
    return table(title, ["what", "used in this run", "$ per million items"], rows)


def _calls(run: Findings) -> str:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for call in run["meter"]["calls"]:
        counts[call["service"], call["operation"]] += call["calls"]
    ordered = sorted(counts.items(), key=lambda entry: -entry[1])
    rows = [[f"{s} {o}", f"{calls / run['items'] * 1000:.2f}"] for (s, o), calls in ordered]
    rows.append(["**together**", f"**{sum(counts.values()) / run['items'] * 1000:.2f}**"])
    return table("AWS calls per 1,000 items (the cost run)", ["call", "per 1,000 items"], rows)


def _scale(runs: list[Findings]) -> str:
    rows = [
        [f"{run['items']:,}", f"{run['seconds']:.1f} s", f"{run['seconds'] / run['items'] * 1e6:.0f} µs"]
        for run in runs
    ]
    return table("Time per item as batches grow (0 ms)", ["items", "whole", "per item"], rows)


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
    return table("Validate and Finalize alone (a folder in the place of S3)", heads, rows)


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
    return table("Functions", ["function", "import (median)", "peak memory of all runs"], rows) if rows else ""
