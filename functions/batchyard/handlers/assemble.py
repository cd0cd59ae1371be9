"""Trigger: the files function, asynchronously, when an upload is too large to be joined during its request.

{"account_id": …, "upload_id": …}
"""

from __future__ import annotations

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from batchyard.core.files import UploadRef
from batchyard.core.json_types import JsonObject
from batchyard.handlers import resources
from batchyard.steps.upload import assemble

logger = Logger()


@logger.inject_lambda_context(clear_state=True)
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    logger.append_keys(account_id=event["account_id"], upload_id=event["upload_id"])
    file = assemble(UploadRef(event["account_id"], event["upload_id"]), stores=resources.stores())
    logger.info("assembled", extra={"file_id": file.id, "bytes": file.bytes, "status": str(file.status)})
    return {"file_id": file.id, "status": str(file.status)}
