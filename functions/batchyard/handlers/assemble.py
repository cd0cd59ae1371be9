"""Trigger: the files function, asynchronously, when an upload is too large to be joined during its request.

{"account_id": …, "upload_id": …}
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from batchyard.core.files import UploadRef
from batchyard.handlers import resources
from batchyard.steps.upload import assemble

logger = Logger()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    logger.append_keys(account_id=event["account_id"], upload_id=event["upload_id"])
    file = assemble(UploadRef(event["account_id"], event["upload_id"]), stores=resources.stores())
    logger.info("assembled", extra={"file_id": file.id, "bytes": file.bytes, "status": str(file.status)})
    return {"file_id": file.id, "status": str(file.status)}
