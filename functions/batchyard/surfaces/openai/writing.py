"""What Batchyard found -> OpenAI's replies and errors."""

from __future__ import annotations

from collections.abc import Mapping

from batchyard.core.batches import Batch
from batchyard.core.catalogue import Offer
from batchyard.core.deliveries import Delivery
from batchyard.core.errors import RateLimited, RequestError, Unauthenticated
from batchyard.core.files import File, UploadPart
from batchyard.core.forecast import Forecast
from batchyard.core.limits import Allowance, ShownLimits
from batchyard.surfaces.errors import error_detail, fault_detail
from batchyard.surfaces.http import Reply, json_reply
from batchyard.surfaces.openai import replies
from batchyard.surfaces.openai.deliveries import delivery_object
from batchyard.surfaces.openai.plans import plan_object
from batchyard.surfaces.operations import NamedOffer, Page, Presigned, ShownFile, ShownUpload

_FAULT = (
    "The server had an error while processing your request. Send it again; if it fails again, tell your operator the "
    "x-request-id of this reply."
)


def write_new_file(shown: ShownFile) -> Reply:
    return json_reply(replies.UploadedFile(**replies.file_object(shown.file), url=shown.url))


def write_file(file: File) -> Reply:
    return json_reply(replies.file_object(file))


def write_files(page: Page[File]) -> Reply:
    return json_reply(replies.listed([replies.file_object(file) for file in page.found], page.has_more))


def write_deleted_file(file: File) -> Reply:
    deleted: replies.DeletedFile = {"id": file.id, "object": "file", "deleted": True}
    return json_reply(deleted)


def write_presigned(presigned: Presigned) -> Reply:
    body: replies.PresignedFile = {
        "object": "file.presigned",
        "url": presigned.url,
        "method": "PUT",
        "headers": dict(presigned.headers),
        "expires_at": presigned.expires_at,
        "file": replies.file_object(presigned.file),
    }
    return json_reply(body)


def write_upload(shown: ShownUpload) -> Reply:
    return json_reply(replies.upload_object(shown.upload, shown.now, shown.file))


def write_upload_part(part: UploadPart) -> Reply:
    return json_reply(replies.part_object(part))


def write_batch(batch: Batch) -> Reply:
    return json_reply(replies.batch_object(batch))


def write_batches(page: Page[Batch]) -> Reply:
    return json_reply(replies.listed([replies.batch_object(batch) for batch in page.found], page.has_more))


def write_plan(forecast: Forecast) -> Reply:
    return json_reply(plan_object(forecast))


def write_delivery(delivery: Delivery) -> Reply:
    return json_reply(delivery_object(delivery))


def write_deliveries(page: Page[Delivery]) -> Reply:
    return json_reply(replies.listed([delivery_object(delivery) for delivery in page.found], page.has_more))


def write_models(offers: list[Offer]) -> Reply:
    models = [replies.model_object(offer.model, offer) for offer in offers]
    body: replies.ModelList = {"object": "list", "data": models}
    return json_reply(body)


def write_limits(limits: ShownLimits) -> Reply:
    return json_reply(replies.limits_object(limits))


def write_model(named: NamedOffer) -> Reply:
    return json_reply(replies.model_object(named.name, named.offer))


def allowance_headers(allowance: Allowance) -> Mapping[str, str]:
    return {
        "x-ratelimit-limit-requests": str(allowance.limit),
        "x-ratelimit-remaining-requests": str(allowance.remaining),
    }


def write_error(error: RequestError | None) -> Reply:
    if error is None:
        return json_reply({"error": fault_detail(_FAULT)}, 500)
    detail = error_detail(error)
    if isinstance(error, Unauthenticated):
        detail["type"] = "invalid_request_error"  # OpenAI's word for it
    return json_reply({"error": detail}, error.status, _error_headers(error))


def _error_headers(error: RequestError) -> dict[str, str]:
    """Asks OpenAI's SDKs not to repeat a request that got a 409, because it would get another one."""
    if isinstance(error, RateLimited):
        return {"retry-after": str(error.retry_after_seconds)}
    return {"x-should-retry": "false"} if error.status == 409 else {}
