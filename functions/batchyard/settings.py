"""The only reader of environment variables: one typed class per kind of function, parsed once per process.

A missing or malformed variable raises pydantic's ValidationError, which names it, at the first use: a deployment
mistake, never a customer's.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Json


class Settings(BaseModel):
    """What every function knows. Field `x` comes from the variable `X`."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    table_name: str
    data_bucket: str


class Limits(BaseModel):
    """Named limits of the deployment; all can be set by environment variable."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    max_batch_items: int = 100_000
    """As many as Anthropic's clients may send. A surface whose documentation says less has its own limit, except for
    OpenAI's 50,000: nobody is helped by refusing a batch that would run."""
    max_file_bytes: int = 500_000_000
    max_line_bytes: int = 1_000_000
    max_custom_id_chars: int = 512
    max_line_errors: int = 50
    """Line errors reported per failed batch."""
    max_inline_download_bytes: int = 4_000_000
    """Larger files are answered by a redirect to a presigned URL. Lambda replies end at 6 MB."""
    max_upload_part_bytes: int = 4_000_000
    """What fits through API Gateway and Lambda in one request, after base64."""
    presigned_url_seconds: int = Field(default=3600, ge=60, le=3600)
    """A URL stops working when the credentials that signed it expire, whatever it says itself. Those of a function are
    good for an hour at least."""
    surface_limits: Json[dict[str, dict[str, int]]] = Field(default="{}", validate_default=True)
    """Surface -> those of its limits (`batchyard.core.limits.Limits`) that this deployment replaces."""
    batch_file_days: int = 30
    completion_window_seconds: int = 86_400


class ApiSettings(Settings, Limits):
    """files, batches and account functions."""

    state_machine_arn: str = ""
    assemble_function: str = ""
    caller_key_id: str = ""
    """The KMS key for provider keys that callers bring."""
    cors_origins: Json[list[str]] = Field(default="[]", validate_default=True)
    """The origins whose pages may call the API; `*`: all."""
    policy: Json[dict[str, Any]] = Field(default="{}", validate_default=True)
    """How batches are run if neither they nor their accounts say so (`batchyard.core.policies`)."""


class WebhookSettings(Settings):
    """Of the functions that set webhooks, make deliveries, start them and carry them out."""

    caller_key_id: str = ""
    """The KMS key for the secrets of webhooks."""
    deliver_function: str = ""
    """The name of the function that delivers."""
    webhook_hosts: str = ""
    """Receivers on this machine, `127.0.0.1:9400,…`, to which the local cloud delivers over plain HTTP. No deployment
    can set it."""
    webhook_pace: float = Field(default=1.0, gt=0, le=1)
    """A factor for the waits between the tries of a delivery."""
    webhook_lease_seconds: int = 60
    """How long a delivery whose function died waits for another attempt; longer than one may take."""


class LaneSettings(BaseModel):
    """What of lanes differs between deployments."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    provider_modes: Json[dict[str, list[str]]] = Field(default="{}", validate_default=True)
    """Provider name -> its modes, instead of those in providers.toml."""
    job_pace: float = Field(default=1.0, gt=0, le=1)
    """How long provider jobs are waited for: 1 is what vendors take, less is for simulated ones that are faster."""


class ValidateSettings(Settings, Limits, LaneSettings):
    shard_items: int = 256
    shard_bytes: int = 4_000_000
    dispatch_stride: int = 128
    """Shards in flight per lane if the customer gave no concurrency hint."""


class DispatchSettings(Settings):
    queue_urls: Json[dict[str, str]]
    """Provider name -> URL of its queue."""


class JobStarterSettings(Settings):
    jobs_function: str = ""
    """The name of the native executor's function."""
    jobs_at_once: int | None = None
    """How many of a batch's provider jobs are looked after at the same time; None: as many as are due."""


class JobSettings(DispatchSettings, LaneSettings):
    """The native executor's function."""

    deployment: str = "batchyard"
    """Its name, which the names of its provider jobs begin with."""
    provider_urls: Json[dict[str, str]] = Field(default="{}", validate_default=True)
    secret_prefix: str = "batchyard/providers/"
    caller_key_id: str = ""
    bedrock_role_arn: str = ""
    """The role that Amazon Bedrock takes on for provider jobs; empty if no provider runs any there."""
    job_polls_every_seconds: int = Field(default=600, ge=1)
    """How long there is between two looks at a job at most."""
    job_lease_seconds: int = 600
    """How long a job that lost its executor waits for another one. Longer than it takes to hand a vendor the largest
    job: two executors that do so at once would both be paid for."""


class WorkSettings(Settings):
    queue_urls: Json[dict[str, str]]
    provider_urls: Json[dict[str, str]] = Field(default="{}", validate_default=True)
    """Provider name -> base URL that replaces the one in providers.toml."""
    lane_limits: Json[list[dict[str, Any]]] = Field(default="[]", validate_default=True)
    """As `[[lane_limits]]` of providers.toml, before those."""
    secret_prefix: str = "batchyard/providers/"
    caller_key_id: str = ""
    flush_seconds: float = 5.0
    flush_items: int = 256
    flush_bytes: int = 4_000_000
    lease_seconds: int = 60
    shards_at_once: int = 10
    drain_seconds: float = 25.0
    """How long calls in flight may go on once their batch was cancelled. With a third of the lease, which it may take
    to be noticed, this stays below FenceSettings.drain_seconds."""
    patience_seconds: float = 30.0
    """The longest wait that a provider may ask for; if it asks for a longer one, the shard is handed back."""
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 600.0
    max_attempts: int = 5
    retry_base_seconds: float = 1.0
    retry_cap_seconds: float = 60.0
    max_in_flight: int = 768
    """Calls per worker process. Lambda allows 1,024 open files. The more calls one worker waits for, the less each of
    them costs."""
    max_answer_bytes: int = 96_000_000
    """The most bytes that answers in flight (judged by recent ones) and answers not flushed yet may add up to: the
    larger they are, the fewer calls run at once. A flush holds its answers a second time, as the part."""
    max_response_bytes: int = 16_000_000
    stop_before_timeout_seconds: float = 20.0
    """How long before the invocation ends the worker stops and hands back what is left."""


class FinalizeSettings(Settings, Limits):
    drop_bucket: str = ""


class FenceSettings(Settings):
    drain_seconds: int = 60
    job_drain_seconds: int = 600
    """What a cancelled batch waits for what its provider jobs had finished: OpenAI takes ten minutes to stop one."""


class DropSettings(ApiSettings):
    drop_bucket: str


class SweepSettings(DispatchSettings, Limits, LaneSettings):
    state_machine_arn: str
    dead_letter_urls: Json[list[str]]
    """Of the providers' dead-letter queues."""
    sweep_grace_seconds: int = 120
    max_executions: int = 5


S = TypeVar("S", bound=BaseModel)


@cache
def load(kind: type[S]) -> S:
    """The settings of this process."""
    return kind.model_validate({name.lower(): value for name, value in os.environ.items()})
