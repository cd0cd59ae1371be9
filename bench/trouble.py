"""The part `trouble`: what outages, limits, neighbours and kills cost. All but the kills is simulated with the clock
sped up, on as many processes as the machine has cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import kills, lanes, outages
from bench.findings import Findings

_SMALL_BATCHES = [(workers, account_id) for workers in (5, 20) for account_id in ("acct_b", "acct_a")]
_KILLED_ITEMS = 20_000

Say = Callable[[str], None]


def measure(folder: Path, say: Say, *, quick: bool) -> Findings:
    """Everything, in about eight minutes on two cores; `quick`: a little of each in one."""
    with _processes() as pool:
        limits = _all(pool, lanes.run_limit, [(case,) for case in lanes.limit_cases(quick=quick)])
        small = _all(pool, lanes.run_small, _SMALL_BATCHES[:1] if quick else _SMALL_BATCHES)
        shares = _all(pool, lanes.run_shares, [(5,)] if quick else [(5,), (20,)])
        say("outages, with the clock sped up")
        found: Findings = {"outages": _listed(_outages(pool, quick), say)}
        say("lanes with a limit, with the clock sped up")
        found["limits"] = _listed(_results(limits), say)
        say("a small batch beside a big one, and ten accounts, with the clock sped up")
        found |= {"small": _listed(_results(small), say), "shares": _listed(_results(shares), say)}
    count = _KILLED_ITEMS // 10 if quick else _KILLED_ITEMS
    say(f"{count:,} items on the local cloud while every worker is killed every {kills.KILL_SECONDS:g} seconds")
    run = kills.measure(folder, count)
    return found | {"kills": asdict(run) | {"killed_share": run.killed_share, "slowdown": run.slowdown}}


@contextmanager
def _processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def _outages(pool: Executor, quick: bool) -> Iterator[outages.OutageRun]:
    cases = outages.cases(quick=quick)
    usual = {items: pool.submit(outages.undisturbed, items) for items in {case.items for case in cases}}
    yield from _results(_all(pool, outages.run, [(case, usual[case.items].result()) for case in cases]))


def _all(pool: Executor, function: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> list[Future[Any]]:
    return [pool.submit(function, *each) for each in arguments]


def _results(futures: list[Future[Any]]) -> Iterator[Any]:
    for future in futures:
        yield future.result()


def _listed(runs: Iterator[Any], say: Say) -> list[Findings]:
    found = []
    for run in runs:
        found.append(asdict(run))
        say("  " + ", ".join(f"{name} {_short(value)}" for name, value in found[-1].items()))
    return found


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
