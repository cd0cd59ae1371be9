"""Reserve: whether an account has the credits for a batch, asked when the batch is made and when its items are counted.

An account that is free of credits is never asked, nor is a batch that runs with its caller's own provider key.
"""

from __future__ import annotations

from batchyard.adapters.aws.ledger import Ledger
from batchyard.core.accounts import Account, Billing
from batchyard.core.ledger import InsufficientCredits, limit_reached, write_dollars


def check_credits(account: Account, needed_picousd: int, now: int, ledger: Ledger) -> None:
    """Whether the account may take on a batch for which `needed_picousd` will be reserved (0: that is not known yet).
    Raises SpendLimitReached, or InsufficientCredits if a prepaid account has nothing left. Whether it has enough is a
    condition of the write that reserves."""
    if account.billing is Billing.FREE:
        return
    balance = ledger.balance(account.id)
    if account.daily_limit_picousd is not None:
        spent = ledger.spent_on_day(account.id, now) + balance.reserved_picousd
        if spent >= account.daily_limit_picousd or spent + needed_picousd > account.daily_limit_picousd:
            raise limit_reached(account.daily_limit_picousd, spent)
    if account.billing is Billing.PREPAID and balance.available_picousd <= 0:
        raise InsufficientCredits(
            f"The account has no credits left: {write_dollars(balance.available_picousd)} dollars are available and "
            f"{write_dollars(balance.reserved_picousd)} reserved for batches that run. Ask the operator of this "
            "deployment for more.",
            code="insufficient_credits",
        )
