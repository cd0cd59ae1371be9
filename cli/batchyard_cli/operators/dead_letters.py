"""`dead-letters`: messages that were given up after their last try."""

from __future__ import annotations

import json
from typing import Any

import click

from batchyard_cli.command import Session, command, deployment_option
from batchyard_cli.exits import CommandFailed, Done
from batchyard_cli.operators.deployment import Deployed
from batchyard_cli.operators.queues import SUFFIX, Queue, dead_letter_queues

_PEEKED_AT_MOST = 10
_PEEK_SECONDS = 5
_HANDLED_SECONDS = 120
_ALREADY_MOVING = frozenset({"AWS.SimpleQueueService.UnsupportedOperation", "UnsupportedOperation"})


@click.group()
def dead_letters() -> None:
    """List messages that were given up, and send them again."""


@command(dead_letters, "list")
@deployment_option
@click.option("--peek", is_flag=True, help="Show what some of the messages are about (this hides them for 5 s).")
def list_dead_letters(session: Session, deployment: str | None, peek: bool) -> Done:
    """How many messages lie in each dead-letter queue."""
    deployed = session.deployed(deployment)
    found = dead_letter_queues(deployed)
    rows = [{"queue": _short(each), "messages": each.waiting, "in_flight": each.in_flight} for each in found]
    session.console.table("queue", ("queue", "messages", "in_flight"), rows, "There are no dead-letter queues.")
    if peek:
        for each in found:
            for body in _peek(deployed, each) if each.waiting else ():
                session.console.line("message", {"queue": _short(each), "body": body})
                session.console.write(f"{_short(each)}: {body[:500]}")
    total = sum(each.waiting for each in found)
    if total:
        session.console.say("Mend the cause first (docs/runbook.md); then `batchyard dead-letters replay --dry-run`.")
    return Done({"messages": total})


@command(dead_letters, "replay")
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
@deployment_option
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def replay(session: Session, queues: tuple[str, ...], deployment: str | None, dry_run: bool) -> Done:
    """Send the messages of QUEUEs (all, if none is named) back to where they came from. Doing it twice does no harm:
    results are counted once."""
    deployed = session.deployed(deployment)
    chosen = _chosen(dead_letter_queues(deployed), queues)
    rows = []
    for each in chosen:
        to = each.source.rpartition(":")[2] if each.source else deployed.function(_function(each))
        if not dry_run:
            _replay(deployed, each)
        rows.append({"queue": _short(each), "messages": each.waiting, "to": to})
    session.console.table("replay", ("queue", "messages", "to"), rows, "Nothing lies in those queues.")
    if rows:
        session.console.say(
            "Nothing was sent: that was a dry run." if dry_run else "Sent; `list` shows what comes back."
        )
    return Done({"messages": sum(each.waiting for each in chosen), "dry_run": dry_run})


def _chosen(found: list[Queue], names: tuple[str, ...]) -> list[Queue]:
    by_name = {_short(each): each for each in found}
    unknown = [name for name in names if name.removesuffix(SUFFIX) not in by_name]
    if unknown:
        raise CommandFailed(
            f"There is no dead-letter queue '{unknown[0]}'.", f"Use one of: {', '.join(by_name)}.", code="usage"
        )
    wanted = {name.removesuffix(SUFFIX) for name in names} or set(by_name)
    return [each for name, each in by_name.items() if name in wanted and each.waiting]


def _replay(deployed: Deployed, queue: Queue) -> None:
    from botocore.exceptions import ClientError

    if queue.source is None:
        _invoke_again(deployed, queue)
        return
    with deployed.asking("sqs:StartMessageMoveTask on the queue"):
        try:
            deployed.client("sqs").start_message_move_task(SourceArn=queue.arn, DestinationArn=queue.source)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _ALREADY_MOVING:
                raise


def _invoke_again(deployed: Deployed, queue: Queue) -> None:
    """What Lambda gave up is no message of a queue: the event is within it, and the function is invoked with it."""
    sqs, invoked = deployed.client("sqs"), 0
    with deployed.asking(f"lambda:InvokeFunction on {deployed.function(_function(queue))}, sqs:ReceiveMessage"):
        while invoked < queue.waiting:
            received = sqs.receive_message(
                QueueUrl=queue.url, MaxNumberOfMessages=10, VisibilityTimeout=_HANDLED_SECONDS
            ).get("Messages", [])
            if not received:
                return
            for message in received:
                event = json.loads(message["Body"]).get("requestPayload")
                if event is None:
                    raise CommandFailed(
                        f"A message of {queue.name} holds no event.", "Look at it with `list --peek`.", code="no_event"
                    )
                deployed.client("lambda").invoke(
                    FunctionName=deployed.function(_function(queue)),
                    InvocationType="Event",
                    Payload=json.dumps(event).encode(),
                )
                sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=message["ReceiptHandle"])
                invoked += 1


def _peek(deployed: Deployed, queue: Queue) -> list[str]:
    with deployed.asking("sqs:ReceiveMessage on the queue"):
        found: Any = deployed.client("sqs").receive_message(
            QueueUrl=queue.url, MaxNumberOfMessages=_PEEKED_AT_MOST, VisibilityTimeout=_PEEK_SECONDS
        )
    return [message["Body"] for message in found.get("Messages", [])]


def _short(queue: Queue) -> str:
    return queue.name.removesuffix(SUFFIX)


def _function(queue: Queue) -> str:
    """The function whose events lie in a queue that belongs to no other queue."""
    return _short(queue)
