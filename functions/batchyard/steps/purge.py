"""Purge: what a batch holds beside its files goes with them.

    its input file is deleted or expires         ─▶  work/               the prompts, as soon as the batch is over
    one of its files of results is or does       ─▶  parts/, exports/    the answers; they are not shown from then on

It is noted before the file's row goes, removed at once as far as one request has time for it, and the rest, also what a
crash left or a running batch still needs, by Sweep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from batchyard.adapters.aws.leftovers import Kind, Leftover
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import BatchRef
from batchyard.core.errors import ConditionFailed
from batchyard.core.files import File, FileRef
from batchyard.core.keys import export_prefix, part_prefix, work_prefix

_PURGED_AT_ONCE = 16
_OBJECTS_AT_ONCE = 5000
"""Listed and deleted by the thousand, in well under the 29 seconds that the API has."""
_PREFIXES = {Kind.WORK: (work_prefix,), Kind.RESULTS: (part_prefix, export_prefix)}


def note_results(file: File, *, stores: Stores) -> list[Leftover]:
    """What its batch holds of the same results, if the file is one that a batch made. It is not shown any more."""
    if file.batch_id is None:
        return []
    ref = BatchRef(file.account_id, file.batch_id)
    with suppress(ConditionFailed):
        stores.batches.hide_results(ref)
    return note([Leftover(ref, Kind.RESULTS)], stores)


def note_work(ref: FileRef, *, stores: Stores) -> list[Leftover]:
    """What the batches that were ever made from the file hold of its lines."""
    batch_ids = stores.batches.ever_made_from(ref)
    return note([Leftover(BatchRef(ref.account_id, batch_id), Kind.WORK) for batch_id in batch_ids], stores)


def purge_now(leftovers: list[Leftover], stores: Stores) -> None:
    """Removes what can be removed while a caller waits; Sweep removes the rest."""
    purge(leftovers[:_PURGED_AT_ONCE], at_most=_OBJECTS_AT_ONCE, stores=stores)


def purge(leftovers: Iterable[Leftover], *, at_most: int, stores: Stores) -> int:
    """Removes what is noted, of batches that are over, up to `at_most` objects. How many there were."""
    removed = 0
    for leftover in leftovers:
        batch = stores.batches.get(leftover.ref, consistent=True)
        if batch is not None and not batch.status.is_terminal:
            continue
        for prefix in _PREFIXES[leftover.kind]:
            place = prefix(leftover.ref.account_id, leftover.ref.batch_id)
            keys = stores.objects.keys(place, at_most=at_most - removed)
            stores.objects.delete_many(keys)
            removed += len(keys)
        if removed >= at_most:
            break
        stores.leftovers.forget(leftover)
    return removed


def note(leftovers: Sequence[Leftover], stores: Stores) -> list[Leftover]:
    """Notes what is to be removed, so that nothing of it is forgotten."""
    for leftover in leftovers:
        stores.leftovers.note(leftover)
    return list(leftovers)
