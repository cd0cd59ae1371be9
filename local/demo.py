"""The main job, as a user would do it: the official `openai` SDK against the local cloud.

    python -m local.demo [--file events/requests.jsonl] [--out demo]

Uploads the file, creates a batch, shows its progress, downloads both files and prints a short table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from openai import OpenAI
from openai.types import Batch
from tqdm import tqdm

from local.cloud import LocalCloud
from local.options import FOR_PEOPLE, JOB_CLOCK_SPEED, SWEEPS_EVERY_SECONDS, provider_urls

TERMINAL = frozenset({"completed", "failed", "expired", "cancelled"})
POLL_SECONDS = 0.3
INTERRUPTED = 130
"""What a shell expects of a program that Ctrl-C ended."""


def main() -> int:
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, _interrupt)
    say("starting the local cloud (the first start on a machine takes up to 20 seconds)")
    with LocalCloud(
        provider_urls=provider_urls(os.environ),
        environment=FOR_PEOPLE,
        minute_seconds=SWEEPS_EVERY_SECONDS,
        job_clock_speed=JOB_CLOCK_SPEED,
    ) as cloud:
        _, api_key = cloud.create_account("demo")
        client = OpenAI(base_url=cloud.api_url + "/v1", api_key=api_key)
        started = time.monotonic()
        batch = submit(client, arguments.file)
        with cancelled_on_interrupt(client, batch):
            batch = wait(client, batch)
        seconds = time.monotonic() - started
        download(client, batch, arguments.out)
    if batch.status != "completed":
        return report_failure(batch)
    print_table(batch, seconds)
    say(f"results in {arguments.out}/output.jsonl and {arguments.out}/errors.jsonl")
    say_what_next()
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description="One OpenAI batch on the local cloud.")
    parser.add_argument("--file", type=Path, default=Path("events/requests.jsonl"), help="JSONL of batch lines")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="where the two files go")
    return parser.parse_args()


def submit(client: OpenAI, path: Path) -> Batch:
    with path.open("rb") as stream:
        file = client.files.create(file=stream, purpose="batch")
    say(f"uploaded {path} as {file.id} ({file.bytes:,} bytes)")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"job": "demo"}
    )
    say(f"created {batch.id}")
    return batch


def wait(client: OpenAI, batch: Batch) -> Batch:
    """Poll with a progress bar until the batch is terminal."""
    with tqdm(unit=" items", desc=batch.status, file=sys.stdout, leave=True) as bar:
        while True:
            batch = client.batches.retrieve(batch.id)
            counts = batch.request_counts
            if counts is not None:
                bar.total = counts.total or None
                bar.n = counts.completed + counts.failed
            bar.set_description(batch.status)
            if batch.status in TERMINAL:
                return batch
            time.sleep(POLL_SECONDS)


def download(client: OpenAI, batch: Batch, folder: Path) -> None:
    """Writes both files always, so that an empty one says that there are no results of its kind."""
    folder.mkdir(parents=True, exist_ok=True)
    for file_id, name in ((batch.output_file_id, "output.jsonl"), (batch.error_file_id, "errors.jsonl")):
        data = client.files.content(file_id).read() if file_id else b""
        (folder / name).write_bytes(data)


def print_table(batch: Batch, seconds: float) -> None:
    counts, usage = batch.request_counts, batch.usage
    assert counts is not None
    money = (usage and usage.model_extra) or {}
    rows = [
        ("items", f"{counts.total:,}"),
        ("succeeded", f"{counts.completed:,}"),
        ("failed", f"{counts.failed:,}"),
        ("tokens", f"{usage.total_tokens:,}" if usage else "0"),
        ("cost", f"${money.get('cost_usd', 'not known')}"),
        ("in realtime", f"${money.get('realtime_cost_usd', 'not known')}"),
        ("seconds", f"{seconds:.1f}"),
    ]
    print()
    for name, value in rows:
        print(f"  {name:<11} {value:>13}")
    print()


def report_failure(batch: Batch) -> int:
    print(f"the batch ended {batch.status}", file=sys.stderr)
    for error in (batch.errors.data or []) if batch.errors else []:
        print(f"  line {error.line}: {error.code}: {error.message}", file=sys.stderr)
    return 1


@contextlib.contextmanager
def cancelled_on_interrupt(client: OpenAI, batch: Batch) -> Iterator[None]:
    """Cancels the batch on Ctrl-C, so that it does not go on unseen."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\ninterrupted: cancelling {batch.id}", file=sys.stderr)
        print(json.dumps(client.batches.cancel(batch.id).to_dict()["status"]), file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def say(text: str) -> None:
    print(f"· {text}", flush=True)


def say_what_next() -> None:
    say("next: `make local` starts a cloud that stays and prints its dashboard's address: drop a file there;")
    say("in another shell `set -a; . .local/env; set +a`, then `.venv/bin/batchyard run events/requests.jsonl`;")
    say("`.venv/bin/batchyard --help` lists what else there is, README.md what it all is")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:  # before there was a batch
        code = INTERRUPTED
    sys.exit(code)
