"""Trigger: SQS records whose bodies are EventBridge's "Object Created" events of the drop folder's bucket.

Unlike S3's own notifications, these events have the key as it is, not URL-encoded
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html). A record that raises is reported back, and SQS
delivers it again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import orjson
from aws_lambda_powertools import Logger
from pydantic import BaseModel, Field

from batchyard.adapters.aws.clients import client
from batchyard.adapters.aws.objects import Objects
from batchyard.core.batches import DropSource
from batchyard.core.errors import InvalidRequest
from batchyard.core.limits import BatchTerms, FileTerms
from batchyard.core.requests import BatchRequest
from batchyard.handlers import resources
from batchyard.handlers.limits import limits_of
from batchyard.settings import DropSettings, load
from batchyard.steps.drop import Folder, Refused, drop
from batchyard.surfaces.http import Request
from batchyard.surfaces.registry import surface

_SURFACE = "openai"

logger = Logger()


class _Object(BaseModel):
    key: str
    version_id: str = Field(alias="version-id")


class _Detail(BaseModel):
    object: _Object


class ObjectCreated(BaseModel):
    """The part of the event that matters here."""

    detail: _Detail


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    folder = _folder(load(DropSettings))
    failures = []
    for record in event["Records"]:
        try:
            created = ObjectCreated.model_validate_json(record["body"])
            _take(DropSource(created.detail.object.key, created.detail.object.version_id), folder)
        except Exception:  # one record's fault, whatever it is, must not hold up the others
            logger.exception("could not take in a dropped file")
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def _take(source: DropSource, folder: Folder) -> None:
    result = drop(source, now=int(time.time()), folder=folder)
    named = {"key": source.key, "version_id": source.version_id}
    if result is None:
        logger.info("ignored", extra=named)
    elif isinstance(result, Refused):
        logger.warning("refused", extra=named | {"code": result.error.code, "status_key": result.keys.status})
    else:
        logger.info("taken", extra=named | {"batch_id": result.id, "status": str(result.status)})


def _folder(settings: DropSettings) -> Folder:
    limits = limits_of(surface(_SURFACE), settings)
    return Folder(
        drop=Objects(client("s3"), settings.drop_bucket),
        stores=resources.stores(),
        workflow=resources.workflow(settings.state_machine_arn),
        read_batch=read_parameters,
        terms=BatchTerms(
            settings.completion_window_seconds, limits, FileTerms(limits.max_file_bytes, settings.batch_file_days)
        ),
    )


def read_parameters(parameters: Mapping[str, Any]) -> BatchRequest:
    """Checked by the same rules, and refused in the same words, as a POST /v1/batches."""
    try:
        body = orjson.dumps(parameters)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest("The parameters are nested too deeply.", code="invalid_json") from error
    return surface(_SURFACE).read_batch(Request("POST", "/v1/batches", request_id="", body=body))
