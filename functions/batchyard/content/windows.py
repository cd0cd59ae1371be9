"""Reading lines with an eye on context windows: an item that cannot fit into its model's is an error of its line."""

from __future__ import annotations

from collections.abc import Sequence

from batchyard.content.reading import ParseLine
from batchyard.core import exact_json
from batchyard.core.catalogue import Catalogue
from batchyard.core.items import Item, LineError
from batchyard.core.windows import least_tokens, longest_input


def within_windows(parse_line: ParseLine, models: Sequence[str], catalogue: Catalogue) -> ParseLine:
    """`parse_line`, but an item that is too long for its model is an error. `models`: those that may stand in."""

    def parse(raw: bytes, index: int, line: int) -> Item | LineError:
        item = parse_line(raw, index, line)
        if isinstance(item, LineError):
            return item
        window = _window(item, models, catalogue)
        if window is None or len(item.body) <= window:
            return item
        tokens = least_tokens(longest_input(exact_json.loads(item.body)))
        if tokens <= window:
            return item
        message = (
            f"This item has about {tokens} tokens at least, estimated by its length; the context window of "
            f"'{item.model}' has {window}. Shorten it, or use another model."
        )
        return LineError("context_window_exceeded", message, line, "input")

    return parse


def _window(item: Item, models: Sequence[str], catalogue: Catalogue) -> int | None:
    """The largest window of those that may run the item; None if one of them is not known."""
    offers = [offer for model in (item.model, *models) for offer in catalogue.find(model, item.provider)]
    windows = [offer.context_window for offer in offers]
    known = [window for window in windows if window is not None]
    return max(known) if known and len(known) == len(windows) else None
