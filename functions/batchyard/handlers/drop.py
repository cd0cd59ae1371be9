"""Trigger: SQS records whose bodies are EventBridge's "Object Created" events of the drop folder's bucket.

Unlike in S3's own notifications, the object key is not URL-encoded
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html). A record that raises is reported back, and SQS
delivers it again.
"""

from __future__ import annotations

import time

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Field

from batchyard.adapters.aws.clients import client
from batchyard.adapters.aws.objects import Objects
from batchyard.core.batches import DropSource
from batchyard.core.json_types import JsonObject
from batchyard.core.limits import BatchTerms, FileTerms
from batchyard.core.policies import read_policy
from batchyard.handlers import resources
from batchyard.handlers.limits import limits_of
from batchyard.settings import DropSettings, load
from batchyard.steps.drop import Folder, Refused, drop
from batchyard.surfaces.openai.reading import batch_request
from batchyard.surfaces.openai.surface import SURFACE as OPENAI

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
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    folder = _folder(load(DropSettings))
    failures = []
    for record in event["Records"]:
        try:
            created = ObjectCreated.model_validate_json(record["body"])
            _take(DropSource(created.detail.object.key, created.detail.object.version_id), folder)
        except Exception:  # whatever is wrong with one record must not hold up the others
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
    limits = limits_of(OPENAI, settings)
    return Folder(
        drop=Objects(client("s3"), settings.drop_bucket),
        stores=resources.stores(),
        workflow=resources.workflow(settings.state_machine_arn),
        read_batch=batch_request,
        terms=BatchTerms(
            settings.completion_window_seconds,
            limits,
            FileTerms(limits.max_file_bytes, settings.batch_file_days),
            policy=read_policy(settings.policy),
        ),
    )
