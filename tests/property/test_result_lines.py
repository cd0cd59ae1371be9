"""Lines of output and error files: composed without parsing answers, and read back the same."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.one_line import one_line
from batchyard.core.parts import decode_part, encode_part
from batchyard.core.result_lines import read_result_line, result_line, result_line_start
from batchyard.core.results import Outcome, Result, failed, stored, unfinished

BATCH = "batch_01m7vzgc0060rk4csm6mv3ee1s"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.just(
    'x","body":{"a":1},"error":null}\n\u2028\u2029\x85'
)


@given(st.dictionaries(TEXT, TEXT, max_size=4), TEXT, TEXT, st.integers(0, 10**6))
def test_a_result_is_the_same_after_a_part_and_after_a_line(
    answer: dict[str, str], custom_id: str, text: str, index: int
) -> None:
    """Whatever the strings hold: in a part, and in a line of a file; and the line is what JSON's parser reads there."""
    body = one_line(orjson.dumps(answer))
    results = [
        Result(index, custom_id, Outcome.SUCCEEDED, 200, text or None, body),
        Result(index, custom_id, Outcome.FAILED, 422, text or None, body),
        failed(index, custom_id, "code", text),
        *(unfinished(index, custom_id, outcome) for outcome in (Outcome.CANCELLED, Outcome.EXPIRED)),
    ]
    kept = [stored(BATCH, result) for result in results]
    assert list(decode_part(encode_part(BATCH, results))) == kept
    for result, each in zip(results, kept, strict=True):
        line = result_line(each)
        assert line.startswith(result_line_start(BATCH, index))
        assert line.endswith(b"\n") and len(line.decode().splitlines()) == 1
        assert read_result_line(line, index) == each
        fields = orjson.loads(line)
        assert list(fields) == ["id", "custom_id", "response", "error"]
        assert fields["custom_id"] == custom_id
        if result.status_code is None:
            assert fields["response"] is None
            assert fields["error"] == {"code": result.error_code, "message": result.error_message}
        else:
            assert fields["error"] is None
            assert fields["response"] == {"status_code": result.status_code, "request_id": text, "body": answer}
