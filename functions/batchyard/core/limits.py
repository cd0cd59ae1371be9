"""Limits of surfaces and deployments, and the terms under which files and batches are taken."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchyard.core.policies import Policy


@dataclass(frozen=True, slots=True)
class Limits:
    """A surface's own limits; None: only the deployment's counts. A file may have `max_batch_items` lines of
    `max_line_bytes` each and `max_file_bytes` together; an API key may send `requests_per_minute` (0: any number)."""

    max_batch_items: int | None = None
    max_file_bytes: int | None = None
    max_line_bytes: int | None = None
    requests_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits that hold for a request or a batch, whoever set them."""

    max_batch_items: int
    max_file_bytes: int
    max_line_bytes: int
    requests_per_minute: int


@dataclass(frozen=True, slots=True)
class ShownLimits:
    """What callers are told, so that they can check a file before they send it. `max_line_errors`: how many are
    reported; `max_upload_part_bytes`: what fits into one request."""

    bounds: Bounds
    max_custom_id_chars: int
    max_line_errors: int
    max_upload_part_bytes: int


@dataclass(frozen=True, slots=True)
class FileTerms:
    """The terms under which a file is taken. `keep_days`: how long it is kept if it asks for nothing else."""

    max_bytes: int
    keep_days: int


@dataclass(frozen=True, slots=True)
class BatchTerms:
    """The terms under which a batch is taken. `limits`: what a batch may have; `files`: the terms for files that it is
    made from or writes; `providers`: those that a request may name; `policy`: of the deployment."""

    window_seconds: int
    limits: Bounds
    files: FileTerms
    providers: tuple[str, ...] = ()
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an API key has left: `remaining` of `limit` requests, until `resets_at` (unix second)."""

    limit: int
    remaining: int
    resets_at: int
