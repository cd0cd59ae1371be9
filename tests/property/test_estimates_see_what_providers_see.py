"""What an item is estimated to answer is what its provider will read in the body that is sent."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchyard.content.measuring import Measure
from batchyard.content.workfile import WorkFile
from batchyard.core.forecast import unknown_output_tokens
from batchyard.core.items import Item, read_work_lines, work_line
from batchyard.core.lanes import Lane
from batchyard.core.sharding import ShardSizes
from batchyard.core.usage import MOST_TOKENS, Usage
from batchyard.surfaces.openai.lines import parse_line
from batchyard.surfaces.surface import LineContext

CHAT = "/v1/chat/completions"
NAMES = ("max_tokens", "max_completion_tokens", "max_output_tokens")
UNKNOWN = unknown_output_tokens(CHAT)

FIGURES = st.one_of(
    st.integers(0, 3 * MOST_TOKENS).map(str),
    st.integers(0, 400_000).map(lambda figure: f"{figure}.0"),
    st.integers(1, 99).flatmap(lambda figure: st.sampled_from([f"{figure}e3", f"{figure}.0E+3", f"{figure / 10}e4"])),
    st.integers(0, 400_000).map(lambda figure: f'"{figure}"'),
    st.sampled_from(["null", "-1", "-7e3", "true", '"many"', "[9]", '{"max_tokens": 9}', "1" * 30]),
)


@st.composite
def members(draw: st.DrawFn) -> str:
    """A member of a body: a name, which may be escaped, and a figure in some spelling."""
    name = draw(st.sampled_from((*NAMES, "metadata", "n")))
    at = draw(st.integers(-1, len(name) - 1))
    spelled = name if at < 0 else f"{name[:at]}\\u{ord(name[at]):04x}{name[at + 1 :]}"
    space = draw(st.sampled_from(["", " ", "\t "]))
    if name == "n":
        return f'"{spelled}"{space}:{space}{draw(st.integers(-2, 9))}'
    return f'"{spelled}"{space}:{space}{draw(FIGURES)}'


def figure(value: Any) -> int:
    """The number that a lenient provider reads, -1 if it reads none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return -1
    try:
        return round(min(float(value), MOST_TOKENS))
    except ValueError:
        return -1


@given(st.lists(members(), max_size=6), st.text(max_size=20))
def test_the_estimate_is_what_a_parser_reads(spelled: list[str], text: str) -> None:
    """However names and figures are spelled, and however often: read with Python's own parser from the very bytes that
    a worker sends."""
    content = json.dumps(f'{text} "max_tokens": 123456 "n": 7')
    body = ", ".join([*spelled, '"model": "m"', f'"messages": [{{"role": "user", "content": {content}}}]'])
    raw = f'{{"custom_id": "\\"max_tokens\\": 9", "method": "POST", "url": "{CHAT}", "body": {{{body}}}}}'
    item = parse_line(raw.encode(), 0, 1, LineContext(CHAT, 64))
    assert isinstance(item, Item)
    measure = Measure(CHAT)
    work = WorkFile(
        lambda data: None, sizes=ShardSizes(9), bytes_at_most=99_999, lanes_at_most=1, on_item=measure.count
    )
    line = work_line(item)
    work.add(work.lane(Lane("openai", "m")), 0, line)
    sent = json.loads(read_work_lines(line)[0].body)
    stated = max(figure(sent.get(name)) for name in NAMES)
    answers = max(1, sent.get("n", 1))
    assert measure.usages() == {0: Usage(output_tokens=(UNKNOWN if stated < 0 else stated) * answers)}
