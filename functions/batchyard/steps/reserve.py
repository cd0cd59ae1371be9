"""Reserve: whether an account has the credits for a batch, asked when the batch is made and when its items are counted.

An account that is free of credits is never asked, nor is a batch that runs with its caller's own provider key. What a
prepaid account's batch may cost is known when it is made if its input came with the request, or is a small file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from batchyard.adapters.aws.ledger import Ledger
from batchyard.adapters.aws.stores import Stores
from batchyard.core.accounts import Account, Billing
from batchyard.core.errors import RequestError
from batchyard.core.files import FileRef
from batchyard.core.forecast import Forecast
from batchyard.core.ledger import InsufficientCredits, limit_reached, write_dollars
from batchyard.core.requests import BatchRequest, PlanRequest

SMALL_FILE_BYTES = 1_000_000
"""Read and estimated in some hundred milliseconds."""


def with_reservation(
    request: BatchRequest, account_id: str, *, foresee: Callable[[PlanRequest], Forecast], stores: Stores
) -> BatchRequest:
    """The request with what is to be reserved for it, if a prepaid account is to pay and all items can be looked at
    now. An input that cannot be a batch is refused elsewhere, or fails its batch."""
    if request.caller_key is not None or stores.accounts.glance(account_id).billing is not Billing.PREPAID:
        return request
    if request.lines is None:
        file = stores.files.get(FileRef(account_id, request.input_file_id))
        if file is None or file.bytes > SMALL_FILE_BYTES:
            return request
    try:
        forecast = foresee(PlanRequest(request))
    except RequestError:
        return request
    return request if forecast.sampled_items is not None else replace(request, reserve_picousd=forecast.cost_picousd)


def check_credits(account: Account, needed_picousd: int, now: int, ledger: Ledger) -> None:
    """Whether the account may take on a batch for which `needed_picousd` will be reserved (0: that is not known yet).
    Raises SpendLimitReached, or InsufficientCredits if a prepaid account has nothing left. It refuses early: that there
    is enough, and that the daily limit is kept, are conditions of the write that reserves."""
    if account.billing is Billing.FREE:
        return
    if account.daily_limit_picousd is None:
        balance = ledger.balance(account.id)
    else:
        headroom = ledger.headroom(account.id, account.daily_limit_picousd, now)
        if not headroom.has_room_for(needed_picousd):
            raise limit_reached(headroom)
        balance = headroom.balance
    if account.billing is Billing.PREPAID and balance.available_picousd <= 0:
        raise InsufficientCredits(
            f"The account has no credits left: {write_dollars(balance.available_picousd)} dollars are available and "
            f"{write_dollars(balance.reserved_picousd)} reserved for batches that run. Ask the operator of this "
            "deployment for more.",
            code="insufficient_credits",
        )
