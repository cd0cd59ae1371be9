"""Purge: what batches hold beside their files goes with the files, and not before it may."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchyard.adapters.aws.leftovers import Kind, Leftover
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Table
from batchyard.adapters.aws.workflow import Workflow
from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.errors import NotFound
from batchyard.core.files import File, FileRef
from batchyard.core.keys import export_key, file_key, manifest_key, part_key, work_key
from batchyard.steps.delete import delete
from batchyard.steps.expire import expire
from batchyard.steps.purge import purge
from tests.steps.running import create_batch

NOW = 1_800_000_000


class Nobody(Workflow):
    """Nobody waits."""

    def __init__(self) -> None:
        pass

    def wake(self, token: str, ending: Ending) -> None:
        raise AssertionError("nobody is to be woken")


@pytest.fixture
def stores(table: Table, objects: Objects) -> Stores:
    return Stores.of(table, objects)


def own_keys(batch: Batch) -> dict[str, list[str]]:
    """Keys of what a batch holds beside its files, by prefix."""
    account_id, batch_id = batch.account_id, batch.id
    return {
        "work/": [work_key(account_id, batch_id, "run"), manifest_key(account_id, batch_id, "run")],
        "parts/": [part_key(account_id, batch_id, number, 1, 0) for number in range(3)],
        "exports/": [export_key(account_id, batch_id, "name")],
    }


def running(stores: Stores) -> Batch:
    """A batch with an input file, a work file, parts and an export; beside it, what another batch has."""
    batch = create_batch(stores.batches)
    stores.files.put(File(batch.input_file_id, batch.account_id, "r.jsonl", "batch", 3, 1, expires_at=NOW))
    stores.objects.put(file_key(batch.account_id, batch.input_file_id), b"{}\n")
    for keys in own_keys(batch).values():
        for key in keys:
            stores.objects.put(key, b"a prompt or an answer")
    stores.objects.put(work_key(batch.account_id, batch.id + "0", "run"), b"another batch's")
    return batch


def ended(stores: Stores) -> Batch:
    """The same, ended with both files."""
    batch = stores.batches.enter(running(stores), Status.CANCELLING, 5)
    output, error = (
        File(f"file-{kind}", batch.account_id, "o.jsonl", "batch_output", 3, 6, expires_at=NOW + 5, batch_id=batch.id)
        for kind in ("output", "error")
    )
    for file in (output, error):
        stores.objects.put(file_key(file.account_id, file.id), b"{}\n")
    return stores.batches.finish(batch, Status.CANCELLED, 6, files=(output, error))


def remove(stores: Stores, batch: Batch, file_id: str) -> None:
    ref = FileRef(batch.account_id, file_id)
    delete(ref, now=7, stores=stores, workflow=Nobody(), end_batches=False)


def left(stores: Stores, batch: Batch) -> set[str]:
    """The prefixes under which the batch still holds something."""
    return {prefix for prefix, keys in own_keys(batch).items() if any(map(stores.objects.head, keys))}


def test_with_the_input_go_the_prompts(stores: Stores) -> None:
    """Of a batch that is over, at once; its results stay, and so does the batch's row, and every other batch."""
    batch = ended(stores)
    remove(stores, batch, batch.input_file_id)
    assert left(stores, batch) == {"parts/", "exports/"}
    assert list(stores.leftovers.all()) == []
    assert stores.batches.current(batch.ref) == batch
    assert stores.objects.head(work_key(batch.account_id, batch.id + "0", "run")) is not None


@pytest.mark.parametrize("kind", ["output", "error"])
def test_with_a_file_of_results_go_the_answers(stores: Stores, kind: str) -> None:
    """Parts hold what both files hold, so they go with either; the batch's row says that nothing is shown any more."""
    batch = ended(stores)
    remove(stores, batch, f"file-{kind}")
    assert left(stores, batch) == {"work/"}
    assert stores.batches.current(batch.ref) == replace(batch, results_hidden=True)
    assert list(stores.leftovers.all()) == []


def test_a_batch_that_runs_keeps_what_it_runs_from(stores: Stores) -> None:
    """It was allowed to go on without its input: the prompts go once it is over, with the next sweep."""
    batch = stores.batches.enter(running(stores), Status.CANCELLING, 5)
    remove(stores, batch, batch.input_file_id)
    assert left(stores, batch) == {"work/", "parts/", "exports/"}
    assert purge(stores.leftovers.all(), at_most=100, stores=stores) == 0
    stores.batches.finish(batch, Status.CANCELLED, 8)
    assert purge(stores.leftovers.all(), at_most=100, stores=stores) == 2
    assert left(stores, batch) == {"parts/", "exports/"} and list(stores.leftovers.all()) == []


def test_what_expires_goes_likewise(stores: Stores) -> None:
    """Sweep notes what belonged to the files that it removes."""
    batch = ended(stores)
    assert expire(now=NOW, stores=stores) == 1
    assert [each.kind for each in stores.leftovers.all()] == [Kind.WORK]
    assert expire(now=NOW + 5, stores=stores) == 2
    assert purge(stores.leftovers.all(), at_most=100, stores=stores) == 6
    assert left(stores, batch) == set() and stores.batches.current(batch.ref).results_hidden


def test_more_than_one_call_may_remove_waits_for_the_next(stores: Stores) -> None:
    """What is noted stays noted until nothing is left of it."""
    batch = ended(stores)
    stores.leftovers.note(Leftover(batch.ref, Kind.RESULTS))
    assert [purge(stores.leftovers.all(), at_most=3, stores=stores) for _ in range(3)] == [3, 1, 0]
    assert left(stores, batch) == {"work/"} and list(stores.leftovers.all()) == []


def test_a_deletion_that_died_is_finished_by_repeating_it(stores: Stores) -> None:
    """The file's row was gone, nothing was noted yet: the second request is a 404, and the prompts are gone."""
    batch = ended(stores)
    stores.files.delete(FileRef(batch.account_id, batch.input_file_id))
    with pytest.raises(NotFound):
        remove(stores, batch, batch.input_file_id)
    assert left(stores, batch) == {"parts/", "exports/"}
