"""The items through the whole product, as a customer sends them: the official `openai` SDK against the local cloud."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import OpenAI

from bench import items
from local.cloud import LocalCloud
from local.provider import SimulatedProvider

_POLL_SECONDS = 0.1
_PART_BYTES = 4_000_000
_TERMINAL = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class ProductRun:
    """`seconds`: from the first byte up to the last byte down. `status_seconds`: how long the batch was seen in each
    status. `meter`: what the run used, as `local.meter` counts. `provider_calls`: what the simulator received."""

    items: int
    latency_ms: float
    upload_seconds: float
    batch_seconds: float
    download_seconds: float
    status_seconds: dict[str, float]
    provider_calls: int
    most_in_flight: int
    input_bytes: int
    output_bytes: int
    meter: dict[str, Any]

    @property
    def seconds(self) -> float:
        return self.upload_seconds + self.batch_seconds + self.download_seconds

    @property
    def items_per_second(self) -> float:
        return self.items / self.seconds


class Product:
    """A customer of a running local cloud whose provider is `simulator`. `may_repeat`: items may be called again."""

    def __init__(self, cloud: LocalCloud, simulator: SimulatedProvider, *, may_repeat: bool = False) -> None:
        self._cloud = cloud
        self._simulator = simulator
        self._may_repeat = may_repeat
        _, api_key = cloud.create_account("bench")
        self._client = OpenAI(base_url=f"{cloud.api_url}/v1", api_key=api_key, max_retries=2, timeout=300)

    def run(
        self, source: Path, target: Path, count: int, *, poll_seconds: float = _POLL_SECONDS, **provider: float
    ) -> ProductRun:
        """`source` holds `count` lines; `provider`: the simulator's settings; `poll_seconds`: how often the customer
        asks for the batch. Raises RuntimeError unless every item succeeded, and after one call if none may repeat."""
        self._simulator.reset()
        self._simulator.configure(**provider)
        self._cloud.reset_meter()
        transitions = self._cloud.meter()["state_transitions"]
        started = time.perf_counter()
        file_id = self._upload(source)
        uploaded = time.perf_counter()
        output_file_id, status_seconds = self._run_batch(file_id, count, poll_seconds)
        completed = time.perf_counter()
        with self._client.files.with_streaming_response.content(output_file_id) as content:
            content.stream_to_file(target)
        downloaded = time.perf_counter()
        meter = self._cloud.meter()
        meter["state_transitions"] -= transitions
        stats = self._simulator.stats()
        with target.open("rb") as lines:
            written = sum(1 for _ in lines)
        repeats = stats["succeeded"] - count
        if written != count or repeats < 0 or (repeats and not self._may_repeat):
            raise RuntimeError(f"{count} items, {written} lines of output, {stats['succeeded']} answered")
        return ProductRun(
            items=count,
            latency_ms=provider.get("latency_ms", 0),
            upload_seconds=uploaded - started,
            batch_seconds=completed - uploaded,
            download_seconds=downloaded - completed,
            status_seconds=status_seconds,
            provider_calls=stats["requests"],
            most_in_flight=stats["max_in_flight"],
            input_bytes=source.stat().st_size,
            output_bytes=target.stat().st_size,
            meter=meter,
        )

    def _upload(self, source: Path) -> str:
        if source.stat().st_size <= _PART_BYTES:
            with source.open("rb") as file:
                return self._client.files.create(file=file, purpose="batch").id
        upload = self._client.uploads.upload_file_chunked(
            file=source, mime_type="application/jsonl", purpose="batch", part_size=_PART_BYTES
        )
        if upload.file is None:
            raise RuntimeError(f"upload {upload.id} is {upload.status}")
        self._client.files.wait_for_processing(upload.file.id, poll_interval=_POLL_SECONDS)
        return upload.file.id

    def _run_batch(self, file_id: str, count: int, poll_seconds: float) -> tuple[str, dict[str, float]]:
        """The output file's id, and seconds by status."""
        batch = self._client.batches.create(input_file_id=file_id, endpoint=items.ENDPOINT, completion_window="24h")
        seen = time.perf_counter()
        seconds: dict[str, float] = {}
        while batch.status not in _TERMINAL:
            time.sleep(poll_seconds)
            before, batch = batch.status, self._client.batches.retrieve(batch.id)
            now = time.perf_counter()
            seconds[before] = seconds.get(before, 0) + now - seen
            seen = now
        counts = batch.request_counts
        if batch.status != "completed" or batch.output_file_id is None or counts is None or counts.completed != count:
            raise RuntimeError(f"{batch.id} ended {batch.status}, {counts}, {batch.errors}")
        return batch.output_file_id, seconds
