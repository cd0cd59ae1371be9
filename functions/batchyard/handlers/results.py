"""Trigger: the API, for the results of batches: pages of them, and all of them as one file.

The function may run longer than the API waits. So a large reply about a batch that is over is kept for some hours,
under a name derived from the request: if a caller's first request timed out, its next one is redirected to that object.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import closing

from batchyard.adapters.aws.objects import attachment
from batchyard.content.export import Spool, Target, join, pack
from batchyard.content.results import no_longer_kept, results, results_without_plan
from batchyard.core.batches import Batch, BatchRef
from batchyard.core.errors import InvalidRequest, NotFound
from batchyard.core.keys import export_key
from batchyard.core.requests import Packing, ResultWindow
from batchyard.handlers import resources, views
from batchyard.handlers.http import Call, api, serve
from batchyard.steps import cancel
from batchyard.surfaces.http import JSON_TYPE, Reply
from batchyard.surfaces.operations import ArtifactUrl, BatchExport, ResultsForm, ResultsRequest

_KEPT_SECONDS = 12 * 3600
"""Half the age at which the bucket deletes exports."""
_PACKINGS = {
    Packing.PLAIN: (".ndjson", "application/x-ndjson"),
    Packing.GZIP: (".ndjson.gz", "application/gzip"),
    Packing.ZIP: (".zip", "application/zip"),
}


def list_results(call: Call, wanted: ResultsRequest) -> Reply:
    batch, form = _batch(call, wanted.batch_id), _form(call)
    if form.frame is None:
        raise TypeError(f"the surface {call.surface.name} has pages of results and does not say how")
    frame = form.frame(batch, wanted.window)
    target, name = _target(call, batch, f"page {wanted.window}", JSON_TYPE), f"{batch.id}.json"
    if _is_made(call, batch, target):
        return _redirect(call, target, name)
    with closing(_shown(form, batch, wanted.window)) as shown, _spool(call, target) as spool:
        join(shown, frame.head, frame.separator, frame.tail, spool)
    return _answer(call, spool, target, name)


def export_results(call: Call, export: BatchExport) -> Reply:
    batch, wanted = _batch(call, export.batch_id), export.request
    suffix, content_type = _PACKINGS[wanted.packing]
    name = batch.id + suffix
    target = _target(call, batch, f"{wanted}", content_type)
    if _is_made(call, batch, target):
        return _redirect(call, target, name)
    with closing(_shown(_form(call), batch, wanted.window)) as shown, _spool(call, target) as spool:
        pack(shown, wanted.packing, f"{batch.id}.ndjson", spool)
    return _answer(call, spool, target, name, {"content-disposition": attachment(name)})


def show_artifact(call: Call, export: BatchExport) -> ArtifactUrl:
    """All results as one object that is kept for some hours, whatever its size."""
    batch, wanted = _batch(call, export.batch_id), export.request
    form = _form(call)
    if form.frame is not None:
        form.frame(batch, wanted.window)
    suffix, content_type = _PACKINGS[wanted.packing]
    name = batch.id + suffix
    target = _target(call, batch, f"artifact {wanted}", content_type)
    if not _is_made(call, batch, target):
        with closing(_shown(form, batch, wanted.window)) as shown, _spool(call, target) as spool:
            pack(shown, wanted.packing, name, spool)
        if spool.data is not None:
            resources.objects().put(target.key, spool.data)
    seconds = call.settings.presigned_url_seconds
    return ArtifactUrl(batch, resources.objects().presigned_get(target.key, name, seconds), call.now + seconds)


def _form(call: Call) -> ResultsForm:
    form = call.surface.results
    if form is None:
        raise TypeError(f"the surface {call.surface.name} shows results and does not say how")
    return form


def _batch(call: Call, batch_id: str) -> Batch:
    batch = resources.batches().get(BatchRef(call.account_id, batch_id), consistent=True)
    if batch is None:
        raise cancel.missing(batch_id)
    if batch.results_hidden:
        raise no_longer_kept(batch)
    _check_form(batch, _form(call))
    return batch


def _check_form(batch: Batch, form: ResultsForm) -> None:
    """Raises InvalidRequest or NotFound if the results of this batch cannot be shown so, or not yet."""
    if form.endpoint is not None and form.endpoint != batch.endpoint:
        files = [file_id for file_id in (batch.output_file_id, batch.error_file_id) if file_id]
        where = " and ".join(f"GET /v1/files/{file_id}/content" for file_id in files) or "its errors"
        raise InvalidRequest(
            f"The batch {batch.id} is for {batch.endpoint}, so its results have another form: see {where}.",
            code="endpoint_not_supported",
        )
    if form.only_at_the_end and not batch.status.is_terminal:
        raise NotFound(
            f"The batch {batch.id} has no available results yet, because it has not ended. Ask again when it has.",
            code="results_not_ready",
        )


def _shown(form: ResultsForm, batch: Batch, window: ResultWindow) -> Generator[bytes]:
    if form.only_at_the_end and batch.plan is None:
        yield from map(form.write, results_without_plan(batch, objects=resources.objects()))
        return
    with closing(results(batch, window, shards=resources.shards(), objects=resources.objects())) as found:
        yield from map(form.write, found)


def _target(call: Call, batch: Batch, wanted: str, content_type: str) -> Target:
    """Where a large reply is kept. If the batch is over, the same request has the same place."""
    name = call.request.request_id
    if batch.status.is_terminal:
        name = hashlib.sha256(f"{call.surface.name} {wanted} {batch.status}".encode()).hexdigest()[:32]
    return Target(export_key(call.account_id, batch.id, name), content_type)


def _is_made(call: Call, batch: Batch, target: Target) -> bool:
    if not batch.status.is_terminal:
        return False
    made = resources.objects().head(target.key)
    return made is not None and made.modified_at > call.now - _KEPT_SECONDS


def _spool(call: Call, target: Target) -> Spool:
    return Spool(target, call.settings.max_inline_download_bytes, resources.objects())


def _answer(call: Call, spool: Spool, target: Target, name: str, headers: dict[str, str] | None = None) -> Reply:
    if spool.data is None:
        return _redirect(call, target, name)
    return Reply(200, spool.data, {"content-type": target.content_type, **(headers or {})}, binary=True)


def _redirect(call: Call, target: Target, name: str) -> Reply:
    url = resources.objects().presigned_get(target.key, name, call.settings.presigned_url_seconds)
    return Reply(302, headers={"location": url})


handler = api(
    {
        "list_results": serve(lambda surface: surface.list_results, list_results),
        "view_items": serve(lambda surface: surface.view_items, views.view_items),
        "view_item": serve(lambda surface: surface.view_item, views.view_item),
        "show_artifact": serve(lambda surface: surface.show_artifact, show_artifact),
        "export_results": serve(lambda surface: surface.export_results, export_results),
    }
)
