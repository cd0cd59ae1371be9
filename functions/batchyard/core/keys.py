"""Names of objects in the data bucket, by prefix so that each function's role can be held to what it needs.

files/<account>/<file id>                              what clients uploaded and what Finalize wrote
incoming/<account>/<file id>                           bytes sent to a presigned URL, until they are noticed
uploads/<account>/<upload id>/<part id>                parts of an upload that is not complete yet
work/<account>/<batch id>/<run>/{items,manifest,copies}   what Validate wrote
parts/<account>/<batch id>/<shard>/<version>-<n>       results, written by a shard's owner
exports/<account>/<batch id>/<name>                    results as one file to download, kept for a day
jobs/<token>/{input.jsonl,output/…}                    files of a provider job whose vendor works on our bucket
"""

from __future__ import annotations


def work_prefix(account_id: str, batch_id: str) -> str:
    return f"work/{account_id}/{batch_id}/"


def part_prefix(account_id: str, batch_id: str) -> str:
    return f"parts/{account_id}/{batch_id}/"


def export_prefix(account_id: str, batch_id: str) -> str:
    return f"exports/{account_id}/{batch_id}/"


def job_prefix(token: str) -> str:
    """`token` stands for one submission of a provider job."""
    return f"jobs/{token}/" if token else "jobs/"


def file_key(account_id: str, file_id: str) -> str:
    return f"files/{account_id}/{file_id}"


def incoming_key(account_id: str, file_id: str) -> str:
    return f"incoming/{account_id}/{file_id}"


def upload_part_key(account_id: str, upload_id: str, part_id: str) -> str:
    return f"uploads/{account_id}/{upload_id}/{part_id}"


def work_key(account_id: str, batch_id: str, run: str) -> str:
    return f"{work_prefix(account_id, batch_id)}{run}/items"


def manifest_key(account_id: str, batch_id: str, run: str) -> str:
    return f"{work_prefix(account_id, batch_id)}{run}/manifest"


def copies_key(account_id: str, batch_id: str, run: str) -> str:
    return f"{work_prefix(account_id, batch_id)}{run}/copies"


def part_key(account_id: str, batch_id: str, shard: int, version: int, number: int) -> str:
    """`version` is the lease's fencing token, so two owners never write the same key."""
    return f"{part_prefix(account_id, batch_id)}{shard:06d}/{version:06d}-{number:04d}"


def export_key(account_id: str, batch_id: str, name: str) -> str:
    return f"{export_prefix(account_id, batch_id)}{name}"
