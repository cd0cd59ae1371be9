"""Trigger: the API, for files and uploads."""

from __future__ import annotations

import secrets
import time

from batchyard.content import files as stored
from batchyard.core.files import File, FileRef, Upload, UploadRef
from batchyard.core.ids import RANDOM_BYTES, new_id
from batchyard.core.keys import file_key
from batchyard.core.limits import FileTerms
from batchyard.handlers import downloads, resources
from batchyard.handlers.http import Call, api
from batchyard.handlers.limits import limits_of
from batchyard.handlers.pages import page
from batchyard.steps import delete, receive, upload
from batchyard.surfaces.http import Reply
from batchyard.surfaces.surface import Presigned


def create_file(call: Call) -> Reply:
    request, data = call.surface.read_file(call.request)
    file = receive.receive(
        request,
        data,
        FileRef(call.account_id, _new_id("file-")),
        now=call.now,
        terms=_terms(call),
        stores=resources.stores(),
    )
    return call.surface.write_file(file, downloads.storage_url(file, call.settings))


def presign_file(call: Call) -> Reply:
    file = receive.announce(
        call.surface.read_presigned(call.request),
        FileRef(call.account_id, _new_id("file-")),
        now=call.now,
        terms=_terms(call),
        stores=resources.stores(),
    )
    seconds = call.settings.presigned_url_seconds
    url = resources.objects().presigned_put(file_key(file.account_id, file.id), seconds)
    return call.surface.write_presigned(Presigned(file, url, "PUT", {}, call.now + seconds))


def list_files(call: Call) -> Reply:
    wanted = call.surface.read_page(call.request, "file")
    return page(call.surface.write_files, *resources.files().page(call.account_id, wanted, call.now))


def retrieve_file(call: Call) -> Reply:
    return call.surface.write_file(_find(call))


def download_file(call: Call) -> Reply:
    return downloads.content(_find(call), call.settings)


def delete_file(call: Call) -> Reply:
    file = delete.delete(
        FileRef(call.account_id, call.surface.read_id(call.request, "file")),
        now=call.now,
        stores=resources.stores(),
        workflow=resources.workflow(),
        end_batches=call.surface.deleting_a_file_ends_its_batches,
    )
    return call.surface.write_deleted_file(file)


def create_upload(call: Call) -> Reply:
    begun = upload.begin(
        call.surface.read_upload(call.request),
        UploadRef(call.account_id, _new_id("upload_")),
        now=call.now,
        max_file_bytes=call.settings.max_file_bytes,
        stores=resources.stores(),
    )
    return call.surface.write_upload(begun, call.now)


def add_upload_part(call: Call) -> Reply:
    part = upload.add_part(
        UploadRef(call.account_id, call.surface.read_id(call.request, "upload")),
        call.surface.read_part(call.request),
        part_id=_new_id("part_"),
        now=call.now,
        max_part_bytes=call.settings.max_upload_part_bytes,
        stores=resources.stores(),
    )
    return call.surface.write_part(part)


def complete_upload(call: Call) -> Reply:
    def assemble_later(completed: Upload) -> None:
        payload = {"account_id": completed.account_id, "upload_id": completed.id}
        resources.functions().start(call.settings.assemble_function, payload)

    completed, file = upload.complete(
        UploadRef(call.account_id, call.surface.read_id(call.request, "upload")),
        call.surface.read_completion(call.request),
        now=call.now,
        keep_days=call.settings.batch_file_days,
        stores=resources.stores(),
        assemble_later=assemble_later,
    )
    return call.surface.write_upload(completed, call.now, file)


def cancel_upload(call: Call) -> Reply:
    cancelled = upload.cancel(
        UploadRef(call.account_id, call.surface.read_id(call.request, "upload")),
        now=call.now,
        stores=resources.stores(),
    )
    return call.surface.write_upload(cancelled, call.now)


def _find(call: Call) -> File:
    return stored.find(
        FileRef(call.account_id, call.surface.read_id(call.request, "file")),
        now=call.now,
        max_file_bytes=call.settings.max_file_bytes,
        stores=resources.stores(),
    )


def _terms(call: Call) -> FileTerms:
    return FileTerms(limits_of(call.surface, call.settings).max_file_bytes, call.settings.batch_file_days)


def _new_id(prefix: str) -> str:
    return new_id(prefix, time.time_ns() // 1_000_000, secrets.token_bytes(RANDOM_BYTES))


handler = api(
    {
        "create_file": create_file,
        "presign_file": presign_file,
        "list_files": list_files,
        "retrieve_file": retrieve_file,
        "download_file": download_file,
        "delete_file": delete_file,
        "create_upload": create_upload,
        "add_upload_part": add_upload_part,
        "complete_upload": complete_upload,
        "cancel_upload": cancel_upload,
    }
)
