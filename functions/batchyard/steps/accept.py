"""Accept: check everything about a batch that is to be made from a quote, before anything of it is made.

All that is wrong is found at once, as far as that can be: its input, its items, its quote, its webhook.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from batchyard.adapters.aws.quotes import Quotes
from batchyard.core.errors import PreflightFailed
from batchyard.core.forecast import Forecast
from batchyard.core.items import LineError
from batchyard.core.quotes import Quote, QuoteRef
from batchyard.core.requests import BatchRequest, PlanRequest
from batchyard.core.webhooks import WebhookTarget, secret_problem
from batchyard.steps.quote import Foresee, foreseen, too_dear

CheckUrl = Callable[[str], str | None]
"""What is wrong with a webhook's URL; None if it is safe."""

_RULES = {"sla_tier", "routing_mode", "privacy_tier"}


def accept(
    request: BatchRequest, account_id: str, *, now: int, foresee: Foresee, check_url: CheckUrl, quotes: Quotes
) -> BatchRequest:
    """The request with what its quote says: the models that may stand in for each other, the price limit, and what is
    to be reserved. That is the quote's price for each item, or what these items are expected to cost at the quote's
    prices if that is more: a quote of short items is no way to run long ones. Raises PreflightFailed with everything
    that is wrong."""
    issues = list(request.issues)
    quote = _quote(request, account_id, now, quotes, issues)
    if quote is not None:
        _compare_regions(request, quote, issues)
        request = replace(_with_terms_of(quote, request), prices=quote.prices)
    forecast = foreseen(PlanRequest(request), foresee, issues)
    if quote is not None and forecast is not None:
        cost = max(quote.cost_of(forecast.items), forecast.cost_picousd)
        _compare(request, quote, forecast, cost, issues)
        request = replace(request, reserve_picousd=cost)
    if request.webhook is not None:
        _check_webhook(request, request.webhook, check_url, issues)
    if issues:
        raise PreflightFailed(issues)
    return request


def _with_terms_of(quote: Quote, request: BatchRequest) -> BatchRequest:
    limits = [each for each in (request.max_price_picousd, quote.max_price_picousd) if each is not None]
    return replace(
        request,
        rules=replace(request.rules, models=quote.rules.models, regions=quote.rules.regions),
        max_price_picousd=min(limits, default=None),
    )


def _quote(request: BatchRequest, account_id: str, now: int, quotes: Quotes, issues: list[LineError]) -> Quote | None:
    """The quote that the request accepts; None if there is none, and then an issue says so."""
    if "quote_id" in request.unread:
        return None
    if request.quote_id is None:
        message = "'quote_id' is missing. POST /v1/quotes/model makes a quote; it is free."
        issues.append(LineError("quote_required", message, param="quote_id"))
        return None
    quote = quotes.get(QuoteRef(account_id, request.quote_id)) if request.quote_id else None
    if quote is None:
        message = "There is no such quote. POST /v1/quotes/model makes one; it is free."
        issues.append(LineError("quote_not_found", message, param="quote_id"))
        return None
    if not quote.is_valid(now):
        message = "This quote is no longer valid. POST /v1/quotes/model makes a new one; it is free."
        issues.append(LineError("quote_expired", message, param="quote_id"))
    return quote


def _check_webhook(request: BatchRequest, webhook: WebhookTarget, check_url: CheckUrl, issues: list[LineError]) -> None:
    """Notes what is wrong with the URL and with the secret, as far as neither is known to be wrong already."""
    known = {issue.param for issue in request.issues}
    problem = check_url(webhook.url) if "webhook.url" not in known else None
    if problem is not None:
        issues.append(LineError("unsafe_webhook_url", problem, param="webhook.url"))
    problem = secret_problem(webhook.secret, webhook.style) if "webhook.secret" not in known else None
    if problem is not None:
        issues.append(LineError("invalid_webhook_secret", problem, param="webhook.secret"))


def _compare_regions(request: BatchRequest, quote: Quote, issues: list[LineError]) -> None:
    if request.rules.regions and set(request.rules.regions) != set(quote.rules.regions):
        message = "The quote was made for other 'allowed_regions'. Send the same here, or leave them out."
        issues.append(LineError("quote_mismatch", message, param="allowed_regions"))


def _compare(
    request: BatchRequest, quote: Quote, forecast: Forecast, cost_picousd: int, issues: list[LineError]
) -> None:
    """Notes how the batch differs from what was quoted. `cost_picousd`: what it is expected to cost."""
    if request.rules != quote.rules and not request.unread & _RULES:
        message = (
            f"The quote was made for sla_tier '{quote.rules.tier}', routing_mode '{quote.rules.mode}' and "
            f"privacy_tier '{quote.rules.privacy}'. Send the same here, or make a quote for what you want."
        )
        issues.append(LineError("quote_mismatch", message, param="quote_id"))
    if not forecast.endpoints <= quote.endpoints:
        message = "The quote was made for items of another operation. Make a quote for these."
        issues.append(LineError("quote_mismatch", message, param="items"))
    unknown = {route.lane.model for route in forecast.routes} - quote.models
    if unknown:
        message = f"The quote does not cover the model {', '.join(sorted(unknown))}. Make one that does."
        issues.append(LineError("quote_mismatch", message, param="items"))
        return
    limit = request.max_price_picousd
    if limit is not None and cost_picousd > limit:
        issues.append(too_dear(cost_picousd, limit))
