"""Names in the drop folder."""

from __future__ import annotations

import pytest

from batchyard.core.dropfolder import Dropped, read_key, result_keys


@pytest.mark.parametrize(
    ("key", "account_id", "name"),
    [
        ("drop/acct/a.jsonl", "acct", "a.jsonl"),
        ("drop/acct/2026/08/a b.jsonl", "acct", "2026/08/a b.jsonl"),
        ("drop/a.jsonl", "", "a.jsonl"),
        ("drop/acct/a.csv", "acct", "a.csv"),
    ],
)
def test_a_key_tells_account_and_name(key: str, account_id: str, name: str) -> None:
    """The first folder is the account, the rest the name, whatever its extension."""
    assert read_key(key) == Dropped(key, account_id, name)


@pytest.mark.parametrize("key", ["drop/", "drop/acct/", "drop/acct/a.batch.json", "results/acct/a.jsonl", "a.jsonl"])
def test_other_keys_are_no_dropped_files(key: str) -> None:
    """Folders, parameters and whatever is not under drop/."""
    assert read_key(key) is None


def test_parameters_stand_beside_the_file() -> None:
    """The same name with another extension."""
    assert Dropped("drop/acct/x/a.jsonl", "acct", "x/a.jsonl").parameters_key == "drop/acct/x/a.batch.json"


def test_results_mirror_the_drop_folder() -> None:
    """Same account, same folders, same stem; a qualifier keeps an old version's results apart."""
    keys = result_keys("drop/acct/x/a.jsonl")
    assert (keys.output, keys.errors) == ("results/acct/x/a.output.jsonl", "results/acct/x/a.errors.jsonl")
    assert keys.status == "results/acct/x/a.status.json"
    assert result_keys("drop/acct/x/a.jsonl", "batch_1").status == "results/acct/x/a.batch_1.status.json"
    assert result_keys("drop/acct/a.csv").errors == "results/acct/a.csv.errors.jsonl"
