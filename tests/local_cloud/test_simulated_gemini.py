"""The simulated provider has Gemini's calls, files and batches; Google's own SDK reads every word of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import orjson
import pytest
from google import genai
from google.genai import errors, types

from local.provider import Billed, SimulatedProvider, text_hash
from tests.local_cloud.vendor_clients import DAY_SECONDS, JOB_SECONDS, chat, provider, root_of, running

__all__ = ["provider", "running"]

MODEL = "gemini-2.5-flash"
EMBEDDING = "gemini-embedding-001"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"mood": {"enum": ["good"]}, "score": {"type": "integer"}}}


@pytest.fixture
def client(provider: SimulatedProvider) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=root_of(provider, "gemini"))
    client = genai.Client(api_key="g-key", http_options=options)
    yield client
    client.close()


def content(text: str) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}]}


def lines(texts: list[str]) -> bytes:
    return b"".join(
        orjson.dumps({"key": f"item-{number}", "request": content(text)}) + b"\n" for number, text in enumerate(texts)
    )


def upload(client: genai.Client, data: bytes) -> str:
    config = types.UploadFileConfig(mime_type="jsonl", display_name="in")
    name = client.files.upload(file=io.BytesIO(data), config=config).name
    assert name is not None
    return name


def start(client: genai.Client, texts: list[str], name: str = "mine") -> types.BatchJob:
    source = upload(client, lines(texts))
    return client.batches.create(model=MODEL, src=source, config=types.CreateBatchJobConfig(display_name=name))


def look(client: genai.Client, job: types.BatchJob) -> types.BatchJob:
    assert job.name is not None
    return client.batches.get(name=job.name)


def state(job: types.BatchJob) -> str:
    assert job.state is not None
    return job.state.value.removeprefix("JOB_STATE_")


def results(client: genai.Client, job: types.BatchJob) -> dict[str, Any]:
    assert job.dest is not None and job.dest.file_name is not None
    found = [orjson.loads(line) for line in client.files.download(file=job.dest.file_name).splitlines()]
    return {line["key"]: line for line in found}


def test_content_is_generated_as_gemini_does(provider: SimulatedProvider, client: genai.Client) -> None:
    """Text, a function's call, a schema that is kept to; the same text has the same name in OpenAI's form."""
    config = types.GenerateContentConfig(system_instruction="Be brief.", temperature=0.3, max_output_tokens=20)
    plain = client.models.generate_content(model=MODEL, contents="hello", config=config)
    assert plain.text and plain.usage_metadata is not None
    assert (plain.usage_metadata.candidates_token_count or 0) <= 20
    assert provider.bills() == {text_hash(chat("hello")): Billed(realtime=1)}
    rate = types.FunctionDeclaration(name="rate", parameters_json_schema=SCHEMA)
    called = client.models.generate_content(
        model=MODEL,
        contents="x",
        config=types.GenerateContentConfig(
            tools=[types.Tool(function_declarations=[rate])],
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        ),
    )
    assert called.function_calls and called.function_calls[0].args == {"mood": "good", "score": 1}
    kept = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=SCHEMA)
    assert client.models.generate_content(model=MODEL, contents="x", config=kept).text == '{"mood":"good","score":1}'


def test_embeddings_have_the_length_that_was_asked_for(provider: SimulatedProvider, client: genai.Client) -> None:
    """One or many at a time."""
    config = types.EmbedContentConfig(output_dimensionality=8)
    found = client.models.embed_content(model=EMBEDDING, contents=["a", "b"], config=config).embeddings or []
    assert [len(embedding.values or []) for embedding in found] == [8, 8]
    url = f"{provider.url_of('gemini')}/models/{EMBEDDING}:embedContent"
    body = {"content": {"parts": [{"text": "one"}]}, "outputDimensionality": 4}
    answer = httpx.post(url, json=body, headers={"x-goog-api-key": "k"})
    assert len(answer.json()["embedding"]["values"]) == 4
    assert provider.bills()[text_hash({"input": "one"})] == Billed(realtime=1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (content("x") | {"messages": []}, 'Unknown name "messages"'),
        (content("x") | {"generationConfig": {"n": 2}}, 'Unknown name "n"'),
        ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role"),
        ({}, "contents"),
    ],
)
def test_what_gemini_refuses_is_refused(provider: SimulatedProvider, body: dict[str, Any], words: str) -> None:
    """In its own envelope: what a translation leaves in by mistake does not pass."""
    url = f"{provider.url_of('gemini')}/models/{MODEL}:generateContent"
    answer = httpx.post(url, json=body, headers={"x-goog-api-key": "k"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert words in error["message"]


def test_calls_of_gemini_go_wrong_as_they_ask_to(provider: SimulatedProvider, client: genai.Client) -> None:
    """In their text, for some attempts; what fails is not billed."""
    for fault, status in (("status:429", "RESOURCE_EXHAUSTED"), ("status:503", "UNAVAILABLE")):
        text = f"[simulate: {fault}x1] hello"
        with pytest.raises(errors.APIError) as failed:
            client.models.generate_content(model=MODEL, contents=text)
        assert failed.value.status == status
        assert client.models.generate_content(model=MODEL, contents=text).text
        assert provider.bills()[text_hash(chat(text))] == Billed(realtime=1)


def test_gemini_sells_flex_and_caches_by_itself(provider: SimulatedProvider, client: genai.Client) -> None:
    """Flex by its service tier, the cache from 1,024 tokens on."""
    flex = types.GenerateContentConfig(service_tier=types.ServiceTier.FLEX)
    client.models.generate_content(model=MODEL, contents="cheap", config=flex)
    assert provider.bills()[text_hash(chat("cheap"))] == Billed(flex=1)
    cached = []
    for question in ("a", "b"):
        config = types.GenerateContentConfig(system_instruction="Once upon a time. " * 400)
        usage = client.models.generate_content(model=MODEL, contents=question, config=config).usage_metadata
        assert usage is not None
        cached.append(usage.cached_content_token_count or 0)
    assert cached[0] == 0 and cached[1] > 1024


def test_a_batch_of_a_file_lives_as_geminis_do(provider: SimulatedProvider, client: genai.Client) -> None:
    """Pending, running, succeeded; a file of results with the keys of the input; billed once, as a batch."""
    texts = [f"item {number}" for number in range(10)]
    job = start(client, texts)
    seen = [state(job)]
    for _ in range(2):
        provider.advance(JOB_SECONDS * 0.6)
        job = look(client, job)
        seen.append(state(job))
    assert seen == ["PENDING", "RUNNING", "SUCCEEDED"] and job.done and job.display_name == "mine"
    found = results(client, job)
    assert list(found) == [f"item-{number}" for number in range(10)]
    assert all(line["response"]["candidates"] for line in found.values())
    assert [provider.bills()[text_hash(chat(text))] for text in texts] == [Billed(native=1)] * 10
    assert job.name is not None and job.dest is not None and job.dest.file_name is not None
    client.files.delete(name=job.dest.file_name)
    client.batches.delete(name=job.name)
    with pytest.raises(errors.ClientError):
        look(client, job)
    assert [entry["deleted"] for entry in provider.files()] == [False, True]


def test_a_batch_can_be_in_the_call_itself(provider: SimulatedProvider, client: genai.Client) -> None:
    """Its results are in the batch, in order, each with what was sent along."""
    requests: Any = [
        {"contents": [{"role": "user", "parts": [{"text": text}]}], "metadata": {"key": text}}
        for text in ("a", "b [simulate: status:400]", "c")
    ]
    job = client.batches.create(model=MODEL, src=requests)
    provider.advance(JOB_SECONDS)
    job = look(client, job)
    assert job.dest is not None and job.dest.inlined_responses is not None
    found = job.dest.inlined_responses
    assert [entry.metadata["key"] for entry in found if entry.metadata] == ["a", "b [simulate: status:400]", "c"]
    assert [entry.response is not None for entry in found] == [True, False, True]
    assert found[1].error is not None and found[1].error.code == 400


@pytest.mark.filterwarnings("ignore:batches.create_embeddings")
def test_embeddings_can_be_a_batch(provider: SimulatedProvider, client: genai.Client) -> None:
    """From a file, in a batch of their own kind."""
    line = {"key": "k", "request": {"content": {"parts": [{"text": "embed me"}]}, "outputDimensionality": 4}}
    source = types.EmbeddingsBatchJobSource(file_name=upload(client, orjson.dumps(line)))
    job = client.batches.create_embeddings(model=EMBEDDING, src=source)
    provider.advance(JOB_SECONDS)
    found = results(client, look(client, job))
    assert len(found["k"]["response"]["embedding"]["values"]) == 4
    assert provider.bills() == {text_hash({"input": "embed me"}): Billed(native=1)}


@pytest.mark.parametrize(
    ("fault", "after", "ending", "done"),
    [
        ("job_expire", DAY_SECONDS * 2, "EXPIRED", 0),
        ("job_stall:40", DAY_SECONDS * 5, "CANCELLED", 4),
        ("job_fail_items:40", JOB_SECONDS, "SUCCEEDED", 6),
        ("job_invalid", JOB_SECONDS, "FAILED", 0),
    ],
)
def test_batches_of_gemini_go_wrong_as_they_are_asked_to(
    provider: SimulatedProvider, client: genai.Client, fault: str, after: float, ending: str, done: int
) -> None:
    """One that has expired gives nothing, and nothing of it is billed."""
    provider.configure(job_faults={fault: 1})
    job = start(client, [f"wrong {number}" for number in range(10)])
    provider.advance(after)
    if ending == "CANCELLED":
        assert state(look(client, job)) == "RUNNING" and job.name is not None
        client.batches.cancel(name=job.name)
        provider.advance(JOB_SECONDS)
    job = look(client, job)
    assert state(job) == ending
    assert sum(billed.native for billed in provider.bills().values()) == done
    if done:
        found = results(client, job).values()
        assert sum(1 for line in found if "response" in line) == done
        assert {line["error"]["status"] for line in found if "error" in line} <= {"INTERNAL"}
    else:
        assert job.dest is None


def test_batches_of_gemini_are_listed(provider: SimulatedProvider, client: genai.Client) -> None:
    """Newest first, with the names that they were given; one whose answer was lost is among them."""
    provider.configure(call_faults={"create": {"disconnectx1": 1}})
    with pytest.raises(Exception, match="disconnected"):
        start(client, ["x"], "lost")
    for name in ("a", "b"):
        start(client, ["x"], name)
    listed = client.batches.list(config=types.ListBatchJobsConfig(page_size=2))
    assert [job.display_name for job in listed] == ["b", "a", "lost"]


def test_gemini_also_has_openais_chat_completions(provider: SimulatedProvider) -> None:
    """Beside its own, for those who ask for them."""
    url = f"{provider.url_of('gemini')}/openai"
    with openai.OpenAI(base_url=url, api_key="g-key", max_retries=0) as compatible:
        assert compatible.chat.completions.create(**chat("hello", model=MODEL)).choices[0].message.content
