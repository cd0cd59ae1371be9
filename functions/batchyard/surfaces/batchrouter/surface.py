"""BatchRouter's dialect as a table.

Requests are read in `reading.py`, their bodies are in `requests.py`; replies are written in `writing.py`, their objects
are in `replies.py`, `quotes.py` and `accounts.py`; an account's webhook is in `webhooks.py`; items are read in
`lines.py`, results written in `results.py`.
"""

from __future__ import annotations

from batchyard.core.limits import Limits
from batchyard.surfaces.batchrouter import accounts, quotes, reading, replies, requests, webhooks, writing
from batchyard.surfaces.batchrouter.lines import endpoint_of, parse_line
from batchyard.surfaces.batchrouter.results import frame_results, write_result
from batchyard.surfaces.operations import Operation, OperationDoc, ResultsForm, as_it_is, nothing
from batchyard.surfaces.surface import Surface, SurfaceRules

_CURSOR = {"type": "string", "description": "What `next_cursor` of the page before says; empty for the first page."}
_BATCH_QUERY = {"limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "cursor": _CURSOR}
_RESULTS_QUERY = {"limit": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 100}, "cursor": _CURSOR}
_RECEIPT_QUERY = {"include_billing_receipt": {"type": "string", "description": "`true`: with the receipt."}}
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary"}},
}

SURFACE = Surface(
    name="batchrouter",
    rules=SurfaceRules(
        read_api_key=reading.read_api_key,
        write_error=writing.write_error,
        error_shape=replies.RoutedError,
        allowance_headers=writing.allowance_headers,
        limits=Limits(requests_per_minute=6_000),
        endpoint_of=endpoint_of,
    ),
    parse_line=parse_line,
    results=ResultsForm(write_result, frame_results),
    quote_batch=Operation(
        reading.read_quote,
        writing.write_quote,
        OperationDoc(
            "Say what items would cost, on which lanes; the prices hold for ten minutes",
            request=requests.QuoteModel,
            reply=quotes.QuoteObject,
        ),
    ),
    create_file=Operation(
        reading.read_file, writing.write_new_file, OperationDoc("Upload a file", form=_FORM, reply=replies.RoutedFile)
    ),
    retrieve_file=Operation(
        reading.read_file_id, writing.write_file, OperationDoc("Retrieve a file", reply=replies.RoutedFile)
    ),
    create_batch=Operation(
        reading.read_batch,
        writing.write_created,
        OperationDoc(
            "Create a batch from a quote, with items or a file",
            request=requests.CreateRoutedBatch,
            headers={"Idempotency-Key": "8 to 128 characters; the same key with the same request is the same batch."},
            reply=replies.BatchCreation,
            status=202,
        ),
    ),
    list_batches=Operation(
        reading.read_batches_page,
        writing.write_batches,
        OperationDoc("List batches, newest first", query=_BATCH_QUERY, reply=replies.RoutedBatchList),
    ),
    retrieve_batch=Operation(
        reading.read_batch_id, writing.write_batch, OperationDoc("Retrieve a batch", reply=replies.RoutedBatch)
    ),
    show_receipt=Operation(
        reading.read_batch_id,
        writing.write_receipt,
        OperationDoc("Retrieve a batch with its receipt", query=_RECEIPT_QUERY, reply=quotes.BatchWithReceipt),
    ),
    cancel_batch=Operation(
        reading.read_batch_id,
        writing.write_batch,
        OperationDoc("Cancel a batch; what is done is kept", reply=replies.RoutedBatch),
    ),
    list_results=Operation(
        reading.read_results,
        as_it_is,
        OperationDoc(
            "Results in input order, when the batch has ended; a large page is answered by a redirect",
            query=_RESULTS_QUERY,
            redirect=True,
            reply=replies.ResultPage,
        ),
    ),
    show_artifact=Operation(
        reading.read_artifact,
        writing.write_artifact,
        OperationDoc("Get a URL that has all results, when the batch has ended", reply=replies.Artifact),
    ),
    show_account=Operation(
        nothing,
        writing.write_account,
        OperationDoc("Show the account and its credits", reply=accounts.RoutedAccount),
    ),
    create_api_key=Operation(
        reading.read_api_key_request,
        writing.write_new_api_key,
        OperationDoc("Make an API key; it is shown once", request=requests.CreateApiKey, reply=accounts.CreatedApiKey),
    ),
    list_api_keys=Operation(
        nothing,
        writing.write_api_keys,
        OperationDoc("List the account's API keys, revoked ones too", reply=accounts.ApiKeyList),
    ),
    revoke_api_key=Operation(
        reading.read_api_key_id,
        writing.write_api_key,
        OperationDoc("Revoke an API key; it is refused half a minute later at most", reply=accounts.RoutedApiKey),
    ),
    set_webhook=Operation(
        webhooks.read_webhook,
        webhooks.write_webhook,
        OperationDoc(
            "Set the account's webhook, which is told about each batch that ends",
            request=webhooks.SetWebhook,
            reply=webhooks.DeliveryWebhook,
        ),
    ),
    retrieve_webhook=Operation(
        nothing, webhooks.write_webhook, OperationDoc("Show the account's webhook", reply=webhooks.DeliveryWebhook)
    ),
    delete_webhook=Operation(
        nothing,
        webhooks.write_removed_webhook,
        OperationDoc("Remove the account's webhook", reply=webhooks.RemovedWebhook),
    ),
    list_models=Operation(
        nothing,
        writing.write_catalog,
        OperationDoc("List the models that batches can use, with their prices", reply=accounts.Catalog),
    ),
)
