"""Chat completions and embeddings for Gemini: what each parameter becomes, what is refused, and that Google's own types
agree."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from google.genai import types
from pydantic import TypeAdapter, ValidationError

from batchyard.adapters.providers.gemini.translator import GeminiTranslator
from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable, refusal
from batchyard.core.lanes import Lane, Mode
from batchyard.core.providers import Provider
from batchyard.core.retry import FailureReason

CHAT, EMBEDDINGS, MESSAGES = "/v1/chat/completions", "/v1/embeddings", "/v1/messages"
PROVIDER = Provider("gemini", "gemini", "https://generativelanguage.googleapis.com/v1beta")
TRANSLATOR = GeminiTranslator(PROVIDER)
OLD, NEW = "gemini-2.5-flash", "gemini-3.8-flash"
USER = {"role": "user", "content": "hi"}
HI = {"role": "user", "parts": [{"text": "hi"}]}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"city":"Bonn"}'}}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": PARAMETERS}}
OTHER_TOOL = {"type": "function", "function": {"name": "listen", "description": "hear"}}
STRICT_TOOL = {"type": "function", "function": {"name": "look", "parameters": PARAMETERS, "strict": True}}
PNG = base64.b64encode(b"\x89PNG").decode()
PDF = base64.b64encode(b"%PDF-1.7").decode()
KNOWN: dict[str, Any] = {
    "contents": list[types.Content],
    "systemInstruction": types.Content,
    "tools": list[types.Tool],
    "toolConfig": types.ToolConfig,
    "generationConfig": types.GenerationConfig,
    "serviceTier": types.ServiceTier,
    "cachedContent": str,
}


def assert_is_googles(document: dict[str, Any]) -> None:
    """Each member is one of Google's SDK, whose types know no others."""
    for name, value in document.items():
        TypeAdapter(KNOWN[name]).validate_python(value)


def translated(model: str = NEW, **fields: Any) -> dict[str, Any]:
    """What is sent for a chat completion with `fields`; it is held to Google's SDK."""
    request = TRANSLATOR.request(CHAT, orjson.dumps({"model": model, "messages": [USER]} | fields))
    assert isinstance(request, ProviderRequest), request
    assert request.path == f"/models/{model}:generateContent"
    document: dict[str, Any] = orjson.loads(request.body)
    assert_is_googles(document)
    return document


def refused(model: str = NEW, **fields: Any) -> Untranslatable:
    error = TRANSLATOR.request(CHAT, orjson.dumps({"model": model, "messages": [USER]} | fields))
    assert isinstance(error, Untranslatable), error
    return error


def parts(*given: dict[str, Any], model: str = NEW) -> list[dict[str, Any]]:
    """The parts of a user's message with `given`."""
    (content,) = translated(model, messages=[{"role": "user", "content": list(given)}])["contents"]
    found: list[dict[str, Any]] = content["parts"]
    return found


def test_the_smallest_request() -> None:
    """The model is in the path, and the key in a header."""
    assert translated() == {"contents": [HI]}
    assert TRANSLATOR.headers("k") == {"x-goog-api-key": "k"}


def test_googles_types_refuse_what_they_do_not_know() -> None:
    """So that each test above and below would fail if a member were wrong."""
    for name in ("generationConfig", "systemInstruction", "toolConfig"):
        with pytest.raises(ValidationError):
            assert_is_googles({name: {"surprise": 1}})


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("models/gemini-2.5-pro", "/models/gemini-2.5-pro:generateContent"),
        ("../files/x?y#z", "/models/..%2Ffiles%2Fx%3Fy%23z:generateContent"),
    ],
)
def test_the_model_stays_in_its_place(model: str, path: str) -> None:
    """Whatever it is called, the lane's model counts, and it leads nowhere else."""
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}'
    request = TRANSLATOR.request(CHAT, body, Lane("gemini", model))
    assert isinstance(request, ProviderRequest) and request.path == path


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"max_tokens": 5}, {"maxOutputTokens": 5}),
        ({"max_completion_tokens": 6}, {"maxOutputTokens": 6}),
        ({"max_completion_tokens": 6, "max_tokens": 6}, {"maxOutputTokens": 6}),
        ({"temperature": 1.5, "top_p": 0.25, "top_k": 7}, {"temperature": 1.5, "topP": 0.25, "topK": 7}),
        ({"frequency_penalty": 0.5, "presence_penalty": -1}, {"frequencyPenalty": 0.5, "presencePenalty": -1}),
        ({"seed": -7}, {"seed": -7}),
        ({"n": 1}, {}),
        ({"n": 3}, {"candidateCount": 3}),
        ({"stop": "END"}, {"stopSequences": ["END"]}),
        ({"stop": ["a", "b"]}, {"stopSequences": ["a", "b"]}),
        ({"logprobs": True}, {"responseLogprobs": True}),
        ({"logprobs": True, "top_logprobs": 4}, {"responseLogprobs": True, "logprobs": 4}),
        ({"logprobs": False, "top_logprobs": 0}, {}),
        ({"temperature": None, "stop": None, "tools": None, "metadata": None, "n": None}, {}),
        ({"user": "u-1", "safety_identifier": "s-1", "metadata": {"run": "7"}}, {}),
        ({"stream": False, "stream_options": {"include_usage": True}, "prompt_cache_key": "k"}, {}),
        ({"logit_bias": {}, "modalities": ["text"], "store": False, "verbosity": "medium"}, {}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
        ({"reasoning_effort": "minimal"}, {"thinkingConfig": {"thinkingLevel": "MINIMAL"}}),
        ({"reasoning_effort": "xhigh"}, {"thinkingConfig": {"thinkingLevel": "XHIGH"}}),
        (
            {"extra_body": {"google": {"thinking_config": {"thinking_level": "low", "include_thoughts": True}}}},
            {"thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True}},
        ),
        (
            {
                "extra_body": {"google": {"thinking_config": {"include_thoughts": True}}},
                "reasoning_effort": "high",
            },
            {"thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": True}},
        ),
    ],
)
def test_parameters(asked: dict[str, Any], sent: dict[str, Any]) -> None:
    """Each in Gemini's words, or left out because it asks for nothing."""
    assert translated(**asked) == {"contents": [HI]} | ({"generationConfig": sent} if sent else {})


@pytest.mark.parametrize(
    ("tier", "sent"), [("auto", None), ("default", "standard"), ("flex", "flex"), ("priority", "priority")]
)
def test_service_tiers(tier: str, sent: str | None) -> None:
    """The item's own, unless its lane is flex."""
    assert translated(service_tier=tier).get("serviceTier") == sent
    body = orjson.dumps({"model": NEW, "messages": [USER], "service_tier": tier})
    request = TRANSLATOR.request(CHAT, body, Lane("gemini", NEW, Mode.FLEX))
    assert isinstance(request, ProviderRequest) and orjson.loads(request.body)["serviceTier"] == "flex"


@pytest.mark.parametrize(
    ("effort", "budget"), [("none", 0), ("minimal", 1024), ("low", 1024), ("medium", 8192), ("high", 24_576)]
)
@pytest.mark.parametrize("model", ["gemini-2.5-flash", "models/gemini-2.5-pro", "gemini-2.0-flash"])
def test_models_before_3_think_within_a_budget(model: str, effort: str, budget: int) -> None:
    """The budgets are those of Google's own translation."""
    request = TRANSLATOR.request(CHAT, orjson.dumps({"model": model, "messages": [USER], "reasoning_effort": effort}))
    assert isinstance(request, ProviderRequest)
    assert orjson.loads(request.body)["generationConfig"] == {"thinkingConfig": {"thinkingBudget": budget}}


def test_content_kept_at_google_can_be_named() -> None:
    """As clients of Google's OpenAI endpoint do it."""
    assert translated(extra_body={"google": {"cached_content": "cachedContents/a"}})["cachedContent"] == (
        "cachedContents/a"
    )


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"seed": 2**31}, "seed"),
        ({"seed": "x"}, "seed"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "alloy", "format": "mp3"}}, "audio"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"store": True}, "store"),
        ({"verbosity": "low"}, "verbosity"),
        ({"service_tier": "scale"}, "service_tier"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_completion_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"stop": [1]}, "stop"),
        ({"metadata": "x"}, "metadata"),
        ({"reasoning_effort": "none"}, "reasoning_effort"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"model": OLD, "reasoning_effort": "xhigh"}, "reasoning_effort"),
        (
            {
                "reasoning_effort": "low",
                "extra_body": {"google": {"thinking_config": {"thinking_budget": 5}}},
            },
            "reasoning_effort",
        ),
        (
            {"extra_body": {"google": {"thinking_config": {"thinking_budget": "x"}}}},
            "extra_body.google.thinking_config.thinking_budget",
        ),
        ({"extra_body": {"google": {"thinking_config": {"new": 1}}}}, "extra_body.google.thinking_config.new"),
        ({"extra_body": {"google": {"new": 1}}}, "extra_body.google.new"),
        ({"extra_body": {"new": 1}}, "extra_body.google"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
        ),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [TOOL | {"x": 1}]}, "tools[0].x"),
        ({"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"type": "custom", "custom": {"name": "x"}}}, "tool_choice.type"),
        ({"something_new": 1}, "something_new"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [USER | {"name": "Ann"}]}, "messages[0].name"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
        ({"messages": [USER, {"role": "system", "content": "b"}, USER]}, "messages[1].role"),
        ({"messages": [USER, {"role": "assistant", "content": "well"}]}, "messages"),
        ({"messages": [USER, {"role": "assistant", "audio": {"id": "a"}}, USER]}, "messages[1].audio"),
        (
            {"messages": [USER, {"role": "tool", "tool_call_id": "call_9", "content": "x"}]},
            "messages[1].tool_call_id",
        ),
        (
            {
                "messages": [
                    USER,
                    {"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f", "arguments": "["}}]},
                ]
            },
            "messages[1].tool_calls[0].function.arguments",
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": "a", "content_parts": ["x"]}, USER]},
            "messages[1].content_parts",
        ),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ],
)
def test_what_gemini_cannot_do_is_an_error_of_the_item(asked: dict[str, Any], param: str) -> None:
    """It names the parameter, as OpenAI's errors do, and the item is never sent."""
    error = refused(**asked)
    assert error.param == param
    answer = refusal(error, CHAT)
    assert answer.failure is FailureReason.UNSUPPORTED and orjson.loads(answer.body)["error"]["param"] == param


def test_instructions_are_the_system_instruction() -> None:
    """System and developer messages alike, however many there are."""
    document = translated(
        messages=[
            {"role": "system", "content": "one"},
            {"role": "developer", "content": [{"type": "text", "text": "two"}]},
            USER,
        ]
    )
    assert document == {"systemInstruction": {"parts": [{"text": "one"}, {"text": "two"}]}, "contents": [HI]}


def test_images() -> None:
    """As data, or by a URL that Gemini fetches; how closely they are looked at is said where a model knows it."""
    data = {"type": "image_url", "image_url": {"url": f"data:image/PNG;base64,{PNG}", "detail": "low"}}
    link = {"type": "image_url", "image_url": {"url": "https://x.example/a.JPG?size=1", "detail": "auto"}}
    assert parts({"type": "text", "text": "what is this?"}, data, link) == [
        {"text": "what is this?"},
        {
            "inlineData": {"mimeType": "image/png", "data": PNG},
            "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"},
        },
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x.example/a.JPG?size=1"}},
    ]
    closely = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "high"}}
    assert parts(closely)[0]["mediaResolution"] == {"level": "MEDIA_RESOLUTION_HIGH"}
    assert parts(closely, model=OLD) == [{"inlineData": {"mimeType": "image/png", "data": PNG}}]
    assert refused(OLD, messages=[{"role": "user", "content": [data]}]).param == (
        "messages[0].content[0].image_url.detail"
    )


def test_audio_and_files() -> None:
    """Of any kind that a data URL names, and PDFs without one."""
    assert parts(
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": "data:text/csv;charset=utf-8;base64,YSxi"}},
    ) == [
        {"inlineData": {"mimeType": "audio/wav", "data": "UklG"}},
        {"inlineData": {"mimeType": "application/pdf", "data": PDF}},
        {"inlineData": {"mimeType": "text/csv", "data": "YSxi"}},
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://x.example/image"}},
        {"type": "image_url", "image_url": {"url": "http://x.example/a.png"}},
        {"type": "image_url", "image_url": {"url": "https://[/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:text/plain;base64,AA=="}},
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "detail": "extreme"}},
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "new": 1}},
        {"type": "image_url", "image_url": {}},
        {"type": "input_audio", "input_audio": {"data": "x", "format": "pcm16"}},
        {"type": "file", "file": {"file_id": "file-abc"}},
        {"type": "file", "file": {"file_data": "AAAA"}},
        {"type": "file", "file": {}},
        {"type": "text"},
        {"type": "text", "text": "x", "more": 1},
        {"type": "video_url", "video_url": {"url": "https://x.example/a.mp4"}},
        {},
    ],
)
def test_parts_that_gemini_does_not_take(part: dict[str, Any]) -> None:
    """Refused, with the path of the part."""
    error = refused(messages=[{"role": "user", "content": [part]}])
    assert error.param is not None and error.param.startswith("messages[0].content[0]")


def test_a_conversation_with_tools() -> None:
    """Calls side by side, their results in one content of their own, in which each names its function."""
    results = [{"role": "tool", "tool_call_id": f"call_{n}", "content": f"sun {n}", "name": "look"} for n in (1, 2)]
    said = {"role": "assistant", "content": "", "tool_calls": [CALL, CALL | {"id": "call_2"}]}
    document = translated(OLD, tools=[TOOL], messages=[USER, said, *results, USER])
    call = {"name": "look", "args": {"city": "Bonn"}}
    assert document["contents"] == [
        HI,
        {"role": "model", "parts": [{"functionCall": {"id": f"call_{n}"} | call} for n in (1, 2)]},
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": f"call_{n}", "name": "look", "response": {"output": f"sun {n}"}}}
                for n in (1, 2)
            ],
        },
        HI,
    ]
    several = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    result = {"role": "tool", "tool_call_id": "call_1", "content": several}
    document = translated(OLD, messages=[USER, said, result])
    assert document["contents"][-1]["parts"][0]["functionResponse"]["response"] == {"output": ["a", "b"]}


def test_signatures_come_back() -> None:
    """Where Google's own endpoint puts them; calls of other vendors' models say that they have none, once a turn."""
    signed = CALL | {"extra_content": {"google": {"thought_signature": "c2lnbg=="}}}
    said = {"role": "assistant", "content": None, "tool_calls": [signed, CALL | {"id": "call_2"}]}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "x"}

    def signatures(said: dict[str, Any], model: str) -> list[Any]:
        document = translated(model, messages=[USER, said, result])
        return [part.get("thoughtSignature") for part in document["contents"][1]["parts"]]

    assert signatures(said, NEW) == signatures(said, OLD) == ["c2lnbg==", None]
    unsigned = said | {"tool_calls": [CALL, CALL | {"id": "call_2"}]}
    assert signatures(unsigned, NEW) == ["skip_thought_signature_validator", None]
    assert signatures(unsigned, OLD) == [None, None]


def test_what_an_earlier_answer_said_goes_back() -> None:
    """Thoughts, text, refusals, parts of other kinds, and the signature at the end of them."""
    picture: dict[str, Any] = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    said: dict[str, Any] = {"role": "assistant", "content": "no", "refusal": "I will not", "annotations": []}
    said |= {"reasoning_content": "hm", "content_parts": [picture]}
    said |= {"extra_content": {"google": {"thought_signature": "c2lnbg=="}}}
    assert translated(messages=[USER, said, USER])["contents"][1] == {
        "role": "model",
        "parts": [
            {"text": "hm", "thought": True},
            {"text": "no"},
            {"text": "I will not"},
            picture | {"thoughtSignature": "c2lnbg=="},
        ],
    }


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "look"}}, {"mode": "ANY", "allowedFunctionNames": ["look"]}),
    ],
)
def test_tool_choice(choice: Any, sent: dict[str, Any]) -> None:
    """And calls that keep to their schema, if that is asked for and the choice does not see to it."""
    assert translated(tools=[TOOL], tool_choice=choice, parallel_tool_calls=True) == {
        "contents": [HI],
        "tools": [{"functionDeclarations": [{"name": "look", "parametersJsonSchema": PARAMETERS}]}],
        "toolConfig": {"functionCallingConfig": sent},
    }
    strict = translated(tools=[STRICT_TOOL], tool_choice=choice)["toolConfig"]["functionCallingConfig"]
    assert strict == ({"mode": "VALIDATED"} if choice == "auto" else sent)


def test_strict_tools_without_a_choice() -> None:
    """Are called if the model likes, and as their schema says."""
    assert translated(tools=[STRICT_TOOL])["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}
    assert "toolConfig" not in translated(tools=[TOOL])


def test_allowed_tools_are_the_only_ones_that_are_sent() -> None:
    """What Gemini does not know it cannot use."""
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "listen"}}]}
    document = translated(tools=[TOOL, OTHER_TOOL], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert document["tools"] == [{"functionDeclarations": [{"name": "listen", "description": "hear"}]}]
    assert document["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}


def test_one_call_at_a_time_matters_only_if_there_can_be_calls() -> None:
    """Clients send it with every request."""
    assert translated(parallel_tool_calls=False) == {"contents": [HI]}
    assert translated(tools=[TOOL], tool_choice="none", parallel_tool_calls=False)["tools"]


def test_a_schema_for_the_answer() -> None:
    """Structured output, with the description that OpenAI keeps beside the schema."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
    wanted = {"name": "x", "description": "an a", "schema": schema, "strict": True}
    document = translated(response_format={"type": "json_schema", "json_schema": wanted})
    assert document["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": {"description": "an a"} | schema,
    }


def test_numbers_keep_their_digits() -> None:
    """Also those that no double holds, in schemas and in arguments."""
    body = (
        b'{"model":"gemini-2.5-pro","messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"a",'
        b'"type":"function","function":{"name":"f","arguments":"{\\"n\\":12345678901234567890123}"}}]},'
        b'{"role":"tool","tool_call_id":"a","content":"y"}]}'
    )
    request = TRANSLATOR.request(CHAT, body)
    assert isinstance(request, ProviderRequest) and b'"n":12345678901234567890123' in request.body


def test_an_item_in_anthropics_form() -> None:
    """By way of a chat completion: nothing is lost, and what Gemini cannot do is refused."""
    body = {
        "model": NEW,
        "max_tokens": 9,
        "system": "Be brief.",
        "messages": [USER],
        "tools": [{"name": "look", "input_schema": PARAMETERS}],
        "tool_choice": {"type": "any"},
        "stop_sequences": ["END"],
    }
    request = TRANSLATOR.request(MESSAGES, orjson.dumps(body))
    assert isinstance(request, ProviderRequest)
    assert orjson.loads(request.body) == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [HI],
        "tools": [{"functionDeclarations": [{"name": "look", "parametersJsonSchema": PARAMETERS}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {"maxOutputTokens": 9, "stopSequences": ["END"]},
    }
    for wrong in ({"top_k": 5}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"new": 1}):
        assert isinstance(TRANSLATOR.request(MESSAGES, orjson.dumps(body | wrong)), Untranslatable)


def test_embeddings() -> None:
    """One text by itself, several together."""

    def sent(**fields: Any) -> tuple[str, Any]:
        request = TRANSLATOR.request(EMBEDDINGS, orjson.dumps({"model": "gemini-embedding-001"} | fields))
        assert isinstance(request, ProviderRequest), request
        return request.path, orjson.loads(request.body)

    common = {"model": "models/gemini-embedding-001"}
    one = common | {"outputDimensionality": 8, "content": {"parts": [{"text": "a"}]}}
    path = "/models/gemini-embedding-001:"
    assert sent(input="a", dimensions=8, user="u") == (path + "embedContent", one)
    assert sent(input=["a"], dimensions=8, encoding_format="float") == (path + "embedContent", one)
    both = [common | {"content": {"parts": [{"text": text}]}} for text in ("a", "b")]
    assert sent(input=["a", "b"], encoding_format="base64") == (path + "batchEmbedContents", {"requests": both})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": [1, 2]}, "input"),
        ({"input": [[1, 2]]}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "new": 1}, "new"),
    ],
)
def test_embeddings_that_gemini_does_not_make(fields: dict[str, Any], param: str) -> None:
    """Tokens are OpenAI's own, and what nobody knows is refused here, too."""
    error = TRANSLATOR.request(EMBEDDINGS, orjson.dumps({"model": "gemini-embedding-001"} | fields))
    assert isinstance(error, Untranslatable) and error.param == param


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"{", b"\xff", b"{}", b"null"])
@pytest.mark.parametrize("endpoint", [CHAT, MESSAGES, EMBEDDINGS])
def test_what_is_no_request_is_refused(endpoint: str, body: bytes) -> None:
    """A value, whatever the bytes."""
    assert isinstance(TRANSLATOR.request(endpoint, body), Untranslatable)


def test_other_endpoints_are_refused() -> None:
    """An entry cannot promise them, and if a message says so all the same, its items fail."""
    assert isinstance(TRANSLATOR.request("/v1/responses", b"{}"), Untranslatable)
    with pytest.raises(ValueError, match="unknown endpoints"):
        Provider("gemini", "gemini", PROVIDER.base_url, endpoints=("/v1/responses",))
