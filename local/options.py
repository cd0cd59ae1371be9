"""The options of a local cloud, which people give as flags and programs as JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from batchyard.adapters.catalogue import load_providers
from local.deployment.templates import ROOT

_OF_A_PROVIDER = re.compile(r"BATCHYARD_([A-Z0-9_]+)_URL")


def provider_urls(environment: Mapping[str, str]) -> dict[str, str]:
    """Provider -> address, from variables such as BATCHYARD_OPENAI_URL. Empty ones say nothing."""
    found = {}
    for name, url in environment.items():
        match = _OF_A_PROVIDER.fullmatch(name)
        if match is not None and url:
            found[match.group(1).lower().replace("_", "-")] = url
    return found


def address_variables(
    providers: Iterable[str], given: Mapping[str, str], elsewhere: Callable[[str], str]
) -> dict[str, str]:
    """What the functions that call `providers` are told of where those are: at an address that was `given`, else
    `elsewhere`."""
    return {"PROVIDER_URLS": json.dumps({name: given.get(name) or elsewhere(name) for name in providers})}


def webhook_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What functions are told of receivers of webhooks on this machine."""
    hosts = environment.get("BATCHYARD_WEBHOOK_HOSTS", "")
    return {"WEBHOOK_HOSTS": hosts} if hosts else {}


SWEEPS_EVERY_SECONDS = 2.0
"""People do not want to wait a minute for Sweep, which also looks after provider jobs."""
JOB_CLOCK_SPEED = 30.0
"""Nor do they want to wait for a simulated vendor's job: this makes two seconds of its minute."""
FOR_PEOPLE: dict[str, str] = {"jobs.JOB_POLLS_EVERY_SECONDS": "1"}
"""What functions are told if somebody sits in front of it: each Sweep has provider jobs looked at. In all else they are
as patient with their vendors as those of a deployment: those may be real ones."""


def realtime_only() -> dict[str, str]:
    """What functions are told if every item is to be called by itself, whatever the vendors' batch APIs would save."""
    return {"PROVIDER_MODES": json.dumps({provider.name: ["realtime"] for provider in load_providers()})}


@dataclass(frozen=True, slots=True)
class Options:
    port: int = 0
    """The API's port; 0 takes any free one."""
    folder: Path = ROOT / ".local"
    """The folder for the file `env` and for logs."""
    provider_url: str | None = None
    """The address of all providers that have none of their own in `provider_urls`; None starts a simulated provider,
    which speaks as every vendor does."""
    provider_urls: Mapping[str, str] = field(default_factory=dict)
    """Provider -> its base address, with the version: what stands in providers.toml as `base_url`."""
    job_clock_speed: float = 1.0
    """How many seconds of a job at the simulated provider that is started go by in one second. A job takes a minute."""
    account: str | None = "local"
    """Name of the first account; None: no account is made."""
    processes: int = max(2, min(4, os.cpu_count() or 2))
    """How many processes a function has at most."""
    preload: bool = False
    """Whether functions start as forks of a process that has imported their packages (Linux only): sooner than in AWS,
    which tests that start many like."""
    account_concurrency: int | None = None
    """Lambda's quota of concurrent executions; None: more than is ever needed."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that every function gets beside those of the template, or, as `function.NAME`, that one function."""
    schedules: bool = True
    """Whether rules with a schedule fire by themselves."""
    minute_seconds: float = 60.0
    """How long a minute lasts for rules with a schedule. Sweep, and with it the polling of provider jobs, has one."""
    wait_scale: float = 1.0
    """A factor for the state machine's waits and retry intervals; with `preload` also for those of the functions'
    SDK."""
    deployment: str = "local"
    """The file of deployments/, or the path of one from the repository's root, that is deployed."""
    templates: Path | None = None
    """A JSON file of stacks that are deployed instead of those of infra/."""
    functions_path: Path = ROOT / "functions"
    """The folder that handlers are imported from."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Options:
        given = json.loads(text)
        paths = {name: Path(given[name]) for name in ("folder", "templates", "functions_path") if given[name]}
        return cls(**(given | paths))
