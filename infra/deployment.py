"""What differs between deployments: one frozen value that every construct reads.

Any field can be set on the command line or in cdk.json's context by its name: `cdk deploy -c name=staging -c waf=true`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from constructs import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """`name` starts the name of every stack, function and queue, so that one account can hold several deployments."""

    name: str = "batchyard"
    alarm_email: str | None = None
    log_level: str = "INFO"
    log_retention_days: int = 30
    waf: bool = False
    """Put AWS WAF in front of the API (about $7 a month and $0.60 per million requests)."""
    retain_data: bool = True
    """Keep table and buckets when the stateful stack is deleted."""
    reserve_concurrency: bool = True
    """Reserve Lambda concurrency per function. Turn off in an account whose concurrency limit is below 1,000."""
    api_requests_per_second: int = 200
    api_burst: int = 400
    working_days: int = 14
    """How long work files and parts are kept; longer than the longest completion window."""
    drop_version_days: int = 30
    """How long replaced and deleted versions of dropped files are kept."""
    limits: Mapping[str, Any] = field(default_factory=dict)
    """Overrides of what `batchyard.settings` has defaults for, by field name; what is more than a number or a text
    reaches the functions as JSON."""
    provider_urls: Mapping[str, str] = field(default_factory=dict)
    """Provider name -> base URL that replaces the one in providers.toml."""

    @property
    def title(self) -> str:
        """The name as a stack's name has it: batchyard-dev -> Batchyard-Dev."""
        return "-".join(word.capitalize() for word in self.name.split("-"))

    @classmethod
    def from_context(cls, node: Node) -> Deployment:
        """Fields that the context does not set keep their defaults. Raises ValueError for a value of the wrong kind."""
        context = {each.name: node.try_get_context(each.name) for each in fields(cls)}
        defaults = cls()
        return cls(
            **{
                name: _parse(name, value, getattr(defaults, name))
                for name, value in context.items()
                if value is not None
            }
        )


def _parse(name: str, value: Any, default: Any) -> Any:
    """A context value as the field's type. The command line passes everything as text."""
    if not isinstance(value, str) or isinstance(default, str) or default is None:
        return value
    parsed = json.loads(value)
    if type(parsed) is not type(default):
        raise ValueError(f"context value {name}={value!r} is not of the kind {type(default).__name__}")
    return parsed
