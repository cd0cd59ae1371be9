"""Reading lines with an eye on context windows: an item that cannot fit into its model's is an error of its line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batchyard.content.reading import ParseLine
from batchyard.core import exact_json
from batchyard.core.catalogue import Catalogue, Offer
from batchyard.core.items import Item, LineError
from batchyard.core.json_types import JsonObject
from batchyard.core.vocabularies import vocabulary_of
from batchyard.core.windows import TokensOf, estimated_tokens, least_tokens

CountWith = Callable[[str], TokensOf]
"""The name of a vocabulary -> what counts with it. It is asked only if an item is so long that it has to be counted."""


def within_windows(
    parse_line: ParseLine, models: Sequence[str], catalogue: Catalogue, count_with: CountWith
) -> ParseLine:
    """`parse_line`, but an item that is too long for its model, and for each of those that may stand in (`models`), is
    an error."""

    def parse(raw: bytes, index: int, line: int) -> Item | LineError:
        item = parse_line(raw, index, line)
        if isinstance(item, LineError):
            return item
        offers = [offer for model in (item.model, *models) for offer in catalogue.find(model, item.provider)]
        window = max((offer.context_window or len(item.body) for offer in offers), default=len(item.body))
        if len(item.body) <= window:
            return item
        return _too_long(item, offers, line, count_with) or item

    return parse


def _too_long(item: Item, offers: Sequence[Offer], line: int, count_with: CountWith) -> LineError | None:
    """The error of an item that none of `offers` can take; it names the largest window."""
    request: JsonObject = exact_json.loads(item.body)
    counts: dict[str | None, int] = {}
    largest = 0, ""
    for offer in offers:
        vocabulary, window = vocabulary_of(offer.model), offer.context_window
        if vocabulary not in counts:
            counts[vocabulary] = least_tokens(request, count_with(vocabulary) if vocabulary else estimated_tokens)
        tokens = counts[vocabulary]
        if window is None or tokens <= window:
            return None
        how = f"counted with {vocabulary}" if vocabulary else "estimated by its length"
        message = (
            f"This item has {tokens} tokens at least, {how}; the context window of '{offer.model}' has {window}. "
            "Shorten it, or use another model."
        )
        largest = max(largest, (window, message))
    return LineError("context_window_exceeded", largest[1], line, "input")
