"""Quote: what a batch would cost, promised for some minutes. Costs nothing, and makes nothing but the quote's row."""

from __future__ import annotations

from collections.abc import Callable

from batchyard.adapters.aws.quotes import Quotes
from batchyard.core.errors import PreflightFailed, RequestError
from batchyard.core.forecast import Forecast
from batchyard.core.items import LineError
from batchyard.core.ledger import write_dollars
from batchyard.core.quotes import Quote, QuoteRef, quote_of
from batchyard.core.requests import PlanRequest

Foresee = Callable[[PlanRequest], Forecast]
"""What a batch is expected to be like (`steps.forecast`). Raises RequestError if it cannot be made."""


def quote(request: PlanRequest, ref: QuoteRef, *, now: int, foresee: Foresee, quotes: Quotes) -> Quote:
    """Raises PreflightFailed with everything that is wrong with the request and its items."""
    issues = list(request.batch.issues)
    forecast = foreseen(request, foresee, issues)
    found = quote_of(forecast, ref, now) if forecast is not None else None
    limit = request.batch.max_price_picousd
    if found is not None and limit is not None and found.cost_picousd > limit:
        issues.append(too_dear(found.cost_picousd, limit))
    if issues or found is None:
        raise PreflightFailed(issues)
    quotes.put(found)
    return found


def foreseen(request: PlanRequest, foresee: Foresee, issues: list[LineError]) -> Forecast | None:
    """What comes of the items; None if they cannot be run as they are, and then issues say why."""
    has_file, has_lines = bool(request.batch.input_file_id), request.batch.lines is not None
    if has_file == has_lines:  # the surface has noted that
        return None
    try:
        return foresee(request)
    except PreflightFailed as failure:
        issues += failure.issues
    except RequestError as error:
        issues.append(LineError(error.code or "invalid_input", error.message, param=error.param))
    return None


def too_dear(cost_picousd: int, limit_picousd: int) -> LineError:
    return LineError(
        "max_price_exceeded",
        f"The items are expected to cost {write_dollars(cost_picousd)} dollars, which is more than the price limit of "
        f"{write_dollars(limit_picousd)}.",
        param="max_price",
    )
