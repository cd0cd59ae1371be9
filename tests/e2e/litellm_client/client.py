"""What a program does with litellm's batch functions. `python client.py <input file>` prints the result as JSON.

Address and key are arguments of every call, as litellm's users pass them. Runs in litellm's own environment.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import litellm

TERMINAL = {"completed", "failed", "expired", "cancelled"}
WAIT_SECONDS = 600
POLL_SECONDS = 0.2


def main() -> dict[str, Any]:
    path = Path(sys.argv[1])
    at: dict[str, Any] = {
        "custom_llm_provider": "openai",
        "api_base": os.environ["BATCHYARD_URL"],
        "api_key": os.environ["BATCHYARD_KEY"],
    }
    file = litellm.create_file(file=(path.name, path.read_bytes()), purpose="batch", **at)
    batch = litellm.create_batch(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"from": "litellm"},
        **at,
    )
    created, deadline = batch.status, time.monotonic() + WAIT_SECONDS
    while batch.status not in TERMINAL:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{batch.id} is still {batch.status}")
        time.sleep(POLL_SECONDS)
        batch = litellm.retrieve_batch(batch_id=batch.id, **at)
    contents = {
        name: litellm.file_content(file_id=file_id, **at).content.decode() if file_id else None
        for name, file_id in (("output", batch.output_file_id), ("errors", batch.error_file_id))
    }
    return {
        "file": _plain(litellm.file_retrieve(file_id=file.id, **at)),
        "created": created,
        "batch": _plain(batch),
        "listed": [one.id for one in litellm.list_batches(limit=10, **at).data],
        "deleted": _plain(litellm.file_delete(file_id=file.id, **at)),
        "refused": _refused(at),
        **contents,
    }


def _refused(at: dict[str, Any]) -> dict[str, Any]:
    """An error as litellm raises it."""
    try:
        litellm.retrieve_batch(batch_id="batch_unknown", **at)
    except Exception as error:
        return {"status": getattr(error, "status_code", None), "message": str(error)}
    raise AssertionError("an unknown batch was found")


def _plain(answer: Any) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(answer.model_dump_json(exclude_unset=True))
    return plain


if __name__ == "__main__":
    print(json.dumps(main()))
