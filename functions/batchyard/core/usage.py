"""How many tokens an item used, and what they cost.

Money is exact: a price is an integer of micro-dollars per million tokens, so tokens x price is an integer of
pico-dollars, and sums of those never round. Only the edge turns them into decimal strings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

PICOUSD_PER_MICROUSD = 1_000_000
RETRIED = "retried_"
"""What the names of a tally's counts of retries begin with."""

MOST_TOKENS = 10_000_000
"""The most tokens that one item can have used: the largest context window that anybody sells. A higher count is an
error of the provider's."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts. `cached_tokens`, `cache_write_tokens` and `image_input_tokens` are part of `input_tokens`,
    `reasoning_tokens` and `image_output_tokens` part of `output_tokens`. `refused`: the provider's figures cannot be
    true, so that all of them count as 0."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    refused: bool = False
    cache_write_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self) if f.name != "refused"}
        return Usage(**sums, refused=self.refused or other.refused)

    def share(self, part: int, whole: int) -> Usage:
        """What `part` of `whole` items have of it, rounded up."""
        counts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "refused"}
        return Usage(**{name: -(-count * part // whole) for name, count in counts.items()}, refused=self.refused)

    def with_output(self, tokens: int) -> Usage:
        """The same with other output tokens; of images, if all of them were."""
        of_images = tokens if 0 < self.output_tokens == self.image_output_tokens else 0
        return replace(self, output_tokens=tokens, image_output_tokens=of_images)

    def with_images(self, given: object, made: object) -> Usage:
        """The same, so many of whose input and output tokens are of images. REFUSED_USAGE if one is no count."""
        counts = _count(given), _count(made)
        if self.refused or min(counts) < 0:
            return REFUSED_USAGE
        image_input = min(counts[0], self.input_tokens - self.cached_tokens - self.cache_write_tokens)
        return replace(self, image_input_tokens=image_input, image_output_tokens=min(counts[1], self.output_tokens))


REFUSED_USAGE = Usage(refused=True)


def plausible_usage(
    given: object, cached: object, made: object, reasoning: object, cache_written: object = None
) -> Usage:
    """Figures as a provider sent them, as a usage: REFUSED_USAGE if one of them is no count, negative, or larger than
    MOST_TOKENS, because no bill is better than a wrong one. None is 0; no detail exceeds what it is a part of."""
    given_count, cached_count, made_count, reasoning_count, written_count = counts = (
        _count(given),
        _count(cached),
        _count(made),
        _count(reasoning),
        _count(cache_written),
    )
    if min(counts) < 0:
        return REFUSED_USAGE
    cached_count = min(cached_count, given_count)
    written_count = min(written_count, given_count - cached_count)
    reasoning_count = min(reasoning_count, made_count)
    return Usage(given_count, cached_count, made_count, reasoning_count, cache_write_tokens=written_count)


def _count(figure: object) -> int:
    """`figure` as a number of tokens; negative if it cannot be one."""
    if figure is None:
        return 0
    if type(figure) is float and figure.is_integer():
        figure = int(figure)
    return figure if type(figure) is int and figure <= MOST_TOKENS else -1


@dataclass(frozen=True, slots=True)
class ImagePrice:
    """Micro-dollars per million tokens of images."""

    input_microusd: int
    output_microusd: int


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-dollars per million tokens. `cache_write_microusd`: of input that the vendor keeps for later calls; None:
    it costs what other input costs. `above`: what all tokens of a call cost instead if its input is longer than so
    many tokens; thresholds rise. `image`: of tokens of images; None: it is not known, and they cost what others cost.
    """

    input_microusd: int
    cached_microusd: int
    output_microusd: int
    cache_write_microusd: int | None = None
    above: tuple[tuple[int, Price], ...] = ()
    image: ImagePrice | None = None

    def to_row(self) -> list[Any]:
        above = [[threshold, price.to_row()] for threshold, price in self.above]
        row = [self.input_microusd, self.cached_microusd, self.output_microusd, self.cache_write_microusd, above]
        return row if self.image is None else [*row, [self.image.input_microusd, self.image.output_microusd]]

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Price:
        """Rows of an older version have no prices of images."""
        given, cached, made, cache_write, above = row[:5]
        thresholds = tuple((threshold, cls.from_row(price)) for threshold, price in above)
        image = ImagePrice(*row[5]) if len(row) > 5 and row[5] else None
        return cls(given, cached, made, cache_write, thresholds, image)

    @property
    def rewards_caching(self) -> bool:
        """Whether input that the vendor still knows costs less than other input."""
        return self.cached_microusd < self.input_microusd

    def for_input(self, tokens: int) -> Price:
        """What a call with so many input tokens costs per token."""
        return next((price for threshold, price in reversed(self.above) if tokens > threshold), self)

    def cost_picousd(self, usage: Usage) -> int:
        """Exact cost of one call with `usage`, in pico-dollars."""
        return self.for_input(usage.input_tokens).sum_picousd(usage)

    def sum_picousd(self, usage: Usage) -> int:
        """What the tokens of any number of calls cost together, `above` left aside."""
        written, write_price = usage.cache_write_tokens, self.cache_write_microusd
        if write_price is None:
            write_price = self.input_microusd
        image = self.image or ImagePrice(self.input_microusd, self.output_microusd)
        fresh = usage.input_tokens - usage.cached_tokens - written - usage.image_input_tokens
        return (
            fresh * self.input_microusd
            + written * write_price
            + usage.cached_tokens * self.cached_microusd
            + usage.image_input_tokens * image.input_microusd
            + (usage.output_tokens - usage.image_output_tokens) * self.output_microusd
            + usage.image_output_tokens * image.output_microusd
        )


@dataclass(frozen=True, slots=True)
class PinnedPrice:
    """What a model at a provider costs for a batch whose quote said so, whatever it costs others by now."""

    provider: str
    model: str
    price: Price

    def to_row(self) -> list[Any]:
        return [self.provider, self.model, self.price.to_row()]

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> PinnedPrice:
        provider, model, price = row[:3]
        return cls(provider, model, Price.from_row(price))


def discounted_picousd(cost_picousd: int, percent: int) -> int:
    """`percent` of a cost, rounded up to a whole pico-dollar."""
    return -(-cost_picousd * percent // 100)


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts, tokens and cost of some results. Adds up with `+`; a row stores its fields under the same names."""

    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_picousd: int = 0
    realtime_picousd: int = 0
    """What they would have cost, each called in realtime."""
    retried_throttled: int = field(default=0, compare=False)
    retried_overloaded: int = field(default=0, compare=False)
    retried_server_error: int = field(default=0, compare=False)
    retried_request_timeout: int = field(default=0, compare=False)
    retried_connection_error: int = field(default=0, compare=False)
    retried_invalid_response: int = field(default=0, compare=False)
    retried_unaffordable: int = field(default=0, compare=False)
    retried_conflict: int = field(default=0, compare=False)
    retried_retry_requested: int = field(default=0, compare=False)
    """How often items were sent again, by `core.retry.FailureReason`. What a worker that died had not yet written is
    missing, so that nothing is decided by it."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def items(self) -> int:
        return self.succeeded + self.failed + self.cancelled + self.expired

    @property
    def usage(self) -> Usage:
        return Usage(self.input_tokens, self.cached_tokens, self.output_tokens, self.reasoning_tokens)

    @property
    def retries(self) -> dict[str, int]:
        """Reason -> how often items were sent again for it."""
        counts = {f.name.removeprefix(RETRIED): getattr(self, f.name) for f in fields(self) if _counts_retries(f.name)}
        return {reason: count for reason, count in counts.items() if count}

    def to_row(self) -> dict[str, int]:
        """Most items are sent once, so retries are only written if there are any."""
        row = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: count for name, count in row.items() if count or not _counts_retries(name)}

    @classmethod
    def from_row(cls, row: dict[str, int]) -> Tally:
        """Rows of a version that knew only realtime do not have its price."""
        known = {"realtime_picousd": row.get("cost_picousd", 0)} | row
        return cls(**{f.name: known.get(f.name, 0) for f in fields(cls)})


def retries_tally(retries: Mapping[str, int]) -> Tally:
    """Reason -> how often items were sent again, as a tally."""
    return Tally(**{f"{RETRIED}{reason}": count for reason, count in retries.items()})


def _counts_retries(name: str) -> bool:
    return name.startswith(RETRIED)


def decimal_usd(cost_picousd: int) -> str:
    """`1_234_567_890_000` -> `"1.234568"`: US dollars, six decimals, rounded half up."""
    microusd = (cost_picousd + PICOUSD_PER_MICROUSD // 2) // PICOUSD_PER_MICROUSD
    return f"{microusd // 1_000_000}.{microusd % 1_000_000:06d}"
