"""Compiles genai-prices (https://github.com/pydantic/genai-prices) into functions/batchyard/catalogue.json.

    python -m tools.compile_catalogue [--as-of 2026-11-20] [--check]

The result depends only on the installed genai-prices, the providers in providers.toml and the date, which picks
among prices that change on announced days; `--check` compiles for the committed date and fails on a difference.

What is simplified: if a price depends on the time of day, the highest one counts; a model that is not priced per token
(images by the piece, audio hours) is left out.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from importlib.metadata import version
from typing import Any

import orjson
from genai_prices import types
from genai_prices.data import providers as price_lists

from batchyard.adapters.catalogue import CATALOGUE_FILE, load_providers

MODERATION_PREFIXES = ["omni-moderation-", "text-moderation-"]
"""genai-prices matches OpenAI's free moderation models by "contains moderation", which fits names of other models."""

NOT_SERVED = {
    "openai": re.compile(r"gpt-oss|gpt-(realtime|live)|.*-(realtime|transcribe|tts)\b|.*:extended$"),
    "google": re.compile(r"claude-|.*-maas$|gemini-(live|nano|omni)|.*-(image|live|streaming|tts)\b"),
}
"""Models that genai-prices lists, but that no endpoint of a batch serves: those that others host or that Google has on
another platform only, and models of the audio, image and realtime APIs."""


def compile_catalogue(as_of: date) -> dict[str, Any]:
    """The whole document, ready to be written."""
    lists = {price_list.id: price_list for price_list in price_lists}
    wanted = sorted({provider.catalogue for provider in load_providers() if provider.catalogue})
    return {
        "source": f"genai-prices {version('genai-prices')}",
        "as_of": as_of.isoformat(),
        "providers": {name: list(models_of(lists[name], as_of)) for name in wanted},
    }


def encode(document: dict[str, Any]) -> bytes:
    """JSON with one model a line, so that a change of prices reads well as a diff."""
    head = orjson.dumps({key: value for key, value in document.items() if key != "providers"})[1:-1]
    shelves = [
        orjson.dumps(name) + b": [\n" + b",\n".join(orjson.dumps(model) for model in models) + b"\n]"
        for name, models in document["providers"].items()
    ]
    return b"{" + head + b',\n"providers": {\n' + b",\n".join(shelves) + b"\n}}\n"


def models_of(price_list: types.Provider, as_of: date) -> Iterator[dict[str, Any]]:
    for model in price_list.models:
        if price_list.id in NOT_SERVED and NOT_SERVED[price_list.id].match(model.id):
            continue
        if price_list.id == "openai" and model.id == "moderation":
            yield {"id": "omni-moderation-latest", "microusd": [0, 0, 0], "prefixes": MODERATION_PREFIXES}
            continue
        price = _price(model, as_of)
        if price is None:
            continue
        rules: dict[str, list[str]] = {"aliases": [], "prefixes": [], "patterns": []}
        for clause in _leaves(model.match):
            _add(rules, clause)
        names = rules["aliases"]
        # A family's id ("ft:gpt-4o") is genai-prices' own name, which the vendor may not know.
        identifier = (
            model.id if model.is_match(model.id) else [*names, *(p + "*" for p in rules["prefixes"]), model.id][0]
        )
        rules["aliases"] = [name for name in names if name != identifier]
        entry: dict[str, Any] = {"id": identifier, "microusd": _figures(price)}
        if above := [[threshold, *_figures(price, threshold)] for threshold in _thresholds(price)]:
            entry["above"] = above
        if price_list.id == "openai" and price.input_image_mtok is not None:
            entry["image"] = _image_figures(price)
        if model.context_window is not None:
            entry["context"] = model.context_window
        yield entry | {kind: found for kind, found in rules.items() if found}


def _leaves(match: Any) -> Iterator[Any]:
    if isinstance(match, types.ClauseOr):
        for clause in match.or_:
            yield from _leaves(clause)
    else:
        yield match


def _add(rules: dict[str, list[str]], clause: Any) -> None:
    match clause:
        case types.ClauseEquals(equals=text):
            rules["aliases"].append(text)
        case types.ClauseStartsWith(starts_with=text):
            rules["prefixes"].append(text)
        case types.ClauseEndsWith(ends_with=text):
            rules["patterns"].append(re.escape(text) + "$")
        case types.ClauseContains(contains=text):
            rules["patterns"].append(re.escape(text))
        case types.ClauseRegex(regex=text):
            rules["patterns"].append(text)
        case types.ClauseAnd():
            rules["patterns"].append("^" + _lookahead(clause))
        case _:
            raise NotImplementedError(f"a match rule this compiler does not know: {clause!r}")


def _lookahead(clause: Any) -> str:
    """A pattern that fits at the beginning of the names that `clause` is about, and consumes nothing."""
    match clause:
        case types.ClauseEquals(equals=text):
            return f"(?={re.escape(text)}$)"
        case types.ClauseStartsWith(starts_with=text):
            return f"(?={re.escape(text)})"
        case types.ClauseEndsWith(ends_with=text):
            return f"(?=.*{re.escape(text)}$)"
        case types.ClauseContains(contains=text):
            return f"(?=.*{re.escape(text)})"
        case types.ClauseRegex(regex=text):
            return f"(?=.*(?:{text}))"
        case types.ClauseAnd(and_=clauses):
            return "".join(map(_lookahead, clauses))
        case types.ClauseOr(or_=clauses):
            return f"(?:{'|'.join(map(_lookahead, clauses))})"
        case _:
            raise NotImplementedError(f"a match rule this compiler does not know: {clause!r}")


def _price(model: types.ModelInfo, as_of: date) -> types.ModelPrice | None:
    """None for a model without a price per token."""
    if not isinstance(model.prices, list):
        candidates = [model.prices]
    else:
        standing = types.ModelPrice()
        by_the_hour = []
        for conditional in model.prices:
            constraint = conditional.constraint
            if isinstance(constraint, types.TimeOfDateConstraint):
                by_the_hour.append(conditional.prices)
            elif constraint is None or constraint.start_date <= as_of:
                standing = conditional.prices
        candidates = [standing, *by_the_hour]
    return max((price for price in candidates if price.input_mtok is not None), key=_figures, default=None)


def _thresholds(price: types.ModelPrice) -> list[int]:
    """Above how many tokens of input it rises."""
    parts = (price.input_mtok, price.cache_read_mtok, price.output_mtok)
    return sorted({tier.start for part in parts if isinstance(part, types.TieredPrices) for tier in part.tiers})


def _figures(price: types.ModelPrice, threshold: int = -1) -> list[int]:
    """[input, cached, output, cache writes] in micro-dollars per million tokens, of calls whose input is longer than
    `threshold`. The last one is left out if it is that of other input."""
    fresh = _microusd(price.input_mtok, threshold)
    cached = fresh if price.cache_read_mtok is None else _microusd(price.cache_read_mtok, threshold)
    output = 0 if price.output_mtok is None else _microusd(price.output_mtok, threshold)
    written = fresh if price.cache_write_mtok is None else _microusd(price.cache_write_mtok, threshold)
    return [fresh, cached, output] if written == fresh else [fresh, cached, output, written]


def _image_figures(price: types.ModelPrice) -> list[int]:
    """[input, output] of images. Vendors that give output one price mean the images by it."""
    made = price.output_mtok if price.output_image_mtok is None else price.output_image_mtok
    return [_microusd(price.input_image_mtok, -1), _microusd(made, -1)]


def _microusd(price: Decimal | types.TieredPrices | None, threshold: int) -> int:
    if isinstance(price, types.TieredPrices):
        usd = next((tier.price for tier in reversed(price.tiers) if tier.start <= threshold), price.base)
    else:
        usd = price or Decimal(0)
    return int((usd * 1_000_000).to_integral_value(ROUND_HALF_UP))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.compile_catalogue", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--as-of", type=date.fromisoformat, default=datetime.now(UTC).date(), help="default: today")
    parser.add_argument("--check", action="store_true", help="compare with the committed file, write nothing")
    arguments = parser.parse_args()
    if arguments.check:
        committed = CATALOGUE_FILE.read_bytes()
        as_of = date.fromisoformat(orjson.loads(committed)["as_of"])
        if encode(compile_catalogue(as_of)) != committed:
            print(f"{CATALOGUE_FILE} is not what genai-prices {version('genai-prices')} gives: run make catalogue")
            return 1
        return 0
    document = compile_catalogue(arguments.as_of)
    CATALOGUE_FILE.write_bytes(encode(document))
    for name, models in document["providers"].items():
        print(f"{name}: {len(models)} models")
    return 0


if __name__ == "__main__":
    sys.exit(main())
