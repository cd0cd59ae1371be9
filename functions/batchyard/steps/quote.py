"""Quote: what a batch would cost, promised for some minutes. Costs nothing, and makes nothing but the quote's row."""

from __future__ import annotations

from collections.abc import Callable

from batchyard.adapters.aws.quotes import Quotes
from batchyard.core.errors import PreflightFailed
from batchyard.core.forecast import Forecast
from batchyard.core.items import LineError
from batchyard.core.ledger import write_dollars
from batchyard.core.quotes import Quote, QuoteRef, quote_of
from batchyard.core.requests import PlanRequest

Foresee = Callable[[PlanRequest], Forecast]
"""What a batch is expected to be like (`steps.forecast`). Raises RequestError if it cannot be made."""


def quote(request: PlanRequest, ref: QuoteRef, *, now: int, foresee: Foresee, quotes: Quotes) -> Quote:
    """Raises PreflightFailed with everything that is wrong with the items."""
    found = quote_of(foresee(request), ref, now)
    limit = found.max_price_picousd
    if limit is not None and found.cost_picousd > limit:
        raise PreflightFailed([too_dear(found.cost_picousd, limit)])
    quotes.put(found)
    return found


def too_dear(cost_picousd: int, limit_picousd: int) -> LineError:
    return LineError(
        "max_price_exceeded",
        f"The items are expected to cost {write_dollars(cost_picousd)} dollars, which is more than the price limit of "
        f"{write_dollars(limit_picousd)}.",
        param="max_price",
    )
