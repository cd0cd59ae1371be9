"""The table of the part `caches`."""

from __future__ import annotations

from bench.findings import Findings, table


def cache_tables(runs: list[Findings]) -> str:
    """Markdown: a line for each workload, with all items at once beside one of each family ahead."""
    rows = []
    for together, ahead in zip(runs[::2], runs[1::2], strict=True):
        rows.append(
            [
                ahead["vendor"],
                ahead["workload"],
                f"{ahead['items']:,}",
                *(f"{run['cached_share'] * 100:.1f}" for run in (together, ahead)),
                *(f"{run['cost_share'] * 100:.1f}" for run in (together, ahead)),
                f"{(1 - ahead['cost_share'] / together['cost_share']) * 100:.1f}",
                *(f"{run['seconds']:.0f}" for run in (together, ahead)),
            ]
        )
    heads = ["cache", "items", "how many", "input from the cache, %: at once", "one ahead"]
    heads += [
        "cost, % of that without a cache: at once",
        "one ahead",
        "saved by that, %",
        "seconds: at once",
        "one ahead",
    ]
    return table("Prompt caches: all items at once, and one of each family ahead (simulated)", heads, rows)
