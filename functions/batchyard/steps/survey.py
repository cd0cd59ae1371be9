"""Survey: the lanes that open batches use, and the accounts, as operators look at them. Reads a bounded number of rows,
however many batches are open."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from batchyard.adapters.aws.accounts import Accounts
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.lanes import Lanes
from batchyard.adapters.aws.ledger import Ledger
from batchyard.core.accounts import Account, AccountView
from batchyard.core.batches import Batch
from batchyard.core.errors import Forbidden
from batchyard.core.lanes import LaneId
from batchyard.core.ledger import Credits
from batchyard.core.survey import AccountsPage, Survey, SurveyedLane, surveyed

_MOST_BATCHES = 200
_MOST_COUNTED = 10_000
"""Open batches that are counted: a megabyte or two."""
_ACCOUNTS_AT_ONCE = 50
_READS_AT_ONCE = 8


def require_operator(account_id: str, *, accounts: Accounts) -> None:
    """Raises Forbidden unless an operator of this deployment has marked the account."""
    account = accounts.get(account_id)
    if account is None or not account.is_operator:
        message = (
            "This API key is not an operator's. `batchyard accounts operator ACCOUNT_ID` marks an account whose keys "
            "may see the whole deployment."
        )
        raise Forbidden(message, code="not_an_operator")


def survey(*, now: float, batches: Batches, lanes: Lanes) -> Survey:
    """The lanes of the oldest open batches."""
    listed = batches.open.oldest(_MOST_BATCHES + 1)
    refs = [each.ref for each in listed[:_MOST_BATCHES]]
    with ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="survey") as pool:
        used = Counter(lane for found in pool.map(batches.get, refs) if found for lane in used_lanes(found))

        def look(lane: LaneId) -> SurveyedLane:
            view = lanes.look(lane)
            return surveyed(lane, view.health, view.pace, used[lane], now)

        seen = tuple(pool.map(look, sorted(used, key=str)))
    return Survey(seen, len(refs), len(listed) <= _MOST_BATCHES)


def used_lanes(batch: Batch) -> set[LaneId]:
    """The lanes of a batch, as its plan has them."""
    owner = batch.account_id if batch.caller_pays else None
    lanes = {entry.lane for entry in batch.plan.lanes} if batch.plan else set()
    return {LaneId(lane.provider, lane.model, owner, lane.mode) for lane in lanes}


def list_accounts(after: str | None, *, accounts: Accounts, batches: Batches, ledger: Ledger) -> AccountsPage:
    """A page of all accounts, oldest first."""
    found = accounts.page(after=after, limit=_ACCOUNTS_AT_ONCE + 1)
    counted = Counter(each.ref.account_id for each in batches.open.oldest(_MOST_COUNTED))
    shown = found[:_ACCOUNTS_AT_ONCE]

    def look(account: Account) -> AccountView:
        return AccountView(account, ledger.balance(account.id) if account.pays else Credits())

    with ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="survey") as pool:
        views = list(pool.map(look, shown))
    return AccountsPage(views, counted, shown[-1].id if len(found) > len(shown) else None)
