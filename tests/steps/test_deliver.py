"""Deliveries from a batch's end to the last try, on moto's table and key."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from batchyard.adapters.aws import clients
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.deliveries import Deliveries
from batchyard.adapters.aws.table import Key, Table
from batchyard.adapters.aws.webhooks import Webhooks
from batchyard.adapters.webhook_sender import WebhookReply
from batchyard.core.batches import Batch, BatchRef, Status
from batchyard.core.deliveries import (
    LEASE_SECONDS,
    MOST_TRIES,
    OF_ACCOUNT,
    Delivery,
    DeliveryProblem,
    DeliveryRef,
    DeliveryState,
    delivery_id,
)
from batchyard.core.errors import Conflict, InvalidRequest, NotFound, NotReady
from batchyard.core.webhooks import WebhookStyle, WebhookTarget, headers
from batchyard.steps.announce import announce
from batchyard.steps.deliver import Outside, deliver
from batchyard.steps.webhooks import remove_webhook, replay, set_webhook
from batchyard.surfaces.webhook_events import write_event

NOW = 1_790_000_000
FAR = 4_000_000_000
ACCOUNT, BATCH_ID = "acct_1", "batch_01k9qvb2m4h8n6p0r3t5v7w9x1"
REF = BatchRef(ACCOUNT, BATCH_ID)
TARGET = WebhookTarget("https://example.com/hook", "a-strong-shared-secret", WebhookStyle.OPENAI)
OK = WebhookReply(200)
BROKEN = WebhookReply(500, DeliveryProblem.STATUS, "The receiver said 500.")
HANGS = WebhookReply(problem=DeliveryProblem.TIMED_OUT)


@dataclass
class World:
    """A table with one terminal batch, a clock, and a receiver that answers `replies`, the last one for ever."""

    table: Table
    batches: Batches
    deliveries: Deliveries
    webhooks: Webhooks
    now: int = NOW
    replies: list[WebhookReply] = field(default_factory=lambda: [OK])
    sent: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    started: list[DeliveryRef] = field(default_factory=list)

    def send(self, url: str, signed: Mapping[str, str], body: bytes) -> WebhookReply:
        self.sent.append((url, signed, body))
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def set(self, target: WebhookTarget = TARGET) -> None:
        set_webhook(ACCOUNT, target, now=self.now, webhooks=self.webhooks, check_url=lambda _: None)

    def announce(self, ref: BatchRef = REF) -> DeliveryRef | None:
        return announce(
            ref,
            now=self.now,
            batches=self.batches,
            webhooks=self.webhooks,
            deliveries=self.deliveries,
            write_event=write_event,
            start=self.started.append,
        )

    def deliver(self, ref: DeliveryRef) -> Delivery | None:
        outside = Outside(self.send, lambda: float(self.now), lambda: 0.0)
        return deliver(ref, deliveries=self.deliveries, webhooks=self.webhooks, outside=outside)

    def sweep(self) -> None:
        for ref in list(self.deliveries.due(self.now, 100)):
            self.deliver(ref)

    def get(self, ref: DeliveryRef) -> Delivery:
        found = self.deliveries.get(ref)
        assert found is not None
        return found

    def due(self) -> list[DeliveryRef]:
        return list(self.deliveries.due(FAR, 100))

    def batch(self, batch_id: str = BATCH_ID, status: Status = Status.COMPLETED) -> Batch:
        made = Batch(batch_id, ACCOUNT, "openai", "/v1/embeddings", "file-1", "24h", status, NOW, FAR)
        made = replace(made, status_times={str(status): NOW})
        self.batches.create(made)
        return made


@pytest.fixture
def world(table: Table, batches: Batches) -> World:
    key_id = clients.client("kms").create_key()["KeyMetadata"]["KeyId"]
    made = World(table, batches, Deliveries(table), Webhooks(table, lambda: clients.client("kms"), key_id))
    made.batch()
    return made


@pytest.fixture
def pending(world: World) -> DeliveryRef:
    """A delivery that was just made."""
    world.set()
    ref = world.announce()
    assert ref is not None
    return ref


# Making them.


def test_nobody_is_told_if_nobody_wants_to_be(world: World) -> None:
    """No webhook, no delivery, nothing started."""
    assert world.announce() is None
    assert world.due() == []
    assert world.started == []


def test_each_batch_is_announced_once(world: World, pending: DeliveryRef) -> None:
    """Notify may run again at any time, and after the first attempt: one delivery, started once."""
    world.announce()
    world.deliver(pending)
    world.now += 100
    assert world.announce() == pending
    assert world.started == [pending]
    assert len(world.sent) == 1
    assert world.due() == []


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED])
def test_every_terminal_status_is_announced(world: World, status: Status) -> None:
    """The event is called after it."""
    world.set()
    batch = world.batch("batch_01k9qvb2m4h8n6p0r3t5v7w9x2", status)
    ref = world.announce(batch.ref)
    assert ref is not None
    assert world.get(ref).event == f"batch.{status}"


def test_a_batch_that_its_owner_deletes_is_announced_all_the_same(world: World) -> None:
    """It may go the moment it has ended: its own webhook stays, so that its delivery is tried as long as any other and
    can be replayed; whoever announces the batch once more finds nothing to do."""
    batch = world.batch("batch_01k9qvb2m4h8n6p0r3t5v7w9x5")
    world.table.transact([world.webhooks.write_of(batch, TARGET)])
    ref = world.announce(batch.ref)
    assert ref is not None
    world.replies = [BROKEN, OK]
    world.deliver(ref)
    world.batches.delete(batch)
    assert world.announce(batch.ref) is None
    world.now += 60
    world.deliver(ref)
    assert world.get(ref).state is DeliveryState.DELIVERED
    assert [url for url, *_ in world.sent] == [TARGET.url, TARGET.url]


def test_a_batch_that_runs_is_not_announced(world: World) -> None:
    """Notify is asked again when it is over."""
    batch = world.batch("batch_01k9qvb2m4h8n6p0r3t5v7w9x3", Status.FINALIZING)
    with pytest.raises(NotReady):
        world.announce(batch.ref)


def test_a_batchs_own_webhook_goes_before_its_accounts(world: World) -> None:
    """One delivery, to the batch's, signed with its secret and in its style."""
    world.set()
    own = WebhookTarget("https://own.example/hook", "another-secret", WebhookStyle.BATCHROUTER)
    batch_id = "batch_01k9qvb2m4h8n6p0r3t5v7w9x4"
    made = Batch(batch_id, ACCOUNT, "openai", "/v1/embeddings", "file-1", "24h", Status.COMPLETED, 1, FAR)
    made = replace(made, status_times={"completed": NOW})
    world.batches.create(made, beside=[world.webhooks.write_of(made, own)])
    ref = world.announce(made.ref)
    assert ref is not None
    world.deliver(ref)
    ((url, signed, body),) = world.sent
    assert url == own.url
    assert signed == headers(own, ref.delivery_id, body, NOW)


# Trying them.


def test_a_delivery_is_signed_and_recorded(world: World, pending: DeliveryRef) -> None:
    """What was sent, the reply, and that nothing is due any more."""
    done = world.deliver(pending)
    assert done is not None
    ((url, signed, body),) = world.sent
    assert url == TARGET.url
    assert body == write_event(world.batches.current(REF), TARGET.style, pending.delivery_id)
    assert signed == headers(TARGET, pending.delivery_id, body, NOW)
    assert done.state is DeliveryState.DELIVERED
    assert [(attempt.status, attempt.at) for attempt in done.attempts] == [(200, NOW)]
    assert world.get(pending) == done
    assert world.due() == []


def test_eight_tries_with_one_id_and_one_body(world: World, pending: DeliveryRef) -> None:
    """A receiver that is broken for a day: each try is recorded, the last one ends it."""
    world.replies = [BROKEN]
    while world.get(pending).is_pending:
        world.now = world.get(pending).due_at
        world.sweep()
    assert len(world.sent) == MOST_TRIES
    assert {signed["webhook-id"] for _, signed, _ in world.sent} == {pending.delivery_id}
    assert len({body for _, _, body in world.sent}) == 1
    assert len({signed["webhook-timestamp"] for _, signed, _ in world.sent}) == MOST_TRIES
    assert len(world.get(pending).attempts) == MOST_TRIES
    assert world.get(pending).state is DeliveryState.FAILED
    assert NOW + 23 * 3600 < world.now < NOW + 24 * 3600
    assert world.due() == []


def test_it_arrives_once_its_receiver_is_well(world: World, pending: DeliveryRef) -> None:
    """Two failures, then a success."""
    world.replies = [BROKEN, WebhookReply(problem=DeliveryProblem.TLS), OK]
    while world.get(pending).is_pending:
        world.now = world.get(pending).due_at
        world.sweep()
    assert [attempt.status for attempt in world.get(pending).attempts] == [500, None, 200]
    assert world.get(pending).state is DeliveryState.DELIVERED


def test_it_is_not_tried_before_it_is_due(world: World, pending: DeliveryRef) -> None:
    """A second start of the same delivery does nothing."""
    world.replies = [BROKEN]
    world.deliver(pending)
    assert world.deliver(pending) is None
    assert len(world.sent) == 1
    assert world.deliver(DeliveryRef(ACCOUNT, "evt_none")) is None


def test_two_at_once_make_one_attempt(world: World, pending: DeliveryRef, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one read the delivery before the first one claimed it."""
    seen = world.get(pending)
    world.deliver(pending)
    monkeypatch.setattr(world.deliveries, "get", lambda ref: seen)
    assert world.deliver(pending) is None
    assert len(world.sent) == 1


def test_the_url_and_secret_of_today_are_used(world: World, pending: DeliveryRef) -> None:
    """Mended between two tries: the same event goes to the new place."""
    world.replies = [BROKEN, OK]
    world.deliver(pending)
    mended = replace(TARGET, url="https://mended.example/hook", secret="a-new-secret")
    world.set(mended)
    world.now = world.get(pending).due_at
    world.deliver(pending)
    url, signed, body = world.sent[1]
    assert url == mended.url == world.get(pending).url
    assert signed == headers(mended, pending.delivery_id, body, world.now)


def test_a_removed_webhook_ends_its_deliveries(world: World, pending: DeliveryRef) -> None:
    """At their next try, and nothing is sent."""
    remove_webhook(ACCOUNT, webhooks=world.webhooks)
    done = world.deliver(pending)
    assert done is not None
    assert (done.state, done.attempts[-1].problem) == (DeliveryState.FAILED, DeliveryProblem.REMOVED)
    assert world.sent == []


def test_a_slow_receiver_is_left_alone_and_delays_nobody_else(world: World, pending: DeliveryRef) -> None:
    """After a time-out its other deliveries are put off without a try; those to other receivers go on."""
    world.replies = [HANGS]
    others = []
    for number in range(5):
        others.append(world.announce(world.batch(f"batch_01k9qvb2m4h8n6p0r3t5v7w9y{number}").ref))
    world.deliver(pending)
    world.sweep()
    assert len(world.sent) == 1
    for ref in others:
        assert ref is not None
        assert (world.get(ref).tries, world.get(ref).due_at > NOW) == (0, True)
    world.set(replace(TARGET, url="https://quick.example/"))
    quick = world.announce(world.batch("batch_01k9qvb2m4h8n6p0r3t5v7w9z1").ref)
    assert quick is not None
    world.replies = [OK]
    world.deliver(quick)
    assert world.get(quick).state is DeliveryState.DELIVERED
    world.now += 120
    world.sweep()
    assert all(ref and world.get(ref).state is DeliveryState.DELIVERED for ref in others)


def test_a_receiver_that_hangs_for_a_day_is_given_up(world: World, pending: DeliveryRef) -> None:
    """Being put off has an end: the delivery fails within a day and some minutes."""
    world.replies = [HANGS]
    for _ in range(1000):
        if not world.get(pending).is_pending:
            break
        world.now = max(world.now, world.get(pending).due_at)
        world.sweep()
    assert world.get(pending).state is DeliveryState.FAILED
    assert world.now <= NOW + 25 * 3600


def test_a_fault_of_ours_is_tried_again_for_a_day(
    world: World, pending: DeliveryRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that cannot be used, say: each run fails, costs no try, and is made again a minute later; in the end the
    delivery has failed, and says why."""

    def broken(*_: object) -> None:
        raise RuntimeError("KMS says no")

    monkeypatch.setattr(world.webhooks, "target", broken)
    for hours in (0, 1, 23):
        world.now = max(NOW + hours * 3600, world.get(pending).due_at)
        with pytest.raises(RuntimeError):
            world.sweep()
        assert (world.get(pending).tries, world.get(pending).due_at) == (0, world.now + LEASE_SECONDS)
    world.now = NOW + 25 * 3600
    world.sweep()
    assert world.get(pending).state is DeliveryState.FAILED
    assert world.get(pending).attempts[-1].problem is DeliveryProblem.OURS
    assert world.due() == []


# Replaying them.


def test_a_replay_is_the_same_event_again(world: World, pending: DeliveryRef) -> None:
    """Same id and body, a new time and signature; started at once."""
    world.deliver(pending)
    world.now += 5000
    again = replay(pending, now=world.now, deliveries=world.deliveries, start=world.started.append)
    assert again.replays == 1
    assert world.started == [pending, pending]
    world.deliver(pending)
    (_, first, body), (_, second, same) = world.sent
    assert body == same
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) == int(first["webhook-timestamp"]) + 5000
    assert len(world.get(pending).attempts) == 2


def test_a_replay_of_another_account_finds_nothing(world: World, pending: DeliveryRef) -> None:
    """An id alone gives no access."""
    with pytest.raises(NotFound):
        replay(replace(pending, account_id="acct_2"), now=NOW, deliveries=world.deliveries, start=world.started.append)


def test_a_replay_during_an_attempt_is_refused(
    world: World, pending: DeliveryRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was faster wins; the caller is asked to look again."""
    seen = world.get(pending)
    world.deliver(pending)
    monkeypatch.setattr(world.deliveries, "get", lambda ref: seen)
    with pytest.raises(Conflict):
        replay(pending, now=NOW, deliveries=world.deliveries, start=world.started.append)


# Setting webhooks.


def test_bad_webhooks_are_not_set(world: World) -> None:
    """An unsafe URL, a secret that is too short."""
    for target, problem in ((TARGET, "It leads inside."), (replace(TARGET, secret="short"), None)):
        with pytest.raises(InvalidRequest):
            set_webhook(ACCOUNT, target, now=NOW, webhooks=world.webhooks, check_url=lambda _, found=problem: found)
    assert world.webhooks.of_account(ACCOUNT) is None


def test_secrets_are_encrypted_for_their_account_and_owner(world: World) -> None:
    """The row has no secret in it, and a row copied to another account or batch cannot be read."""
    world.set()
    (row,) = world.table.query(f"account#{ACCOUNT}", prefix="webhook#")
    assert TARGET.secret.encode() not in repr(row).encode()
    assert world.webhooks.target(ACCOUNT, OF_ACCOUNT, TARGET.style) == TARGET
    for account_id, owner in (("acct_2", OF_ACCOUNT), (ACCOUNT, BATCH_ID)):
        world.table.put(Key(f"account#{account_id}", f"webhook#{owner}"), row)
        with pytest.raises(ClientError, match="InvalidCiphertextException"):
            world.webhooks.target(account_id, owner, TARGET.style)


# At each AWS call.


class Killed(BaseException):
    """The function's process is gone."""


@dataclass
class Fragile:
    """A boto3 client whose Nth call, of all such clients, kills its caller: before it happens, or after."""

    client: Any
    calls: list[str]
    nth: int
    after: bool

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.client, name)

        def fragile(**arguments: Any) -> Any:
            self.calls.append(name)
            dies = len(self.calls) == self.nth
            if dies and not self.after:
                raise Killed
            reply = call(**arguments)
            if dies:
                raise Killed
            return reply

        return fragile


@pytest.mark.parametrize(("replies", "after"), [([HANGS, OK], False), ([BROKEN, OK], True)], ids=["before", "after"])
def test_a_delivery_survives_any_call(world: World, replies: list[WebhookReply], after: bool) -> None:
    """Killed at each AWS call of making and of attempting it: it arrives, under one id, one row in the end, and is sent
    at most once more than it would have been."""
    world.set()
    for nth in itertools.count(1):
        batch = world.batch(f"batch_01k9qvb2m4h8n6p0r3t5v7w{nth:03d}")
        expected = DeliveryRef(ACCOUNT, delivery_id(batch.id, OF_ACCOUNT))
        world.sent, world.replies = [], list(replies)
        calls: list[str] = []
        died = _run(_dying(world, calls, nth, after), batch.ref, expected)
        for _ in range(10):
            world.announce(batch.ref)
            world.sweep()
            if not world.get(expected).is_pending:
                break
            world.now = max(world.now + 1, world.get(expected).due_at)
        assert world.get(expected).state is DeliveryState.DELIVERED, (nth, calls)
        assert {signed["webhook-id"] for _, signed, _ in world.sent} == {expected.delivery_id}
        assert len({body for _, _, body in world.sent}) == 1
        assert len(world.sent) <= len(replies) + 1
        assert world.due() == [], (nth, calls)
        world.now += LEASE_SECONDS + 3600
        if not died:
            assert len(calls) >= 8
            return


def _dying(world: World, calls: list[str], nth: int, after: bool) -> World:
    """The same world, seen by a function that will be killed."""
    table = Table(Fragile(clients.client("dynamodb"), calls, nth, after), world.table._name)  # type: ignore[arg-type]
    kms: Any = Fragile(clients.client("kms"), calls, nth, after)
    webhooks = Webhooks(table, lambda: kms, world.webhooks._key_id)
    return replace(world, table=table, batches=Batches(table), deliveries=Deliveries(table), webhooks=webhooks)


def _run(world: World, batch: BatchRef, delivery: DeliveryRef) -> bool:
    """Whether it was killed."""
    try:
        world.announce(batch)
        world.deliver(delivery)
    except Killed:
        return True
    return False
