"""The API held against the OpenAPI document that it serves, by schemathesis: thousands of requests made from the
document, good and bad, and every answer must be one that the document knows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.customer import Customer, chat_line

EXAMPLES = 4
"""Random ones per operation, beside those that go through each schema's cases one by one."""
NOT_CHECKED = (
    # Rules that no schema expresses: a file must exist, its name must end in .jsonl, an upload's parts must be there.
    "positive_data_acceptance",
    # API Gateway answers a method that a path does not have as it does an unknown path: 404, not 405.
    "unsupported_method",
)


def test_every_answer_is_in_the_document(customer: Customer, tmp_path: Path) -> None:
    """Invented ids and bodies: no 5xx; status, content type, headers and body are documented; what breaks the schema or
    has no key is refused."""
    _hold(customer, tmp_path, "--mode", "all")


def test_every_answer_about_what_is_there_is_in_the_document(customer: Customer, tmp_path: Path) -> None:
    """The same for a batch with results, its files and an open upload, so that it is not all about 404s."""
    batch, _ = customer.run([chat_line(number, "status:400" if number == 1 else None) for number in range(4)])
    upload = customer.openai.uploads.create(bytes=4, filename="a.jsonl", mime_type="text/plain", purpose="batch")
    ids = {"batch_id": batch.id, "file_id": batch.output_file_id, "upload_id": upload.id, "model": "gpt-4o-mini"}
    known = "\n".join(f'"path.{name}" = {json.dumps(value)}' for name, value in ids.items())
    _hold(
        customer,
        tmp_path,
        "--include-path-regex",
        r"\{",
        "--exclude-method",
        "DELETE",
        "--exclude-path",
        "/v1/uploads/{upload_id}/cancel",
        config=f"[parameters]\n{known}\n",
    )


def _hold(customer: Customer, folder: Path, *options: str, config: str = "") -> None:
    (folder / "schemathesis.toml").write_text(config)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml"),
        *("run", f"{customer.cloud.api_url}/openapi.json"),
        *("--header", f"Authorization: Bearer {customer.api_key}"),
        *("--exclude-checks", ",".join(NOT_CHECKED), "--max-examples", str(EXAMPLES), "--seed", "1"),
        # One worker: two threads at once trip over CPython 3.11's own parser (SystemError: recursion depth mismatch).
        *("--suppress-health-check", "all", "--request-timeout", "30", "--continue-on-failure", "--workers", "1"),
        *("--warnings", "off", "--no-color", *options),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{done.stdout[-12_000:]}\n{done.stderr[-2_000:]}"
    assert "No checks were performed" not in done.stdout
    assert "failures in" not in done.stdout
