"""The tables of the part `plan`, with what has to be known to read them."""

from __future__ import annotations

from bench.findings import Findings, table


def plan_tables(found: Findings) -> str:
    """Markdown, of what was simulated."""
    lanes = ", ".join(
        f"{lane['model']} {lane['median_seconds'] / 60:g} min ({lane['calls_per_second']:g} calls a second in realtime)"
        for lane in found["assumed"]["lanes"]
    )
    about = (
        f"{found['batches']:,} batches. Completion times of provider jobs are lognormal with sigma "
        f"{found['assumed']['sigma']:g}: one in ten takes 3.6 medians, one in a hundred 10. Medians: {lanes}.\n"
    )
    return "\n".join([about, _policies(found["runs"]), _deadlines(found["runs"])])


def _policies(runs: list[Findings]) -> str:
    rows = []
    for run in runs:
        if run["hours"] is None:
            native, floor = (_same(runs, run, policy)["price"] for policy in ("native only", "foresight"))
            rows.append(
                [
                    run["policy"],
                    f"{run['stalled_share'] * 100:g}",
                    f"{run['price'] * 100:.1f}",
                    f"{(run['price'] / native - 1) * 100:+.1f}",
                    f"{(run['price'] / floor - 1) * 100:+.1f}",
                    f"{run['in_time'] * 100:.2f}",
                    f"{run['jobs']:,}",
                    f"{run['escalated']:,}",
                ]
            )
    heads = ["policy", "jobs that stall, %", "price, % of realtime", "against native only, % (5)"]
    heads += ["against foresight, %", "deadlines met, % (100)", "provider jobs", "escalated"]
    return table("Price and deadlines, all batches (simulated)", heads, rows)


def _deadlines(runs: list[Findings]) -> str:
    rows = []
    for run in runs:
        if run["policy"] == "the plan" and run["hours"] is not None:
            native, floor = (_same(runs, run, policy) for policy in ("native only", "foresight"))
            rows.append(
                [
                    f"{run['hours']} h",
                    f"{run['stalled_share'] * 100:g}",
                    f"{run['batches']:,}",
                    f"{run['price'] * 100:.1f}",
                    f"{floor['price'] * 100:.1f}",
                    f"{(run['price'] / native['price'] - 1) * 100:+.1f}",
                    f"{run['in_time'] * 100:.2f}",
                    f"{native['in_time'] * 100:.2f}",
                ]
            )
    heads = ["deadline", "jobs that stall, %", "batches", "price, %", "foresight's price, %"]
    heads += ["against native only, % (5)", "met, % (100)", "native only meets, %"]
    return table("The plan, by deadline (simulated)", heads, rows)


def _same(runs: list[Findings], run: Findings, policy: str) -> Findings:
    """What another policy came to with the same batches."""
    return next(
        each
        for each in runs
        if each["policy"] == policy and (each["stalled_share"], each["hours"]) == (run["stalled_share"], run["hours"])
    )
