"""Validate, with the OpenAI surface's lines and the deployed catalogue, against moto."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import orjson
import pytest

from batchyard.adapters import catalogue
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Key, Table
from batchyard.adapters.providers.openai.translator import OpenAITranslator
from batchyard.adapters.providers.translator import ProviderRequest
from batchyard.content.reading import Checks, InputLimits, ParseLine
from batchyard.core.batches import Batch, Stage, Status
from batchyard.core.copies import Copy, read_copy_line
from batchyard.core.errors import ConditionFailed, NotReady
from batchyard.core.files import File, FileRef, FileStatus
from batchyard.core.items import read_work_lines
from batchyard.core.keys import copies_key, file_key, manifest_key, work_key
from batchyard.core.routing import eligible
from batchyard.core.sharding import read_manifest
from batchyard.steps.validate import validate
from batchyard.surfaces.openai.lines import parse_line
from batchyard.surfaces.surface import LineContext
from tests.steps.running import ACCOUNT, BATCH, BATCH_ID, NOW, create_batch

ENDPOINT = "/v1/chat/completions"
FILE_ID = "file-1"
LIMITS = InputLimits(
    max_items=50,
    max_file_bytes=100_000,
    max_line_bytes=2_000,
    max_line_errors=5,
    shard_items=4,
    shard_bytes=4_000,
    dispatch_stride=8,
)


def line(number: int, *, model: str = "gpt-4o-mini", text: str = "hello", **changes: Any) -> bytes:
    fields = {
        "custom_id": f"request-{number}",
        "method": "POST",
        "url": ENDPOINT,
        "body": {"model": model, "messages": [{"role": "user", "content": text}]},
    }
    return orjson.dumps({name: value for name, value in (fields | changes).items() if value is not ...})


def parser(surface: str, endpoint: str) -> ParseLine:
    assert surface == "openai"
    return partial(parse_line, context=LineContext(endpoint))


@dataclass
class Desk:
    """A batch that waits to be validated."""

    table: Table
    batches: Batches
    files: Files
    objects: Objects
    batch: Batch
    now: int = NOW + 5
    runs: list[str] = field(default_factory=list)

    def upload(self, data: bytes, **changes: Any) -> None:
        self.objects.put(file_key(ACCOUNT, FILE_ID), data)
        self.files.put(replace(File(FILE_ID, ACCOUNT, "in.jsonl", "batch", len(data), NOW), **changes))

    def validate(self, limits: InputLimits = LIMITS, parser: Callable[[str, str], ParseLine] = parser) -> Batch:
        self.runs.append(f"run{len(self.runs)}")
        return validate(
            BATCH,
            run=self.runs[-1],
            clock=lambda: self.now,
            checks=Checks(
                limits=lambda surface: limits,
                parser=parser,
                route=lambda model, provider, endpoint, rules: eligible(
                    model, provider, catalogue.load(), endpoint, rules
                ),
            ),
            stores=Stores.of(self.table, self.objects),
        )

    def errors(self, data: bytes, limits: InputLimits = LIMITS) -> list[tuple[str, int | None]]:
        """(code, line) of what is wrong with `data`, after checking that nothing of it can run."""
        self.upload(data)
        batch = self.validate(limits)
        assert batch.status is Status.FAILED
        assert batch.plan is None
        assert self.written() == []
        assert all(error.message for error in batch.errors)
        return [(error.code, error.line) for error in batch.errors]

    def written(self) -> list[str]:
        keys = [
            key for run in self.runs for key in (work_key(ACCOUNT, BATCH_ID, run), manifest_key(ACCOUNT, BATCH_ID, run))
        ]
        return [key for key in keys if self.objects.head(key) is not None]


@pytest.fixture
def desk(batches: Batches, table: Table, objects: Objects) -> Desk:
    return Desk(table, batches, Files(table), objects, create_batch(batches))


def test_a_good_file_becomes_a_plan_a_manifest_and_a_work_file(desk: Desk) -> None:
    """Every line stands in the work file as it will be sent, in the shard that the manifest says, by lane."""
    models = ["gpt-4o-mini", "gpt-4o"]
    data = b"\n".join(line(n, model=models[n % 2]) for n in range(12))
    desk.upload(data)
    batch = desk.validate()
    assert batch.status is Status.IN_PROGRESS
    assert batch.status_times["in_progress"] == desk.now
    assert batch.model is None
    plan = batch.plan
    assert plan is not None
    assert (plan.items, plan.shards, plan.stride, plan.one_chain, plan.shard_concurrency) == (12, 4, 8, False, None)
    assert [(lane.lane.model, lane.first_shard, lane.shards, lane.items) for lane in plan.lanes] == [
        ("gpt-4o-mini", 0, 2, 6),
        ("gpt-4o", 2, 2, 6),
    ]
    manifest = read_manifest(desk.objects.get(manifest_key(ACCOUNT, BATCH_ID, plan.run)))
    assert [shard.number for shard in manifest] == [0, 1, 2, 3]
    seen = {}
    for shard in manifest:
        data = desk.objects.get(work_key(ACCOUNT, BATCH_ID, plan.run), shard.offset, shard.length)
        for item in read_work_lines(data):
            seen[item.index] = item.custom_id
            assert orjson.loads(item.body)["model"] == plan.lanes[shard.lane].lane.model
    assert seen == {n: f"request-{n}" for n in range(12)}
    file = desk.files.get(FileRef(ACCOUNT, FILE_ID))
    assert file is not None and file.lines == 12


def test_one_model_is_the_batchs_model_and_a_hint_limits_the_chain(desk: Desk) -> None:
    """The batch says which model all items share; a concurrency hint becomes one chain that keeps it."""
    desk.table.update(Key(f"account#{ACCOUNT}", f"batch#{BATCH_ID}"), set={"concurrency": 10})
    desk.upload(b"\n".join(line(n) for n in range(12)))
    batch = desk.validate()
    assert batch.model == "gpt-4o-mini"
    assert batch.plan is not None
    assert batch.plan.one_chain
    assert batch.plan.stride * (batch.plan.shard_concurrency or 99) <= 10


def test_a_namespaced_model_is_sent_under_the_providers_name(desk: Desk) -> None:
    """`openai/gpt-4o-mini` reaches OpenAI as `gpt-4o-mini`, in the lane and in what is sent on that lane."""
    desk.upload(line(0, model="openai/gpt-4o-mini"))
    batch = desk.validate()
    assert batch.plan is not None
    lane = batch.plan.lanes[0].lane
    assert lane.model == "gpt-4o-mini"
    (item,) = read_work_lines(desk.objects.get(work_key(ACCOUNT, BATCH_ID, batch.plan.run)))
    sent = OpenAITranslator().request("/v1/chat/completions", item.body, lane)
    assert isinstance(sent, ProviderRequest) and orjson.loads(sent.body)["model"] == "gpt-4o-mini"
    assert batch.model == "openai/gpt-4o-mini"


def test_identical_items_are_sent_once_if_the_batch_wants_that(desk: Desk) -> None:
    """Copies are in no shard, but in a file of their own, and count as items; without the wish all are sent."""
    texts = ["a", "b", "a", "a", "c", "b"]
    data = b"\n".join(line(n, text=text) for n, text in enumerate(texts))
    desk.upload(data)
    desk.table.update(Key(f"account#{ACCOUNT}", f"batch#{BATCH_ID}"), set={"identical_once": True})
    plan = desk.validate().plan
    assert plan is not None and (plan.items, plan.copies) == (6, 3)
    assert [entry.items for entry in plan.lanes] == [3]
    work = read_work_lines(desk.objects.get(work_key(ACCOUNT, BATCH_ID, "run0")))
    assert [item.index for item in work] == [0, 1, 4]
    copies = desk.objects.get(copies_key(ACCOUNT, BATCH_ID, "run0")).splitlines()
    assert [read_copy_line(each) for each in copies] == [
        Copy(2, "request-2", 0),
        Copy(3, "request-3", 0),
        Copy(5, "request-5", 1),
    ]


def test_identical_items_are_sent_each_by_itself_by_default(desk: Desk) -> None:
    """Nobody who asks ten times for the same gets one answer ten times."""
    desk.upload(b"\n".join(line(n) for n in range(6)))
    plan = desk.validate().plan
    assert plan is not None and (plan.items, plan.copies, plan.lanes[0].items) == (6, 0, 6)
    assert desk.objects.head(copies_key(ACCOUNT, BATCH_ID, "run0")) is None


def test_odd_but_valid_files_run(desk: Desk) -> None:
    """BOM, CRLF, blank lines, no last newline, U+2028 and NUL inside strings: six items, and text arrives unchanged."""
    texts = ["a", "\u2028\u2029\u0085", "\x00", "\N{GRINNING FACE}" * 200, "tab\tand\nnewline", "é"]
    lines = [line(n, text=text) for n, text in enumerate(texts)]
    desk.upload(b"\xef\xbb\xbf" + lines[0] + b"\r\n\r\n" + lines[1] + b"\n\n \n" + b"\r\n".join(lines[2:]))
    batch = desk.validate()
    assert batch.status is Status.IN_PROGRESS, batch.errors
    assert batch.plan is not None
    items = read_work_lines(desk.objects.get(work_key(ACCOUNT, BATCH_ID, batch.plan.run)))
    assert [orjson.loads(item.body)["messages"][0]["content"] for item in items] == texts


def test_wrong_lines_fail_the_batch_with_their_numbers(desk: Desk) -> None:
    """Each kind of wrong line is reported with its code and its number, counted from 1 with blank lines."""
    data = b"\n".join(
        [line(0), b"", b"{not json", line(0), line(2, url="/v1/embeddings"), line(3, model="no-such-model")]
    )
    assert desk.errors(data) == [
        ("invalid_json_line", 3),
        ("duplicate_custom_id", 4),
        ("url_mismatch", 5),
        ("model_not_found", 6),
    ]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"custom_id": ...}, "missing_required_parameter"),
        ({"method": "GET"}, "invalid_method"),
        ({"body": ...}, "missing_required_parameter"),
        ({"body": {"messages": []}}, "missing_required_parameter"),
        ({"provider": "nobody"}, "provider_not_found"),
    ],
)
def test_a_line_that_lacks_something_is_reported(desk: Desk, changes: dict[str, Any], code: str) -> None:
    """What the surface or routing refuses is reported with its line."""
    assert desk.errors(line(0) + b"\n" + line(1, **changes)) == [(code, 2)]


def test_a_repeated_custom_id_is_found_whatever_its_length(desk: Desk) -> None:
    """Ids shorter and longer than a digest are compared whole."""
    ids = ["a", "b" * 15, "c" * 16, "d" * 500, "a", "b" * 15, "c" * 16, "d" * 500, "d" * 499]
    data = b"\n".join(line(n, custom_id=custom_id) for n, custom_id in enumerate(ids))
    assert desk.errors(data) == [("duplicate_custom_id", n) for n in (5, 6, 7, 8)]


def test_a_line_that_is_too_long_is_reported(desk: Desk) -> None:
    """A line of one byte too many fails."""
    room = LIMITS.max_line_bytes - len(line(0, text=""))
    assert desk.errors(line(0) + b"\n" + line(1, text="x" * (room + 1))) == [("line_too_long", 2)]


def test_a_line_of_exactly_the_limit_runs(desk: Desk) -> None:
    """The limit itself is allowed."""
    desk.upload(line(0, text="x" * (LIMITS.max_line_bytes - len(line(0, text="")))))
    assert desk.validate().status is Status.IN_PROGRESS


def test_errors_are_capped(desk: Desk) -> None:
    """After the fifth error a last entry says that there may be more."""
    codes = desk.errors(b"\n".join([b"x"] * 20))
    assert codes == [("invalid_json_line", n) for n in range(1, 6)] + [("too_many_errors", None)]


def test_as_many_items_as_allowed_run_and_one_more_fails(desk: Desk) -> None:
    """51 requests under a limit of 50 fail as too_many_tasks."""
    assert desk.errors(b"\n".join(line(n) for n in range(51))) == [("too_many_tasks", None)]


def test_fifty_items_run(desk: Desk) -> None:
    """The limit itself is allowed; blank lines do not count."""
    desk.upload(b"\n\n".join(line(n) for n in range(50)) + b"\n\n")
    assert desk.validate().total_items == 50


@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf", b" \r\n\t\n"])
def test_a_file_without_lines_fails(desk: Desk, data: bytes) -> None:
    """Nothing but blank lines is empty_file."""
    assert desk.errors(data) == [("empty_file", None)]


def test_a_file_that_is_too_large_fails(desk: Desk) -> None:
    """By its row, or by its bytes if the row does not say how many they are."""
    data = b"\n".join(line(n) for n in range(5))
    assert desk.errors(data, replace(LIMITS, max_file_bytes=len(data) - 1)) == [("file_too_large", None)]


def test_bytes_beyond_what_the_row_says_fail(desk: Desk) -> None:
    """A presigned upload may be larger than announced."""
    data = b"\n".join(line(n) for n in range(5))
    desk.upload(data, bytes=1)
    batch = desk.validate(replace(LIMITS, max_file_bytes=len(data) - 1))
    assert [error.code for error in batch.errors] == ["file_too_large"]


def test_too_many_models_fail(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan stands in one row, so its lanes are limited."""
    monkeypatch.setattr("batchyard.steps.validate.MODELS_AT_MOST", 1)
    assert desk.errors(line(0) + b"\n" + line(1, model="gpt-4o")) == [("too_many_models", None)]


def test_a_deleted_file_fails_the_batch(desk: Desk) -> None:
    """A file that is gone fails the batch asynchronously, and says which file."""
    batch = desk.validate()
    assert [(error.code, error.param) for error in batch.errors] == [("file_not_found", "input_file_id")]
    assert FILE_ID in batch.errors[0].message


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expires_at": NOW + 5}, "file_not_found"),
        ({"status": FileStatus.ERROR, "status_details": "x"}, "invalid_file"),
    ],
)
def test_a_file_that_cannot_be_read_any_more_fails(desk: Desk, changes: dict[str, Any], code: str) -> None:
    """Expired and broken files have rows, but are no input."""
    desk.upload(line(0), **changes)
    assert [error.code for error in desk.validate().errors] == [code]


def test_a_file_whose_bytes_are_gone_fails(desk: Desk) -> None:
    """The row is there, the object not."""
    desk.upload(line(0))
    desk.objects.delete(file_key(ACCOUNT, FILE_ID))
    assert [error.code for error in desk.validate().errors] == ["file_not_found"]
    assert desk.written() == []


def test_a_file_on_its_way_is_waited_for_but_not_for_ever(desk: Desk) -> None:
    """NotReady while an upload is being joined; failed once it is an hour late; validated when the bytes come."""
    desk.upload(line(0), status=FileStatus.UPLOADED)
    desk.objects.delete(file_key(ACCOUNT, FILE_ID))
    with pytest.raises(NotReady):
        desk.validate()
    desk.objects.put(file_key(ACCOUNT, FILE_ID), line(0))
    assert desk.validate().status is Status.IN_PROGRESS
    file = desk.files.get(FileRef(ACCOUNT, FILE_ID))
    assert file is not None and file.status is FileStatus.PROCESSED


def test_a_file_that_never_comes_fails_the_batch(desk: Desk) -> None:
    """The wait ends with an error that says so."""
    desk.upload(line(0), status=FileStatus.UPLOADED)
    desk.objects.delete(file_key(ACCOUNT, FILE_ID))
    desk.now = NOW + 3601
    assert [error.code for error in desk.validate().errors] == ["file_not_ready"]


def test_a_batch_on_an_upload_that_was_given_up_fails_at_once(desk: Desk) -> None:
    """Nobody waits for bytes that will never come, and the error says what to do."""
    desk.upload(line(0), status=FileStatus.UPLOADED, upload_id="upload_1", created_at=NOW - 4_500)
    desk.objects.delete(file_key(ACCOUNT, FILE_ID))
    (error,) = desk.validate().errors
    assert error.code == "invalid_file" and "new upload" in error.message


def test_a_second_run_changes_nothing(desk: Desk) -> None:
    """Once there is a plan, Validate returns at once and writes nothing."""
    desk.upload(line(0))
    first = desk.validate()
    desk.objects.delete(file_key(ACCOUNT, FILE_ID))
    assert desk.validate() == first
    assert desk.written() == [work_key(ACCOUNT, BATCH_ID, "run0"), manifest_key(ACCOUNT, BATCH_ID, "run0")]


def test_of_two_runs_at_once_one_wins_and_the_other_leaves_nothing(desk: Desk) -> None:
    """The run that comes second deletes its objects and returns the winner's plan."""
    desk.upload(line(0))

    def parser_that_is_overtaken(surface: str, endpoint: str) -> ParseLine:
        desk.validate()
        return parser(surface, endpoint)

    batch = desk.validate(parser=parser_that_is_overtaken)
    assert batch.plan is not None and batch.plan.run == "run1"
    assert desk.written() == [work_key(ACCOUNT, BATCH_ID, "run1"), manifest_key(ACCOUNT, BATCH_ID, "run1")]


def test_a_write_whose_answer_was_lost_keeps_its_objects(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK repeats it, and then the condition does not hold: the plan is this run's all the same."""
    desk.upload(line(0))
    set_plan = desk.batches.set_plan

    def set_plan_twice(*arguments: Any) -> Batch:
        set_plan(*arguments)
        return set_plan(*arguments)

    monkeypatch.setattr(desk.batches, "set_plan", set_plan_twice)
    batch = desk.validate()
    assert batch.plan is not None and batch.plan.run == "run0"
    assert desk.written() == [work_key(ACCOUNT, BATCH_ID, "run0"), manifest_key(ACCOUNT, BATCH_ID, "run0")]


def test_a_run_that_comes_late_cannot_fail_a_batch_that_runs(desk: Desk) -> None:
    """While one run reads, another makes the plan and the file is deleted, as its owner may: the first finds nothing to
    read, and the batch runs on."""
    desk.upload(line(0))

    def parser_that_is_overtaken(surface: str, endpoint: str) -> ParseLine:
        desk.validate()
        desk.objects.delete(file_key(ACCOUNT, FILE_ID))
        return parser(surface, endpoint)

    batch = desk.validate(parser=parser_that_is_overtaken)
    assert (batch.status, batch.errors) == (Status.IN_PROGRESS, ())
    assert desk.batches.open.oldest() != []


@pytest.mark.parametrize("data", [line(0), b"wrong"])
def test_a_cancel_during_validation_stays_a_cancel(desk: Desk, data: bytes) -> None:
    """Neither a plan nor a failure overwrites `cancelling`."""
    desk.upload(data)

    def parser_while_cancelled(surface: str, endpoint: str) -> ParseLine:
        desk.batches.enter(desk.batch, Status.CANCELLING, NOW + 6)
        return parser(surface, endpoint)

    assert desk.validate(parser=parser_while_cancelled).status is Status.CANCELLING
    assert desk.written() == []


def test_long_names_in_errors_do_not_bloat_the_row(desk: Desk) -> None:
    """What a line says is quoted at most in part."""
    limits = replace(LIMITS, max_line_bytes=50_000)
    desk.upload(b"\n".join(line(n, model=f"no-such-model-{n}", provider="p" * 9_000) for n in range(5)))
    batch = desk.validate(limits)
    assert batch.status is Status.FAILED
    assert all(len(error.message) < 1000 for error in batch.errors)


def test_a_batch_says_how_far_its_validation_is(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queued while its input is on its way, also for those who look now; routing from the moment that lines are read;
    each is written once, and a cancel that comes first is left alone."""
    noted: list[Stage] = []
    note = Batches.note_stage
    monkeypatch.setattr(Batches, "note_stage", lambda self, batch, to: (noted.append(to), note(self, batch, to)))
    desk.files.put(File(FILE_ID, ACCOUNT, "in.jsonl", "batch", 5, NOW, status=FileStatus.UPLOADED))
    for _ in range(2):
        with pytest.raises(NotReady):
            desk.validate()
        assert desk.batches.current(BATCH).stage is Stage.QUEUED
    desk.upload(line(1))
    assert desk.validate().status is Status.IN_PROGRESS
    assert noted == [Stage.QUEUED, Stage.ROUTING]
    desk.batches.enter(desk.batches.current(BATCH), Status.CANCELLING, NOW)
    with pytest.raises(ConditionFailed):
        desk.batches.note_stage(desk.batch, Stage.QUEUED)
    assert desk.validate().status is Status.CANCELLING
