"""Rules: what a batch says about the lanes that its items may take. Which lanes keep to them: `routing.py`."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

ANYWHERE = "global"
"""As a region: no matter which."""
PRIORITY_TURNS = 4


class RoutingMode(enum.StrEnum):
    """How lanes are chosen. `cheapest`; `sla_aware`: the cheapest that is expected to be done by the deadline with a
    margin; `public_only`, `edge_only`: vendors or the owner's own network; `hybrid`: the owner's own network first;
    `privacy_constrained`: the one that keeps the least, then the cheapest."""

    CHEAPEST = "cheapest"
    SLA_AWARE = "sla_aware"
    PUBLIC_ONLY = "public_only"
    EDGE_ONLY = "edge_only"
    HYBRID = "hybrid"
    PRIVACY_CONSTRAINED = "privacy_constrained"


class PrivacyTier(enum.StrEnum):
    """Who may see the items. `confidential`: providers that keep nothing, and not in their own batches, which they
    keep; `restricted`: only private endpoints."""

    STANDARD = "standard"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"


class ServiceTier(enum.StrEnum):
    """How soon. `standard`: 24 hours; `flex`: 48; `priority`: ahead of the others, and call by call."""

    STANDARD = "standard"
    FLEX = "flex"
    PRIORITY = "priority"

    @property
    def windows(self) -> int:
        """How many completion windows a batch has."""
        return 2 if self is ServiceTier.FLEX else 1

    @property
    def turns(self) -> int:
        """How many calls a batch may start for each one of another batch of its account."""
        return PRIORITY_TURNS if self is ServiceTier.PRIORITY else 1


@dataclass(frozen=True, slots=True)
class RoutingRules:
    """What a batch allows. `models`: models that may stand in for each other, of equal ones the first; empty: each
    item's own. `regions`: where items may be processed; empty, or `global` among them: anywhere."""

    mode: RoutingMode = RoutingMode.CHEAPEST
    privacy: PrivacyTier = PrivacyTier.STANDARD
    tier: ServiceTier = ServiceTier.STANDARD
    models: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()

    @property
    def avoids_trouble(self) -> bool:
        """Whether its items leave a lane in trouble at once, and not only when waiting endangers the deadline."""
        return self.mode is RoutingMode.SLA_AWARE or self.tier is ServiceTier.PRIORITY

    def models_for(self, model: str) -> tuple[str, ...]:
        """The models that an item may run on that asks for `model`."""
        return self.models or (model,)

    def to_row(self) -> list[Any]:
        return [str(self.mode), str(self.privacy), str(self.tier), list(self.models), list(self.regions)]

    @classmethod
    def from_row(cls, row: list[Any]) -> RoutingRules:
        """An older version wrote no regions; what a newer one wrote behind them is left alone."""
        mode, privacy, tier, models, *rest = row
        regions = rest[0] if rest else ()
        return cls(RoutingMode(mode), PrivacyTier(privacy), ServiceTier(tier), tuple(models), tuple(regions))


NO_RULES = RoutingRules()
