"""Names in the drop folder.

drop/<account>/<name>.jsonl                  a file that becomes a batch; <name> may hold slashes
drop/<account>/<name>.batch.json             beside it, put there before it: the parameters of POST /v1/batches
results/<account>/<name>.output.jsonl        the results
results/<account>/<name>.errors.jsonl
results/<account>/<name>.status.json         written last

Results of a file that was replaced while it ran carry their batch's id: `<name>.<batch id>.output.jsonl`. A dropped
`<name>` without .jsonl is refused; if there is a `<name>.jsonl` too, the names of its refusal carry a batch id, so that
both have room. A name so long that S3 could not take the names of its results is refused as well, under its beginning
and a hash of the whole.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

DROP = "drop/"
RESULTS = "results/"
JSONL = ".jsonl"
PARAMETERS = ".batch.json"
MOST_KEY_BYTES = 950
"""The longest key that a dropped file may have. S3 takes 1,024, and the keys of results are up to 43 longer."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A key under drop/. `account_id` is empty if no folder stands before the name."""

    key: str
    account_id: str
    name: str

    @property
    def parameters_key(self) -> str:
        return self.key.removesuffix(JSONL) + PARAMETERS


@dataclass(frozen=True, slots=True)
class ResultKeys:
    output: str
    errors: str
    status: str


def read_key(key: str) -> Dropped | None:
    """None if the object cannot become a batch: a folder, a file of parameters, or a key outside of the drop folder."""
    if not key.startswith(DROP) or key.endswith(("/", PARAMETERS)):
        return None
    account_id, slash, name = key.removeprefix(DROP).partition("/")
    return Dropped(key, account_id, name) if slash else Dropped(key, "", account_id)


def is_too_long(key: str) -> bool:
    return len(key.encode()) > MOST_KEY_BYTES


def result_keys(key: str, qualifier: str | None = None) -> ResultKeys:
    """Where the results of the dropped file `key` go."""
    stem = RESULTS + key.removeprefix(DROP).removesuffix(JSONL)
    if is_too_long(key):
        shortened = stem.encode()[: MOST_KEY_BYTES - 40].decode(errors="ignore")
        stem = f"{shortened}.{hashlib.sha256(key.encode()).hexdigest()[:32]}"
    if qualifier is not None:
        stem += f".{qualifier}"
    return ResultKeys(f"{stem}.output.jsonl", f"{stem}.errors.jsonl", f"{stem}.status.json")
