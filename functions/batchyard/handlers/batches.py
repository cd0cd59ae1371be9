"""Trigger: the API, for batches."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from batchyard.adapters import catalogue
from batchyard.content import files as stored
from batchyard.content.reading import InputRejected, check_lines
from batchyard.core.batches import Batch, BatchRef
from batchyard.core.errors import Conflict, NotFound, RequestError
from batchyard.core.files import FileRef
from batchyard.core.forecast import Forecast
from batchyard.core.limits import BatchTerms, FileTerms
from batchyard.core.policies import read_policy
from batchyard.core.quotes import PREFIX, Quote, QuoteRef
from batchyard.core.receipts import receipt_of
from batchyard.core.requests import BatchRequest, PageRequest, PlanRequest
from batchyard.handlers import downloads, inputs, resources, views
from batchyard.handlers.http import Call, api, fault_of, logger, serve, serve_page
from batchyard.handlers.ids import mint
from batchyard.handlers.limits import limits_of
from batchyard.steps import accept, cancel, create
from batchyard.steps.explain import explain, glance
from batchyard.steps.forecast import forecast
from batchyard.steps.quote import Foresee, quote
from batchyard.steps.reserve import with_reservation
from batchyard.steps.webhooks import check_webhook
from batchyard.surfaces.http import Reply
from batchyard.surfaces.operations import BilledBatch, Page
from batchyard.surfaces.surface import EndpointOf, ExplainLine


def create_batch(call: Call, request: BatchRequest) -> Batch:
    """Even if the execution could not be started the reply is the batch, and Sweep starts the execution. An error would
    make SDKs repeat the request, which would make a second batch."""
    try:
        return _shown(_create(call, request), call)
    except create.NotStarted as fault:
        batch = fault.batch
        logger.error("not_started", extra={"batch_id": batch.id, "fault": fault_of(fault.__cause__ or fault)})
        return _shown(batch, call)


def _shown(batch: Batch, call: Call) -> Batch:
    return replace(batch, api_url=call.request.api_url)


def _create(call: Call, request: BatchRequest) -> Batch:
    explain_line = call.surface.rules.explain_line
    if request.lines is not None and explain_line is not None:
        _check_lines(request, request.lines, explain_line, call)
    endpoint_of = call.surface.rules.endpoint_of
    if not _is_known(call, request):
        request = _accepted(call, request, endpoint_of) if endpoint_of is not None else _reserving(call, request)
    return create.create(
        replace(request, is_repeat=call.request.is_repeat),
        BatchRef(call.account_id, mint("batch_")),
        now=call.now,
        terms=_terms(call),
        stores=replace(
            resources.stores(),
            caller_keys=resources.caller_keys(call.settings.caller_key_id),
            webhooks=resources.webhooks(),
        ),
        workflow=resources.workflow(call.settings.state_machine_arn),
    )


def _check_lines(request: BatchRequest, lines: bytes, explain_line: ExplainLine, call: Call) -> None:
    """Raises InvalidRequest if validation would fail the batch for one of its lines."""
    account = resources.accounts().glance(call.account_id)
    batch = create.new_batch(request, BatchRef(call.account_id, ""), call.now, _terms(call), account)
    try:
        check_lines(lines, batch, inputs.checks())
    except InputRejected as rejection:
        raise explain_line(rejection.errors[0]) from rejection


def _is_known(call: Call, request: BatchRequest) -> bool:
    """Whether its idempotency key was used before. Whoever repeats a request gets its answer, even if by now the same
    batch could not be made any more."""
    return resources.batches().used(call.account_id, request.idempotency_key) is not None


def _accepted(call: Call, request: BatchRequest, endpoint_of: EndpointOf) -> BatchRequest:
    endpoint = inputs.endpoint_of(request, call.account_id, endpoint_of)
    request = replace(request, sent=request.fingerprint, endpoint=endpoint)
    return accept.accept(
        request,
        call.account_id,
        now=call.now,
        foresee=_foresee(call),
        check_url=resources.receivers().check_url,
        quotes=resources.stores().quotes,
    )


def _reserving(call: Call, request: BatchRequest) -> BatchRequest:
    """The request of a dialect without quotes: with a webhook that was checked, and what is to be reserved for it."""
    if request.webhook is not None:
        check_webhook(request.webhook, resources.receivers().check_url, within="settings.webhook.")
    foresee = partial(plan_batch, call)
    return with_reservation(request, call.account_id, foresee=foresee, stores=resources.stores())


def quote_batch(call: Call, request: PlanRequest) -> Quote:
    endpoint_of = call.surface.rules.endpoint_of
    if endpoint_of is None:
        raise TypeError(f"the surface {call.surface.name} has quotes and does not say what lines are for")
    endpoint = inputs.endpoint_of(request.batch, call.account_id, endpoint_of)
    return quote(
        replace(request, batch=replace(request.batch, endpoint=endpoint)),
        QuoteRef(call.account_id, mint(PREFIX)),
        now=call.now,
        foresee=_foresee(call),
        quotes=resources.stores().quotes,
    )


def show_receipt(call: Call, batch_id: str) -> BilledBatch:
    batch, stores = retrieve_batch(call, batch_id), resources.stores()
    accepted = stores.quotes.get(QuoteRef(call.account_id, batch.quote_id)) if batch.quote_id else None
    if batch.plan is None:
        return BilledBatch(batch, receipt_of(batch, accepted))
    rows, jobs = stores.shards.rows(batch.id), stores.jobs.rows(batch.id)
    return BilledBatch(batch, receipt_of(batch, accepted, rows, jobs))


def _foresee(call: Call) -> Foresee:
    """The forecast of a batch that may be made, once all that can be checked was checked."""

    def foresee(request: PlanRequest) -> Forecast:
        return forecast(
            request,
            call.account_id,
            now=call.now,
            terms=_terms(call),
            checks=inputs.checks_with_windows(request.batch.rules.models),
            plan=inputs.planned,
            catalogue=resources.lane_catalogue(),
            stores=resources.stores(),
        )

    return foresee


def _terms(call: Call) -> BatchTerms:
    settings = call.settings
    return BatchTerms(
        settings.completion_window_seconds,
        limits_of(call.surface, settings),
        FileTerms(settings.max_file_bytes, settings.batch_file_days),
        tuple(provider.name for provider in catalogue.load_providers()),
        read_policy(settings.policy),
    )


def plan_batch(call: Call, request: PlanRequest) -> Forecast:
    return forecast(
        request,
        call.account_id,
        now=call.now,
        terms=_terms(call),
        checks=inputs.checks(),
        plan=inputs.planned,
        catalogue=resources.lane_catalogue(),
        stores=resources.stores(),
    )


def list_batches(call: Call, wanted: PageRequest) -> Page[Batch]:
    found, has_more = resources.batches().page(
        call.account_id, after=wanted.after, before=wanted.before, limit=wanted.limit
    )
    is_backwards = wanted.before is not None and wanted.after is None
    stores = resources.stores()
    return Page([_shown(glance(batch, stores), call) for batch in found], has_more, is_backwards)


def retrieve_batch(call: Call, batch_id: str) -> Batch:
    batch = resources.batches().get(BatchRef(call.account_id, batch_id), consistent=True)
    if batch is None:
        raise cancel.missing(batch_id)
    return _shown(explain(batch, now=call.now, stores=resources.stores(), look=resources.lane_look()), call)


def cancel_batch(call: Call, batch_id: str) -> Batch:
    cancelled = cancel.cancel(
        BatchRef(call.account_id, batch_id),
        now=call.now,
        batches=resources.batches(),
        workflow=resources.workflow(call.settings.state_machine_arn),
    )
    return _shown(resources.batches().with_progress(cancelled), call)


def download_output(call: Call, batch_id: str) -> Reply:
    """The content of the output file, by the batch's id."""
    batch = resources.batches().get(BatchRef(call.account_id, batch_id), consistent=True)
    if batch is None:
        raise cancel.missing(batch_id)
    if batch.output_file_id is None:
        raise _no_output(batch)
    file = stored.find(
        FileRef(call.account_id, batch.output_file_id),
        now=call.now,
        max_file_bytes=call.settings.max_file_bytes,
        stores=resources.stores(),
    )
    return downloads.content(file, call.settings)


def _no_output(batch: Batch) -> RequestError:
    if not batch.status.is_terminal:
        return Conflict(
            f"The batch is {batch.status}: it has no output yet. Ask again when it has ended.",
            param="batch_id",
            code="output_not_ready",
        )
    where = f"the file {batch.error_file_id} says why" if batch.error_file_id else "its 'errors' say why"
    return NotFound(
        f"The batch is {batch.status} and has no output, because no request succeeded; {where}.",
        param="batch_id",
        code="no_output",
    )


handler = api(
    {
        "create_batch": serve(lambda surface: surface.create_batch, create_batch),
        "plan_batch": serve(lambda surface: surface.plan_batch, plan_batch),
        "quote_batch": serve(lambda surface: surface.quote_batch, quote_batch),
        "show_receipt": serve(lambda surface: surface.show_receipt, show_receipt),
        "list_batches": serve_page(lambda surface: surface.list_batches, list_batches),
        "retrieve_batch": serve(lambda surface: surface.retrieve_batch, retrieve_batch),
        "view_batches": serve(lambda surface: surface.view_batches, views.view_batches),
        "view_batch": serve(lambda surface: surface.view_batch, views.view_batch),
        "view_throughput": serve(lambda surface: surface.view_throughput, views.view_throughput),
        "cancel_batch": serve(lambda surface: surface.cancel_batch, cancel_batch),
        "download_output": serve(lambda surface: surface.download_output, download_output),
    }
)
