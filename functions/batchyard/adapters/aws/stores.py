"""Stores: everything that a deployment keeps its state in, by the noun that it keeps."""

from __future__ import annotations

from dataclasses import dataclass

from batchyard.adapters.aws.accounts import Accounts
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.budgets import Budgets
from batchyard.adapters.aws.caller_keys import CallerKeys
from batchyard.adapters.aws.files import Files, Uploads
from batchyard.adapters.aws.jobs import Jobs
from batchyard.adapters.aws.ledger import Ledger
from batchyard.adapters.aws.leftovers import Leftovers
from batchyard.adapters.aws.native_lanes import NativeLanes
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.progress import Progress
from batchyard.adapters.aws.quotes import Quotes
from batchyard.adapters.aws.repeats import Repeats
from batchyard.adapters.aws.rosters import Rosters
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.table import Table
from batchyard.adapters.aws.usage_days import UsageDays
from batchyard.adapters.aws.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Stores:
    """`objects`: the data bucket; all others are rows of the table. `caller_keys`, `webhooks`: None if callers bring
    none here."""

    accounts: Accounts
    batches: Batches
    files: Files
    uploads: Uploads
    shards: Shards
    progress: Progress
    jobs: Jobs
    native_lanes: NativeLanes
    rosters: Rosters
    repeats: Repeats
    quotes: Quotes
    leftovers: Leftovers
    ledger: Ledger
    budgets: Budgets
    usage_days: UsageDays
    objects: Objects
    caller_keys: CallerKeys | None = None
    webhooks: Webhooks | None = None

    @classmethod
    def of(cls, table: Table, objects: Objects, caller_keys: CallerKeys | None = None) -> Stores:
        return cls(
            accounts=Accounts(table),
            batches=Batches(table),
            files=Files(table),
            uploads=Uploads(table),
            shards=Shards(table),
            progress=Progress(table),
            jobs=Jobs(table),
            native_lanes=NativeLanes(table),
            rosters=Rosters(table),
            repeats=Repeats(table),
            quotes=Quotes(table),
            leftovers=Leftovers(table),
            ledger=Ledger(table),
            budgets=Budgets(table),
            usage_days=UsageDays(table),
            objects=objects,
            caller_keys=caller_keys,
        )
