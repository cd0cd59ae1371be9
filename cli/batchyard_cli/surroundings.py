"""What commands need of the machine that they run on, in one place, so that tests can replace it: environment, clock,
network, home folder, AWS."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True)
class Surroundings:
    """`transport`: what HTTP requests go through; None: the network. `aws`: a boto3 client by the service's name;
    None: boto3's own. `folder`: where the stored key and unfinished uploads are."""

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    folder: Path = field(default_factory=lambda: Path(click.get_app_dir("batchyard")))
    transport: httpx.BaseTransport | None = None
    aws: Callable[[str], Any] | None = None
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    keyring: bool = True
    """Whether the system's keyring may be used."""
