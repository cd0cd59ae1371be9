"""However a simulated job is looked at, moved on and cancelled: it lives as drawn, and its books balance."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from local.provider.config import Config
from local.provider.ledger import Billed
from local.provider.simulator import Simulator
from local.provider.wire import Request

FAULTS = ["job_stall:40", "job_expire:40", "job_fail_items:40", "job_invalid"]
ITEM_WISHES = ["", "[simulate: status:500]", "[simulate: hang]", "[simulate: missing]", "[simulate: disconnect]"]
ARROWS = {
    "validating": {"in_progress", "failed", "expired", "cancelling"},
    "in_progress": {"finalizing", "expired", "cancelling"},
    "finalizing": {"completed", "expired", "cancelling"},
    "cancelling": {"cancelled"},
}
ENDED = {"completed", "failed", "expired", "cancelled"}
KEY = [(b"authorization", b"Bearer k")]
FORM = b"--x\r\nContent-Disposition: form-data; name=%b\r\n\r\n%b\r\n"


class Vendor:
    """OpenAI, without a network."""

    def __init__(self, fault: str | None) -> None:
        faults = {fault: 1.0} if fault else {}
        self.simulator = Simulator(Config(clock_speed=0, job_seconds=1000, job_faults=faults), clock=lambda: 0.0)

    def call(self, method: str, path: str, body: bytes = b"") -> bytes:
        headers = [*KEY, (b"content-type", b"multipart/form-data; boundary=x")]
        return self.simulator.receive(Request(method, path, body, headers)).data.partition(b"\r\n\r\n")[2]

    def create(self, texts: list[str]) -> str:
        lines = [
            {
                "custom_id": str(number),
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": "m", "messages": [{"role": "user", "content": text}]},
            }
            for number, text in enumerate(texts)
        ]
        content = b"\n".join(orjson.dumps(line) for line in lines)
        form = FORM % (b'"file"; filename="in.jsonl"', content) + FORM % (b'"purpose"', b"batch") + b"--x--\r\n"
        wanted = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
        file = orjson.loads(self.call("POST", "/v1/files", form))["id"]
        name: str = orjson.loads(self.call("POST", "/v1/batches", orjson.dumps(wanted | {"input_file_id": file})))["id"]
        return name

    def look(self, name: str) -> dict[str, Any]:
        batch: dict[str, Any] = orjson.loads(self.call("GET", f"/v1/batches/{name}"))
        return batch

    def lines(self, file: str | None) -> list[str]:
        content = self.call("GET", f"/v1/files/{file}/content") if file else b""
        return [orjson.loads(line)["custom_id"] for line in content.splitlines()]


@given(
    fault=st.sampled_from([None, *FAULTS]),
    wishes=st.lists(st.sampled_from(ITEM_WISHES), min_size=1, max_size=8),
    steps=st.lists(st.sampled_from([50, 300, 900, 5000, 90_000, "cancel"]), max_size=8),
)
def test_a_job_lives_as_drawn_and_its_books_balance(
    fault: str | None, wishes: list[str], steps: list[int | str]
) -> None:
    """States follow the arrows, counts only grow, nothing moves after the end, every item has one line at most, and
    what is billed is what is in the output. Only items that were to be lost are counted and have no line."""
    vendor = Vendor(fault)
    name = vendor.create([f"item {number} {wish}" for number, wish in enumerate(wishes)])
    before = vendor.look(name)
    for step in [*steps, 0]:
        if step == "cancel":
            vendor.call("POST", f"/v1/batches/{name}/cancel")
        else:
            vendor.simulator.job_clock.advance(float(step))
        now = vendor.look(name)
        if before["status"] in ENDED:
            assert now == before
        assert now["status"] in reachable(before["status"])
        assert all(now["request_counts"][what] >= before["request_counts"][what] for what in ("completed", "failed"))
        before = now
    output, error = vendor.lines(before["output_file_id"]), vendor.lines(before["error_file_id"])
    assert len({*output, *error}) == len(output) + len(error) <= len(wishes)
    billed = [Billed(*modes) for modes in vendor.simulator.ledger.bills().values()]
    assert all(bill == Billed(native=1) for bill in billed)
    if before["status"] in ENDED:
        lost = before["request_counts"]["completed"] - len(output)
        assert len(billed) == len(output) and 0 <= lost <= sum("missing" in wish for wish in wishes)
        assert before["status"] == "failed" or len(output) + len(error) + lost == len(wishes)


def reachable(state: str) -> set[str]:
    """By any number of arrows, none included."""
    found = {state}
    for following in ARROWS.get(state, ()):
        found |= reachable(following)
    return found
