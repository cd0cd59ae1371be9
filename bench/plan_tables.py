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
            rows.append(
                [
                    run["policy"],
                    f"{run['stalled_share'] * 100:g}",
                    f"{run['price'] * 100:.1f}",
                    _against(runs, run, "native only"),
                    _against(runs, run, "best policy"),
                    f"{run['in_time'] * 100:.2f}",
                    f"{run['jobs']:,}",
                    f"{run['escalated']:,}",
                ]
            )
    heads = ["policy", "jobs that stall, %", "price, % of realtime", "against native only, % (5)"]
    heads += ["against the best policy, %", "deadlines met, % (100)", "provider jobs", "escalated"]
    return table("Price and deadlines, all batches (simulated)", heads, rows)


def _deadlines(runs: list[Findings]) -> str:
    rows = []
    for run in runs:
        if run["policy"] == "the plan" and run["hours"] is not None:
            native, best, floor = (_same(runs, run, policy) for policy in ("native only", "best policy", "foresight"))
            rows.append(
                [
                    f"{run['hours']} h",
                    f"{run['stalled_share'] * 100:g}",
                    f"{run['batches']:,}",
                    *(f"{each['price'] * 100:.1f}" for each in (run, best, floor)),
                    *(_against(runs, each, "native only") for each in (run, best)),
                    f"{run['in_time'] * 100:.2f}",
                    f"{native['in_time'] * 100:.2f}",
                ]
            )
    heads = ["deadline", "jobs that stall, %", "batches", "the plan's price, %", "best policy's, %", "foresight's, %"]
    heads += ["the plan against native only, % (5)", "best policy against that, %"]
    heads += ["the plan meets, % (100)", "native only meets, %"]
    return table("The plan, by deadline (simulated)", heads, rows)


def _against(runs: list[Findings], run: Findings, policy: str) -> str:
    """How much dearer it is than another policy, in percent."""
    return f"{(run['price'] / _same(runs, run, policy)['price'] - 1) * 100:+.1f}"


def _same(runs: list[Findings], run: Findings, policy: str) -> Findings:
    """What another policy came to with the same batches."""
    return next(
        each
        for each in runs
        if each["policy"] == policy and (each["stalled_share"], each["hours"]) == (run["stalled_share"], run["hours"])
    )
