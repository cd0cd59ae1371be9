"""Policies: how batches are run that do not say so themselves. What a batch says counts first, then the policy of its
account, then that of the deployment, each member by itself. A policy is a default and no wall: what must not be at all
is for a provider's entry, or for a privacy tier that the batch itself asks for.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from batchyard.core.json_types import JsonObject
from batchyard.core.lanes import Mode
from batchyard.core.rules import PrivacyTier, RoutingMode, RoutingRules


@dataclass(frozen=True, slots=True)
class Policy:
    """None: it says nothing of that. `modes`: those that items may run in; realtime is always among them, because what
    other lanes leave runs there. `early_failover`: items leave a lane in trouble at once, and not only when waiting
    endangers the deadline."""

    modes: tuple[Mode, ...] | None = None
    routing_mode: RoutingMode | None = None
    privacy_tier: PrivacyTier | None = None
    early_failover: bool | None = None

    def or_else(self, other: Policy) -> Policy:
        """What this one says, and of the rest what `other` says."""
        said = {field.name: getattr(self, field.name) for field in fields(Policy)}
        return Policy(**{name: value if value is not None else getattr(other, name) for name, value in said.items()})

    def beyond(self, rules: RoutingRules) -> Policy:
        """What it says that `rules` do not say already."""
        return Policy(
            self.modes,
            None if self.routing_mode is rules.mode else self.routing_mode,
            None if self.privacy_tier is rules.privacy else self.privacy_tier,
            self.early_failover,
        )

    def to_json(self) -> JsonObject:
        """What it says, as `read_policy` takes it."""
        said = {field.name: getattr(self, field.name) for field in fields(Policy)}
        return {name: list(each) if name == "modes" else each for name, each in said.items() if each is not None}


E = TypeVar("E", bound=enum.StrEnum)


def read_policy(members: Mapping[str, Any]) -> Policy:
    """A policy as an operator writes it. Raises ValueError, which names what is wrong; null is as if left out."""
    unknown = sorted(members.keys() - {field.name for field in fields(Policy)})
    if unknown:
        known = ", ".join(field.name for field in fields(Policy))
        raise ValueError(f"a policy has no {unknown[0]!r}; it has: {known}")
    early = members.get("early_failover")
    if early is not None and type(early) is not bool:
        raise ValueError("early_failover is true or false")
    return Policy(
        _modes(members.get("modes")),
        _one_of(RoutingMode, "routing_mode", members.get("routing_mode")),
        _one_of(PrivacyTier, "privacy_tier", members.get("privacy_tier")),
        early,
    )


def read_modes(named: Any) -> tuple[Mode, ...]:
    """Modes that items may run in. Raises ValueError, which says what is wrong."""
    known = ", ".join(Mode)
    if not isinstance(named, list | tuple) or not all(isinstance(each, str) and each in set(Mode) for each in named):
        raise ValueError(f"modes is a list of some of: {known}")
    if Mode.REALTIME not in named or len(set(named)) < len(named):
        raise ValueError("modes has realtime, where what other lanes leave is run, and each mode once")
    return tuple(map(Mode, named))


def _modes(named: Any) -> tuple[Mode, ...] | None:
    return None if named is None else read_modes(named)


def _one_of(kind: type[E], name: str, value: Any) -> E | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in set(kind):
        raise ValueError(f"{name} is one of: {', '.join(kind)}")
    return kind(value)
