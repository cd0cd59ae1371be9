"""Watching a batch: what is told while it runs, and how it ended. Losing the network ends nothing: the batch goes on
without us."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from batchyard_cli.api import Api, Unreachable
from batchyard_cli.console import Console
from batchyard_cli.exits import CommandFailed, Done, Exit, interrupted
from batchyard_cli.surroundings import Surroundings
from batchyard_cli.texts import duration, moment

TERMINAL = frozenset({"completed", "failed", "expired", "cancelled"})
_POLL_SECONDS = 2.0
_LONGEST_POLL_SECONDS = 30.0
_RATE_SECONDS = 60.0
"""The rate is that of the last minute."""

Batch = dict[str, Any]


class Pace:
    """Items per second, from what the last looks saw."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def look(self, now: float, done: int) -> None:
        self._looks.append((now, done))
        while len(self._looks) > 2 and self._looks[0][0] < now - _RATE_SECONDS:
            self._looks.popleft()

    @property
    def per_second(self) -> float | None:
        """None while nothing is known."""
        (first, before), (last, done) = self._looks[0], self._looks[-1]
        return (done - before) / (last - first) if last > first and done > before else None

    def seconds_left(self, missing: int) -> float | None:
        rate = self.per_second
        return missing / rate if rate else None


def done_items(batch: Batch) -> int:
    counts = batch.get("request_counts") or {}
    return int(counts.get("completed", 0)) + int(counts.get("failed", 0))


def total_items(batch: Batch) -> int:
    return int((batch.get("request_counts") or {}).get("total", 0))


def cost_of(batch: Batch) -> str | None:
    """US dollars, as a decimal string."""
    return (batch.get("usage") or {}).get("cost_usd")


def watch(batch: Batch, api: Api, console: Console, surroundings: Surroundings) -> Batch:
    """The batch when it is over. Ctrl-C raises CommandFailed, and the batch goes on."""
    pace, told_waits, pause = Pace(), set[str](), _POLL_SECONDS
    try:
        while True:
            _tell(batch, pace, console, surroundings.now())
            for wait in batch.get("waiting_for") or []:
                if wait["message"] not in told_waits:
                    told_waits.add(wait["message"])
                    console.warn(f"{wait['state']}: {wait['message']}")
            if batch["status"] in TERMINAL:
                return batch
            surroundings.sleep(pause)
            try:
                batch, pause = api.get(f"/batches/{batch['id']}"), _POLL_SECONDS
            except Unreachable as fault:
                pause = min(2 * pause, _LONGEST_POLL_SECONDS)
                console.warn(f"{fault.message} The batch goes on; looking again in {duration(pause)}.")
    except KeyboardInterrupt:
        raise detached(batch["id"]) from None


def detached(batch_id: str) -> CommandFailed:
    return interrupted(
        f"Detached: {batch_id} goes on without you.",
        f"`batchyard watch {batch_id}` attaches again, `batchyard cancel {batch_id}` stops it.",
    )


def _tell(batch: Batch, pace: Pace, console: Console, now: float) -> None:
    done, total = done_items(batch), total_items(batch)
    pace.look(now, done)
    rate, left = pace.per_second, pace.seconds_left(total - done)
    fields = {
        "id": batch["id"],
        "status": batch["status"],
        "done": done,
        "failed": (batch.get("request_counts") or {}).get("failed", 0),
        "total": total,
        "cost_usd": cost_of(batch),
        "items_per_second": round(rate, 2) if rate else None,
        "seconds_left": round(left) if left is not None else None,
    }
    parts = [batch["status"]]
    if total:
        parts.append(f"{done:,}/{total:,}  {done * 100 // total}%")
    if fields["failed"]:
        parts.append(f"{fields['failed']:,} failed")
    if rate:
        parts.append(f"{rate:,.1f} items/s")
    if total and fields["cost_usd"]:
        parts.append(f"${fields['cost_usd']}")
    if left is not None and batch["status"] not in TERMINAL:
        parts.append(f"{duration(left)} left")
    console.progress(batch["status"], "  ".join(parts), fields)


def ended(batch: Batch, files: dict[str, str]) -> Done:
    """How a command ends that has seen a batch end. `files`: what was written, by kind."""
    return Done({"batch": batch, "files": files}, exit_of(batch))


def exit_of(batch: Batch) -> Exit:
    """What a batch that is over is for a script."""
    match batch["status"]:
        case "failed":
            return Exit.FAILED
        case "cancelled":
            return Exit.CANCELLED
        case _:
            return Exit.FAILED_ITEMS if (batch.get("request_counts") or {}).get("failed") else Exit.FINE


def summary(batch: Batch, write: Callable[[str], None]) -> None:
    """The figures of a batch that is over, and why it failed if it did."""
    counts, usage = batch.get("request_counts") or {}, batch.get("usage") or {}
    ended_at = batch.get(f"{batch['status']}_at")
    rows = [
        ("batch", batch["id"]),
        ("status", batch["status"]),
        ("items", f"{counts.get('total', 0):,}"),
        ("succeeded", f"{counts.get('completed', 0):,}"),
        ("failed", f"{counts.get('failed', 0):,}"),
        ("tokens", f"{usage.get('total_tokens', 0):,}"),
        ("cost", f"${usage['cost_usd']}" if usage.get("cost_usd") else "-"),
        *([("in realtime", f"${usage['realtime_cost_usd']}")] if usage.get("realtime_cost_usd") else []),
        ("took", duration(ended_at - batch["created_at"]) if ended_at else "-"),
    ]
    for name, value in rows:
        write(f"  {name:<11} {value}")
    for error in (batch.get("errors") or {}).get("data") or []:
        where = f"line {error['line']}: " if error.get("line") else ""
        write(f"  {where}{error['code']}: {error['message']}")


def times(batch: Batch) -> list[tuple[str, str]]:
    """(status, moment) of what a batch has been through, in order."""
    names = ("created", "in_progress", "cancelling", "finalizing", "completed", "failed", "expired", "cancelled")
    known = [(name, batch[f"{name}_at"]) for name in names if batch.get(f"{name}_at")]
    return [(name, moment(at)) for name, at in sorted(known, key=lambda each: each[1])]
