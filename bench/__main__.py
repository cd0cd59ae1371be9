"""`make bench`: runs everything, prints what it finds, and stores it (see report.py)."""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from bench import caches, imports, items, limit, plans, report, steps, trouble
from bench.cost import bill
from bench.findings import Findings
from bench.product import Product, ProductRun
from local.cloud import LocalCloud
from local.options import realtime_only
from local.provider import SimulatedProvider

COST_LATENCY = {"latency_ms": 2647.5, "latency_sigma": 0.5}
"""Lognormal with a mean of 3 s: the median is 3,000 ms / exp(0.5² / 2); one call in a hundred takes over 8.5 s."""

_COST_POLL_SECONDS = 5.0
"""How often the customer of the cost run asks whether the batch is done. Each time it costs a request to the API."""

_WARM_UP_ITEMS = 500
_IN_FLIGHT = 256
_LIMITS = {"MAX_BATCH_ITEMS": "1000000", "MAX_FILE_BYTES": "5000000000"}


def main() -> int:
    given = _arguments()
    say(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    findings: Findings = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "architecture": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load": os.getloadavg()[0],
        },
        "items": given.items,
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        if "imports" in given.only:
            findings["imports"] = _imports(given.quick)
        if "steps" in given.only:
            findings["steps"] = _steps(folder / "steps", 50_000 if given.quick else 450_000)
        if {"speed", "cost", "scale"} & set(given.only):
            findings |= _product(folder, given)
        if "trouble" in given.only:
            findings["trouble"] = trouble.measure(folder, say, quick=given.quick)
        if "plan" in given.only:
            say("plans, with simulated vendors")
            findings["plan"] = plans.measure(plans.BATCHES // 10 if given.quick else plans.BATCHES)
        if "caches" in given.only:
            say("prompt caches, with a simulated vendor")
            sizes = caches.ITEMS[:1] if given.quick else caches.ITEMS
            findings["caches"] = [dataclasses.asdict(each) for each in caches.measure(sizes)]
    say("\n" + report.tables(findings))
    path = report.store(findings, complete=not given.quick)
    say(f"stored in {path}")
    return 0


PARTS = ("imports", "steps", "speed", "cost", "scale", "trouble", "plan", "caches")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="The product beside the bare loop, what a million items cost, and what each step does alone.",
    )
    parser.add_argument("--items", type=int, default=20_000, help="of the speed and cost runs (20,000)")
    parser.add_argument(
        "--latency-ms",
        type=float,
        nargs="+",
        default=[0, 50],
        help="the provider's, one speed run each, the first with cold starts (0 50)",
    )
    parser.add_argument(
        "--scale", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="items of the scale runs"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="some parts (all)")
    parser.add_argument("--processes", type=int, default=4, help="of one function at once, at most (4)")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything; does not touch docs/benchmarks.md")
    given = parser.parse_args()
    if given.quick:
        given.items //= 10
        given.scale = [count // 10 for count in given.scale]
    return given


def _imports(quick: bool) -> dict[str, float]:
    say("import time of each handler, milliseconds")
    measured = {name: imports.measure(name, 1 if quick else 5) for name in imports.names()}
    for name, milliseconds in measured.items():
        say(f"  {name:<10} {milliseconds:5.0f}")
    return measured


def _steps(folder: Path, count: int) -> list[Findings]:
    say(f"Validate and Finalize alone, {count:,} items")
    folder.mkdir()
    runs = []
    for run in steps.measure(folder, count):
        say(
            f"  {run.step:<9} {run.bytes / 1e6:5.0f} MB in {run.seconds:5.2f} s = {run.megabytes_per_second:4.0f} MB/s,"
            f" memory +{run.growth_bytes / 1e6:.0f} MB"
        )
        runs.append(dataclasses.asdict(run) | {"megabytes_per_second": run.megabytes_per_second})
    return runs


def _product(folder: Path, given: argparse.Namespace) -> Findings:
    say("starting the local cloud")
    findings: Findings = {}
    with (
        SimulatedProvider(seed=1) as simulator,
        LocalCloud(
            provider_url=simulator.url, environment=_LIMITS | realtime_only(), processes=given.processes
        ) as cloud,
    ):
        product = Product(cloud, simulator)
        _run(product, folder, _WARM_UP_ITEMS)
        if "speed" in given.only:
            findings["speed"] = [
                _speed(product, simulator, folder, given.items, latency_ms) for latency_ms in given.latency_ms
            ]
        if "cost" in given.only:
            findings["cost"] = _cost(product, folder, given.items)
        if "scale" in given.only:
            findings["scale"] = _scale(product, folder, given.scale)
    return findings


def _speed(product: Product, simulator: SimulatedProvider, folder: Path, count: int, latency_ms: float) -> Findings:
    say(f"{count:,} items at {latency_ms:g} ms")
    run = _run(product, folder, count, latency_ms=latency_ms)
    simulator.reset()
    simulator.configure(latency_ms=latency_ms)
    source, target = folder / f"{count}.jsonl", folder / "limit.jsonl"
    bare = limit.measure(source, target, simulator.url, _IN_FLIGHT)
    ratio = run.items_per_second / bare.items_per_second
    phases = ", ".join(f"{status} {seconds:.1f}" for status, seconds in run.status_seconds.items())
    say(f"  product {run.items_per_second:6,.0f} items/s ({run.seconds:.1f} s: up {run.upload_seconds:.1f}, {phases})")
    say(f"  limit   {bare.items_per_second:6,.0f} items/s; ratio {ratio:.2f}")
    return _found(run) | {"limit": dataclasses.asdict(bare), "ratio": ratio, "bill": _bill(run)}


def _cost(product: Product, folder: Path, count: int) -> Findings:
    say(f"{count:,} items at 3 s on average")
    run = _run(product, folder, count, poll_seconds=_COST_POLL_SECONDS, **COST_LATENCY)
    found = _found(run) | {"bill": _bill(run)}
    for charge in found["bill"]["charges"]:
        say(f"  {charge['what']:<22} {charge['usd_per_million_items']:8.4f} $ per million items")
    say(f"  {'together':<22} {found['bill']['usd_per_million_items']:8.4f} $ per million items")
    return found


def _scale(product: Product, folder: Path, counts: Iterable[int]) -> list[Findings]:
    say("time per item as batches grow, 0 ms")
    runs = []
    for count in counts:
        run = _run(product, folder, count, latency_ms=0)
        say(f"  {count:8,} items: {run.seconds / count * 1e6:6.0f} µs per item")
        runs.append(_found(run))
    return runs


def _run(product: Product, folder: Path, count: int, **settings: float) -> ProductRun:
    source = folder / f"{count}.jsonl"
    if not source.exists():
        items.write(source, count)
    return product.run(source, folder / "output.jsonl", count, **settings)


def _found(run: ProductRun) -> Findings:
    return dataclasses.asdict(run) | {"seconds": run.seconds, "items_per_second": run.items_per_second}


def _bill(run: ProductRun) -> Findings:
    whole = bill(run.meter, run.items)
    return {
        "usd_per_million_items": whole.usd_per_million_items,
        "unpriced": list(whole.unpriced),
        "charges": [
            dataclasses.asdict(charge) | {"usd_per_million_items": charge.usd / run.items * 1e6}
            for charge in whole.charges
        ],
    }


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
