"""litellm as a client. It runs in an environment of its own, because it pins an older openai than the project's."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.customer import Customer, chat_line, jsonl
from tests.invariants import check_batch

PROGRAM = Path(__file__).parent / "litellm_client" / "client.py"
PYTHON = Path(__file__).parents[2] / ".build" / "litellm" / "bin" / "python"


def test_the_main_job_with_litellm(customer: Customer, tmp_path: Path) -> None:
    """create_file, create_batch, retrieve_batch, file_content and the rest, by api_base and api_key alone. The answers
    to the first two are lost, and litellm repeats them: there is one batch."""
    customer.lose_answers("files", "batches")
    assert PYTHON.exists(), "litellm is not installed: run `make clients`"
    lines = [chat_line(number, "status:400" if number == 3 else None) for number in range(12)]
    path = tmp_path / "requests.jsonl"
    path.write_bytes(jsonl(lines))
    environment = {
        "PATH": os.environ["PATH"],
        "BATCHYARD_URL": str(customer.openai.base_url),
        "BATCHYARD_KEY": customer.api_key,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "DO_NOT_TRACK": "1",
    }
    command = [str(PYTHON), str(PROGRAM), str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["created"], said["batch"]["status"]) == ("validating", "completed")
    assert said["batch"]["metadata"] == {"from": "litellm"}
    output, errors = said["output"].encode(), said["errors"].encode()
    checked = check_batch(said["batch"], [line["custom_id"] for line in lines], output, errors)
    assert (checked.succeeded, checked.failed) == (11, 1)
    assert (said["file"]["bytes"], said["file"]["purpose"]) == (path.stat().st_size, "batch")
    assert said["listed"] == [said["batch"]["id"]]
    assert said["deleted"]["deleted"] is True
    assert said["refused"]["status"] == 404, said["refused"]
