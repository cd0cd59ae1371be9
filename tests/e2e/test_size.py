"""`make size` in small: every way that a large file takes, in and out. What 500 MB take is in docs/size.md."""

from __future__ import annotations

from pathlib import Path

from bench.size import LINE_BYTES, MOST_BYTES, Run, Sender, write_lines
from local.cloud import LocalCloud
from local.provider import SimulatedProvider


def test_what_is_too_large_for_one_request(cloud: LocalCloud, provider: SimulatedProvider, tmp_path: Path) -> None:
    """Presigned and in parts, through a batch, and out again as files, as a page and as exports: every byte is there,
    and no function needs what a whole file would."""
    run = Run(800)
    source = tmp_path / "requests.jsonl"
    write_lines(source, run.items)
    assert source.stat().st_size == 800 * LINE_BYTES
    with Sender(cloud, run, tmp_path) as sender:
        sender.everything(source)
    ways = [what for what, size, _ in run.steps if size > 4_000_000]
    assert sum("redirect" in what for what in ways) == 5, ways
    assert all(each["peak_rss_bytes"] < MOST_BYTES for each in cloud.processes())
