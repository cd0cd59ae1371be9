"""All surfaces lead to the same batches: neither what a provider is sent nor what comes back depends on the dialect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.customer import END_POLL_SECONDS, Customer, eventually
from tests.dialects import KUSHROUTER_STATUSES, READERS, SENDERS, Dialects, Ended, Sent, dialects
from tests.invariants import TERMINAL

EXAMPLES = 12
UNKNOWN_MODEL = "no-such-model"

TEXT = st.text(max_size=30)
EXTRAS: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.floats(0, 2),
    "max_completion_tokens": st.integers(1, 9),
    "n": st.integers(1, 3),
    "user": TEXT,
    "stop": st.lists(TEXT, max_size=2) | st.none(),
    "logit_bias": st.dictionaries(TEXT, st.floats(-100, 100), max_size=2),
    "response_format": st.just({"type": "json_object"}),
    "tools": st.just([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]),
}
BODIES = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["gpt-4o-mini", "gpt-4o", "gpt-4.1-mini"]),
        "messages": st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": TEXT}), min_size=1, max_size=2),
        "metadata": st.sampled_from([{}, {}, {"simulate": "status:400"}, {"simulate": "status:422"}]),
    },
    optional=EXTRAS,
)
IDS = st.text(min_size=1, max_size=20).filter(lambda text: not text.startswith("index:"))
BATCHES = st.dictionaries(IDS, BODIES, min_size=1, max_size=5)
METADATA = st.dictionaries(st.text(min_size=1, max_size=10), TEXT, max_size=2)


@pytest.fixture
def api(customer: Customer) -> Iterator[Dialects]:
    with dialects(customer) as api:
        yield api


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(bodies=BATCHES, metadata=METADATA, misspelt=st.sampled_from([False, False, False, True]))
def test_the_same_items_have_the_same_results(
    api: Dialects, bodies: dict[str, dict[str, Any]], metadata: dict[str, str], misspelt: bool
) -> None:
    """Whatever is asked, and however: each surface's batch ends alike, and every surface shows it alike."""
    items = [Sent(custom_id, body) for custom_id, body in bodies.items()]
    if misspelt:
        items[-1] = Sent(items[-1].custom_id, items[-1].body | {"model": UNKNOWN_MODEL})
    made = {name: send(api, items, metadata) for name, send in SENDERS.items()}
    for batch_id in made.values():
        _wait(api, batch_id)
    seen = {
        (sender, reader): read(api, batch_id) for sender, batch_id in made.items() for reader, read in READERS.items()
    }
    expected = seen["openai", "openai"]
    assert expected.status == ("failed" if misspelt else "completed")
    assert set(expected.outcomes) == (set() if misspelt else set(bodies))
    assert expected.metadata == metadata
    for (sender, reader), ended in seen.items():
        assert _comparable(ended, sender) == _comparable(expected, sender), f"sent by {sender}, read by {reader}"
    inputs = {sender: {seen[sender, reader].input_file_id for reader in READERS} for sender in made}
    assert all(len(ids) == 1 for ids in inputs.values()), "readers disagree on a batch's input"
    assert all(set(made.values()) <= listed for listed in api.listed())


def test_every_surface_downloads_the_same_bytes(api: Dialects) -> None:
    """A batch's output file is one file: by OpenAI's path, KushRouter's two, and Portkey's /output."""
    items = [Sent(f"i{number}", {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}) for number in "ab"]
    for send in SENDERS.values():
        batch_id = send(api, items, {})
        _wait(api, batch_id)
        output = api.read_portkey_output(batch_id)
        file_id = api.ask("GET", f"/v1/batches/{batch_id}").json()["output_file_id"]
        assert output.count(b"\n") == 2
        for root in ("/v1", "/api/v1", "/api/openai/v1"):
            assert api.ask("GET", f"{root}/files/{file_id}/content").content == output


def test_each_surface_can_cancel_anothers_batch(api: Dialects) -> None:
    """A batch made on one surface and cancelled on another is cancelled for all."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "metadata": {"simulate": "latency:2000"}}
    slow = [Sent(f"i{number}", body | {"user": f"{number}"}) for number in range(20)]
    roots = ("/api/v1", "/api/openai/v1", "/api/v1", "/v1", "/v1")
    made = {}
    for (name, send), root in zip(SENDERS.items(), roots, strict=True):
        made[name] = send(api, slow, {})
        api.ask("POST", f"{root}/batches/{made[name]}/cancel")
    for sender, batch_id in made.items():
        _wait(api, batch_id)
        assert api.statuses(batch_id) == ("cancelled",) * 3, sender


def _wait(api: Dialects, batch_id: str) -> None:
    eventually(lambda: _watch(api, batch_id) in TERMINAL, f"the end of {batch_id}", pause=END_POLL_SECONDS)


def _watch(api: Dialects, batch_id: str) -> str:
    """The batch's status. While it does not change, every surface has its own word for the same one: a batch never
    comes back to a status, so one that is the same before and after was the same in between."""
    openai, portkey, kushrouter = api.statuses(batch_id)
    if api.ask("GET", f"/v1/batches/{batch_id}").json()["status"] == openai:
        assert portkey == openai
        assert kushrouter == KUSHROUTER_STATUSES.get(openai, openai)
    return openai


def _comparable(ended: Ended, sender: str) -> Ended:
    """The batch without the fields that always differ, such as the id of its input file."""
    return replace(ended, input_file_id="")
