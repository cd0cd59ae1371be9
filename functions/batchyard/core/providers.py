"""A provider: an upstream vendor or private endpoint, as `providers.toml` describes it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from batchyard.core.lane_limits import LaneLimits
from batchyard.core.lanes import Mode
from batchyard.core.native_limits import NativeLimits, native_limits

CHAT_COMPLETIONS = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
"""Anthropic's form of a request. Who serves chat completions serves this and responses too, translated if need be."""
IMAGE_GENERATIONS = "/v1/images/generations"
IMAGE_EDITS = "/v1/images/edits"
IMAGE_ENDPOINTS = (IMAGE_GENERATIONS, IMAGE_EDITS)

_BY_CHAT = (RESPONSES, MESSAGES)

ENDPOINTS = (
    *(CHAT_COMPLETIONS, "/v1/completions", EMBEDDINGS, RESPONSES, "/v1/moderations"),
    *(*IMAGE_ENDPOINTS, MESSAGES),
)
"""The endpoints that items can be for. Which of them a surface takes is its own affair."""

KINDS = {
    "openai": ENDPOINTS,
    "anthropic": (CHAT_COMPLETIONS, MESSAGES),
    "gemini": (CHAT_COMPLETIONS, EMBEDDINGS, MESSAGES),
    "bedrock": (CHAT_COMPLETIONS, EMBEDDINGS, MESSAGES),
}
"""What a worker can speak to a provider -> the endpoints whose items it can translate. A provider serves all of them
unless its entry says otherwise; `adapters.providers.kinds` has the translator of each kind."""

VARIANTS = {
    "openai": ("openai", "azure", "groq", "mistral", "together"),
    "anthropic": ("anthropic",),
    "gemini": ("gemini",),
    "bedrock": ("bedrock",),
}
"""Kind -> whose peculiarities a provider of that kind may have; the first one is the default."""

_KINDS_WITH_FLEX = frozenset({"openai", "gemini", "bedrock"})
"""Kinds of which some vendor sells realtime at a lower price."""

_AWS_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]+")
_REGION_OF_HOST = re.compile(r"bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_RETENTION = re.compile(r"none|days:[1-9][0-9]{0,3}")


def default_variant(kind: str) -> str:
    """The variant of a provider whose entry names none; empty for an unknown kind."""
    return next(iter(VARIANTS.get(kind, ())), "")


@dataclass(frozen=True, slots=True)
class Provider:
    """`max_concurrency`: worker invocations at once on this provider's queue (SQS takes 2 to 1000), each of which has
    many calls in flight. `catalogue`: the provider's key in catalogue.json; None: only its own `[[models]]` exist.

    `base_url` ends before the endpoint's path: `https://api.openai.com/v1` + `/chat/completions`. Raises ValueError if
    a value cannot be right.
    """

    name: str
    kind: str
    base_url: str
    max_concurrency: int = 10
    catalogue: str | None = None
    endpoints: tuple[str, ...] = ()
    """All that its kind can serve, if the entry names none."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """The operator's limits for each of the provider's models; None: as many as the provider takes."""
    variant: str = ""
    """One of VARIANTS of its kind; the first one if the entry names none."""
    modes: tuple[Mode, ...] = (Mode.REALTIME,)
    """How its models may be run."""
    native: NativeLimits | None = None
    """The limits of provider jobs; None if it runs none."""
    native_models: tuple[str, ...] = ()
    """The models of which its batch API costs less, named as in `flex_models`; others are not run in it. Empty: all."""
    flex_price_percent: int = 50
    """What an item costs in flex, of its realtime price."""
    flex_models: tuple[str, ...] = ()
    """The models that have flex; a name that ends in `*` stands for all that begin alike. Empty: all have."""
    regions: tuple[str, ...] = ()
    """Where its items are processed, in names that this deployment's callers use; empty: it does not say."""
    retention: str | None = None
    """How long it keeps what it is sent in calls: `none`, or `days:30`; None: it does not say."""
    private: bool = False
    """Whether it is in the owner's own network."""
    cache_marks: bool = False
    """Whether prompts are marked for the vendor's cache, if the vendor wants marks (Anthropic). Writing to it costs a
    quarter more than reading the prompt for the first time, reading from it a tenth."""
    default_max_tokens: int = 16_000
    """The most output tokens of an item that does not say, if the vendor wants to be told (Anthropic)."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"provider name {self.name!r}: lower-case letters, digits and hyphens, 31 at most")
        if self.kind not in KINDS:
            raise ValueError(f"provider {self.name}: kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if not self.base_url.startswith(("https://", "http://")) or self.base_url.endswith("/"):
            raise ValueError(f"provider {self.name}: base_url {self.base_url!r} must be http(s) and not end in '/'")
        object.__setattr__(self, "endpoints", self.endpoints or KINDS[self.kind])
        object.__setattr__(self, "variant", self.variant or default_variant(self.kind))
        self._check_figures()
        self._check_words()

    @property
    def limits(self) -> LaneLimits:
        """What the operator allows each of its models."""
        return LaneLimits(self.requests_per_minute, self.tokens_per_minute)

    @property
    def uses_role(self) -> bool:
        """Whether it is called with the worker's role, and has no provider key."""
        return self.kind == "bedrock"

    @property
    def aws_region(self) -> str | None:
        """The region that its base URL names, else the first AWS region among `regions`; None if there is none."""
        in_host = _REGION_OF_HOST.search(self.base_url)
        named = ((in_host[1],) if in_host else ()) + self.regions
        return next((each for each in named if _AWS_REGION.fullmatch(each)), None)

    def serves(self, endpoint: str) -> bool:
        """Whether items for `endpoint` can be sent to it, translated to chat completions if need be."""
        return endpoint in self.endpoints or (endpoint in _BY_CHAT and CHAT_COMPLETIONS in self.endpoints)

    def has_flex(self, model: str) -> bool:
        """Whether `model` may be run in flex."""
        return Mode.FLEX in self.modes and _is_one_of(model, self.flex_models)

    def native_limits_of(self, model: str) -> NativeLimits | None:
        """The limits of jobs of `model`; None if it is not run in any."""
        return self.native if _is_one_of(model, self.native_models) else None

    def price_percent(self, mode: Mode) -> int:
        """What an item costs in that mode, of its realtime price."""
        if mode is Mode.NATIVE and self.native is not None:
            return self.native.price_percent
        return self.flex_price_percent if mode is Mode.FLEX else 100

    def in_modes(self, modes: tuple[Mode, ...]) -> Provider:
        """The same in other modes; in native with its vendor's own limits, unless the entry has some."""
        native = (self.native or native_limits(self.variant, {})) if Mode.NATIVE in modes else None
        return replace(self, modes=modes, native=native)

    def _check_figures(self) -> None:
        if not 2 <= self.max_concurrency <= 1000:
            raise ValueError(f"provider {self.name}: max_concurrency is 2 to 1000, not {self.max_concurrency}")
        try:
            LaneLimits(self.requests_per_minute, self.tokens_per_minute)
        except ValueError as error:
            raise ValueError(f"provider {self.name}: {error}") from error
        if not 0 < self.flex_price_percent <= 100:
            raise ValueError(f"provider {self.name}: flex_price_percent is 1 to 100, not {self.flex_price_percent}")
        if self.default_max_tokens < 1:
            raise ValueError(f"provider {self.name}: default_max_tokens is 1 at least, not {self.default_max_tokens}")

    def _check_words(self) -> None:
        unknown = set(self.endpoints) - set(KINDS[self.kind])
        if unknown:
            raise ValueError(f"provider {self.name}: unknown endpoints {', '.join(sorted(unknown))}")
        if self.variant not in VARIANTS[self.kind]:
            known = ", ".join(VARIANTS[self.kind])
            raise ValueError(f"provider {self.name}: variant {self.variant!r} is not one of {known}")
        if not self.modes or len(set(self.modes)) < len(self.modes):
            raise ValueError(f"provider {self.name}: modes names each way to run its models once, and at least one")
        if (Mode.NATIVE in self.modes) != (self.native is not None):
            raise ValueError(f"provider {self.name}: native limits go with the mode native")
        if self.uses_role and self.aws_region is None:
            raise ValueError(f"provider {self.name}: neither base_url nor regions names an AWS region")
        if Mode.FLEX in self.modes and self.kind not in _KINDS_WITH_FLEX:
            raise ValueError(f"provider {self.name}: kind {self.kind} has no mode flex")
        if self.retention is not None and not _RETENTION.fullmatch(self.retention):
            raise ValueError(f"provider {self.name}: retention is none or days:N, not {self.retention!r}")


def _is_one_of(model: str, names: tuple[str, ...]) -> bool:
    """Whether `names` has it, or is empty."""
    return not names or any(_is_named(model, name) for name in names)


def _is_named(model: str, name: str) -> bool:
    return model.startswith(name[:-1]) if name.endswith("*") else model == name
