"""Trigger: the API, for files and uploads, and for all that deletes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from batchyard.content import files as stored
from batchyard.core.batches import Batch, BatchRef
from batchyard.core.files import File, FileRef, Upload, UploadPart, UploadRef
from batchyard.core.keys import incoming_key
from batchyard.core.limits import FileTerms
from batchyard.core.requests import FileRequest, PageRequest, UploadRequest
from batchyard.handlers import downloads, resources, views
from batchyard.handlers.http import Call, api, serve, serve_page
from batchyard.handlers.ids import mint
from batchyard.handlers.limits import limits_of
from batchyard.steps import delete, receive, upload
from batchyard.steps.announce import announce
from batchyard.steps.delete_batch import delete_batch as delete_batch_step
from batchyard.surfaces.http import Reply
from batchyard.surfaces.operations import Completion, NewFile, NewUploadPart, Page, Presigned, ShownFile, ShownUpload
from batchyard.surfaces.webhook_events import write_event


def create_file(call: Call, new: NewFile) -> ShownFile:
    file = receive.receive(
        replace(new.request, is_repeat=call.request.is_repeat),
        new.data,
        FileRef(call.account_id, mint("file-")),
        now=call.now,
        terms=_terms(call),
        stores=resources.stores(),
    )
    return ShownFile(file, downloads.storage_url(file, call.settings))


def presign_file(call: Call, request: FileRequest) -> Presigned:
    file = receive.announce(
        request,
        FileRef(call.account_id, mint("file-")),
        now=call.now,
        terms=_terms(call),
        stores=resources.stores(),
    )
    seconds = call.settings.presigned_url_seconds
    url = resources.objects().presigned_put(incoming_key(file.account_id, file.id), seconds)
    return Presigned(file, url, "PUT", {}, call.now + seconds)


def list_files(call: Call, wanted: PageRequest) -> Page[File]:
    return Page(*resources.files().page(call.account_id, wanted, call.now))


def retrieve_file(call: Call, file_id: str) -> File:
    return stored.find(
        FileRef(call.account_id, file_id),
        now=call.now,
        max_file_bytes=call.settings.max_file_bytes,
        stores=resources.stores(),
    )


def download_file(call: Call, file_id: str) -> Reply:
    return downloads.content(retrieve_file(call, file_id), call.settings)


def delete_file(call: Call, file_id: str) -> File:
    return delete.delete(
        FileRef(call.account_id, file_id),
        now=call.now,
        stores=resources.stores(),
        workflow=resources.workflow(),
        end_batches=call.surface.rules.deleting_a_file_ends_its_batches,
    )


def delete_batch(call: Call, batch_id: str) -> Batch:
    """Here, because no other function of the API may remove anything."""
    announce_it = partial(
        announce,
        now=call.now,
        batches=resources.batches(),
        webhooks=resources.webhooks(),
        deliveries=resources.deliveries(),
        write_event=write_event,
        start=lambda made: None,  # Sweep does, within a minute: this function may start no other
    )
    return delete_batch_step(
        BatchRef(call.account_id, batch_id),
        now=call.now,
        stores=resources.stores(),
        workflow=resources.workflow(),
        announce=announce_it,
    )


def create_upload(call: Call, request: UploadRequest) -> ShownUpload:
    begun = upload.begin(
        request,
        UploadRef(call.account_id, mint("upload_")),
        now=call.now,
        max_file_bytes=call.settings.max_file_bytes,
        stores=resources.stores(),
    )
    return ShownUpload(begun, call.now)


def add_upload_part(call: Call, new: NewUploadPart) -> UploadPart:
    return upload.add_part(
        UploadRef(call.account_id, new.upload_id),
        new.data,
        part_id=mint("part_"),
        now=call.now,
        max_part_bytes=call.settings.max_upload_part_bytes,
        stores=resources.stores(),
    )


def complete_upload(call: Call, completion: Completion) -> ShownUpload:
    def assemble_later(completed: Upload) -> None:
        payload = {"account_id": completed.account_id, "upload_id": completed.id}
        resources.functions().start(call.settings.assemble_function, payload)

    completed, file = upload.complete(
        UploadRef(call.account_id, completion.upload_id),
        completion.request,
        now=call.now,
        keep_days=call.settings.batch_file_days,
        stores=resources.stores(),
        assemble_later=assemble_later,
    )
    return ShownUpload(completed, call.now, file)


def cancel_upload(call: Call, upload_id: str) -> ShownUpload:
    cancelled = upload.cancel(
        UploadRef(call.account_id, upload_id),
        now=call.now,
        stores=resources.stores(),
    )
    return ShownUpload(cancelled, call.now)


def _terms(call: Call) -> FileTerms:
    return FileTerms(limits_of(call.surface, call.settings).max_file_bytes, call.settings.batch_file_days)


handler = api(
    {
        "create_file": serve(lambda surface: surface.create_file, create_file),
        "presign_file": serve(lambda surface: surface.presign_file, presign_file),
        "list_files": serve_page(lambda surface: surface.list_files, list_files),
        "retrieve_file": serve(lambda surface: surface.retrieve_file, retrieve_file),
        "download_file": serve(lambda surface: surface.download_file, download_file),
        "show_download": serve(lambda surface: surface.show_download, views.show_download),
        "delete_file": serve(lambda surface: surface.delete_file, delete_file),
        "delete_batch": serve(lambda surface: surface.delete_batch, delete_batch),
        "create_upload": serve(lambda surface: surface.create_upload, create_upload),
        "add_upload_part": serve(lambda surface: surface.add_upload_part, add_upload_part),
        "complete_upload": serve(lambda surface: surface.complete_upload, complete_upload),
        "cancel_upload": serve(lambda surface: surface.cancel_upload, cancel_upload),
    }
)
