"""What differs between deployments: one value that every construct reads, from a file per deployment.

`cdk deploy -c deployment=<file>` chooses `deployments/<file>.toml`. There is no default, so that nobody changes one
deployment when they meant another.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from batchyard import settings
from batchyard.adapters import catalogue
from batchyard.core.policies import read_policy

FOLDER = Path(__file__).resolve().parent.parent / "deployments"


_NEVER_DEPLOYED = {"webhook_hosts"}
"""Settings of the local cloud alone."""


class DeploymentRefused(Exception):
    """The file of a deployment is missing or wrong. The message is for the person who wrote it."""


class Deployment(BaseModel):
    """The fields of a deployment's file. `deployments/example.toml` has each with its default and what it is for."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=30)
    """Starts the name of every stack, function, queue, metric and secret: two deployments of a region share nothing."""
    lambda_concurrency_quota: int = Field(ge=10)
    """The account's limit of concurrent executions in this region; `infra.concurrency` shares it out."""
    alarm_email: str | None = None
    daily_spend_limit_usd: int = Field(default=100, ge=1)
    """An alarm fires on the day on which batches that ended cost this much at the providers."""
    dashboard: bool = False
    """Make a CloudWatch dashboard: 3 dollars a month, unless it is among the account's first three."""
    log_level: str = "INFO"
    log_retention_days: int = Field(default=30, ge=1)
    waf: bool = False
    """Put AWS WAF in front of the API (8 dollars a month and 0.60 per million requests)."""
    requests_per_address: int = Field(default=10_000, ge=10)
    """In five minutes, for one address and for one value of the Authorization header; only with `waf`."""
    api_requests_per_second: int = Field(default=200, ge=1)
    """For each method of the API, all callers together."""
    api_burst: int = Field(default=400, ge=1)
    cors_origins: Sequence[str] = ()
    """Origins (`https://app.example.com`, or `*` for all) whose pages may call the API from a browser."""
    subnets: Sequence[str] = ()
    """Ids of subnets in which the functions that call providers run, to reach private endpoints; none: outside of any
    VPC. From there AWS's own services and public vendors have to be reachable too."""
    security_groups: Sequence[str] = ()
    """Ids of the security groups of those functions; given if `subnets` are."""
    retain_data: bool = True
    """Keep table, buckets and key when the stateful stack is deleted."""
    existing_table: str | None = None
    """Name of a table to use instead of a new one: one restored from a backup, or kept by an earlier stack."""
    existing_data_bucket: str | None = None
    existing_drop_bucket: str | None = None
    working_days: int = Field(default=14, ge=9)
    """How long work files and parts are kept; longer than the longest life of an execution, eight days."""
    drop_days: int | None = Field(default=None, ge=1)
    """How long dropped files and their results are kept; None: until somebody deletes them."""
    drop_version_days: int = Field(default=30, ge=1)
    """How long replaced and deleted versions of dropped files are kept."""
    limits: Mapping[str, Any] = Field(default_factory=dict)
    """Overrides of defaults in `batchyard.settings`, by field name. A value that is no number or text reaches the
    functions as JSON."""
    provider_urls: Mapping[str, str] = Field(default_factory=dict)
    """Provider name -> base URL that replaces the one in providers.toml."""
    provider_modes: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Provider name -> how its models may be run, instead of the modes in providers.toml."""
    policy: Mapping[str, Any] = Field(default_factory=dict)
    """How batches are run if neither they nor their accounts say so."""
    lane_limits: Sequence[Mapping[str, Any]] = ()
    """As `[[lane_limits]]` of providers.toml, before those."""
    tags: Mapping[str, str] = Field(default_factory=dict)
    """Cost-allocation tags of every resource, beside `batchyard:deployment`."""

    @field_validator("limits")
    @classmethod
    def _limits_exist(cls, limits: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuses limits that functions would ignore, or refuse at their first use."""
        unknown = sorted(limits.keys() - (_setting_names() - _NEVER_DEPLOYED))
        if unknown:
            raise ValueError(f"no setting of functions/batchyard/settings.py is called {', '.join(unknown)}")
        settings.Limits.model_validate({name: variable(value) for name, value in limits.items()})
        return limits

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_origins(cls, origins: Sequence[str]) -> Sequence[str]:
        """Refuses what no browser would send: an origin has a scheme and a host, and no path."""
        for origin in origins:
            if not re.fullmatch(r"\*|https?://[a-z0-9.-]+(:[0-9]+)?", origin):
                raise ValueError(f"{origin!r} is no origin such as https://app.example.com")
        return origins

    @model_validator(mode="after")
    def _networks_are_whole(self) -> Deployment:
        """Refuses half of a network, and what are no ids of its parts."""
        for ids, prefix in ((self.subnets, "subnet-"), (self.security_groups, "sg-")):
            wrong = next((each for each in ids if not re.fullmatch(prefix + "[0-9a-f]{8,17}", each)), None)
            if wrong is not None:
                raise ValueError(f"{wrong!r} is no id such as {prefix}0123456789abcdef0")
        if bool(self.subnets) != bool(self.security_groups):
            raise ValueError("subnets and security_groups go together")
        return self

    @field_validator("provider_modes", mode="before")
    @classmethod
    def _modes_exist(cls, modes: Any) -> Mapping[str, tuple[str, ...]]:
        """Refuses providers that do not exist and modes that they cannot have."""
        wanted = {str(name): tuple(map(str, each)) for name, each in dict(modes).items()}
        try:
            catalogue.load().in_modes(wanted)
        except KeyError as error:
            raise ValueError(f"providers.toml has no provider {error}") from error
        return wanted

    @property
    def modes(self) -> dict[str, list[str]]:
        """`provider_modes` as JSON has it."""
        return {name: list(modes) for name, modes in self.provider_modes.items()}

    @field_validator("policy")
    @classmethod
    def _policy_can_be_read(cls, policy: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuses a policy that no batch could be made under."""
        read_policy(policy)
        return policy

    @field_validator("lane_limits")
    @classmethod
    def _lane_limits_can_be_read(cls, entries: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Refuses limits that the worker would refuse at its first use."""
        try:
            catalogue.read_lane_limits(map(dict, entries), catalogue.load_providers())
        except TypeError as error:
            raise ValueError(str(error)) from error
        return entries

    @property
    def title(self) -> str:
        """The name as stacks' names begin with it: batchyard-dev -> Batchyard-Dev."""
        return "-".join(word.capitalize() for word in self.name.split("-"))

    @property
    def completion_window_seconds(self) -> int:
        """How long a batch may take, if its caller says nothing else."""
        default = settings.Limits.model_fields["completion_window_seconds"].default
        return int(self.limits.get("completion_window_seconds", default))

    @property
    def secret_prefix(self) -> str:
        """What the names of the providers' secrets begin with."""
        return f"{self.name}/providers/"


def read(chosen: str | None, folder: Path = FOLDER) -> Deployment:
    """The deployment of `<folder>/<chosen>.toml`, or of the file `chosen` if that ends in `.toml`. Raises
    DeploymentRefused."""
    there = ", ".join(sorted(path.stem for path in folder.glob("*.toml"))) or "none yet"
    if not chosen:
        raise DeploymentRefused(f"Which deployment? Say -c deployment=<file>. Files in {folder.name}/: {there}.")
    path = Path(chosen) if chosen.endswith(".toml") else folder / f"{chosen}.toml"
    if not path.is_file():
        raise DeploymentRefused(f"There is no {path}. Files in {folder.name}/: {there}.")
    return parse(path.read_text(), path.name)


def parse(text: str, file: str) -> Deployment:
    """The deployment that the TOML `text` describes; `file` is named in errors. Raises DeploymentRefused."""
    try:
        return Deployment.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise DeploymentRefused(f"{file} is no TOML: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise DeploymentRefused(f"{file}: {wrong}") from error


def variable(value: object) -> str:
    """A setting's value as the text of an environment variable."""
    return value if isinstance(value, str) else json.dumps(value)


def _setting_names() -> set[str]:
    kinds = (each for each in vars(settings).values() if isinstance(each, type) and issubclass(each, BaseModel))
    return {name for kind in kinds for name in kind.model_fields}
