"""Create: one batch from one request, however often the request comes.

The same idempotency key with the same request is the same batch, and so is the same batch id: a repeat answers what
the first call made, and starts the execution again in case the first call died before it did (AWS starts it once).
Without an idempotency key, a request whose client says that it repeats it answers what the same request made a short
time ago; two equal requests that are not marked so are two batches.
An input that came with the request is kept as a file of the account (`content.input_files`), so that all batches are
run from files.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.caller_keys import CallerKeys
from batchyard.adapters.aws.idempotency import Idempotency, IdempotencyKeyUsed
from batchyard.adapters.aws.quotes import acceptance_of
from batchyard.adapters.aws.repeats import Repeats, note_of
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Put, Update
from batchyard.adapters.aws.webhooks import Webhooks
from batchyard.adapters.aws.workflow import Workflow
from batchyard.content import input_files
from batchyard.core.accounts import Account, Billing
from batchyard.core.batches import Batch, BatchRef, Status
from batchyard.core.errors import (
    BatchyardError,
    BooksDoNotBalance,
    ConditionFailed,
    Conflict,
    InvalidRequest,
    RateLimited,
)
from batchyard.core.files import FileRef
from batchyard.core.keys import file_key
from batchyard.core.ledger import InsufficientCredits, SpendLimitReached
from batchyard.core.limits import BatchTerms
from batchyard.core.quotes import QuoteRef
from batchyard.core.requests import BatchRequest
from batchyard.steps.reserve import check_credits

_KEEP_IDEMPOTENCY_KEY_SECONDS = 86_400


class NotStarted(BatchyardError):
    """The batch exists, its execution could not be started. Repeating the request starts it, and so does Sweep."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(f"the execution of {batch.id} could not be started")
        self.batch = batch


def create(
    request: BatchRequest,
    ref: BatchRef,
    *,
    now: int,
    terms: BatchTerms,
    stores: Stores,
    workflow: Workflow,
) -> Batch:
    """The batch; a new one is `validating`. `ref`: names a new one. Raises NotFound, InvalidRequest or PayloadTooLarge
    if its input cannot be one, InsufficientCredits or SpendLimitReached if its account cannot pay for it, RateLimited
    if that cannot be said at this moment, Conflict if its idempotency key stands for another request, NotStarted if
    only its execution is missing."""
    _check_provider(request, terms.providers)
    used = stores.batches.used(ref.account_id, request.idempotency_key)
    if used is not None:
        batch = _repeated(request, ref.account_id, used, stores.batches)
    elif request.is_repeat and (made_id := _made_by(request, ref.account_id, now, stores.repeats)):
        batch = _found(BatchRef(ref.account_id, made_id), stores.batches)
    else:
        batch = _made(request, ref, now, terms, stores)
    if batch.status is Status.VALIDATING:
        try:
            workflow.start(batch.ref)
        except Exception as error:
            raise NotStarted(batch) from error
    return batch


def _made(request: BatchRequest, ref: BatchRef, now: int, terms: BatchTerms, stores: Stores) -> Batch:
    """A new batch; or the one that was made meanwhile with this id or this idempotency key."""
    account = stores.accounts.glance(ref.account_id)
    batch = new_batch(request, ref, now, terms, account)
    own_file = None
    if request.lines is None:
        source = FileRef(ref.account_id, request.input_file_id)
        file = input_files.find_input(source, now, terms.files.max_bytes, stores)
        batch = replace(batch, expected_items=file.lines)
    else:
        input_files.check_size(request, request.lines, terms.limits)
    try:
        check_credits(replace(account, billing=batch.billing), batch.reserved_picousd, now, stores.ledger)
    except (InsufficientCredits, SpendLimitReached):
        earlier = _made_meanwhile(request, ref, stores.batches)
        if earlier is None:
            raise
        return earlier
    if request.lines is not None:
        own_file = input_files.own_file(batch, request.lines, now, terms.files.keep_days)
        batch = replace(batch, input_file_id=own_file.id, expected_items=own_file.lines)
        stores.files.expect(own_file.ref, now)
        stores.objects.put(file_key(ref.account_id, own_file.id), request.lines)
    try:
        if request.first_reply is not None:
            batch = replace(batch, first_reply=request.first_reply(batch))
        stores.batches.create(
            batch,
            _idempotency(request, batch, now),
            input_file=own_file,
            beside=_beside(request, batch, now, stores),
            daily_limit_picousd=account.daily_limit_picousd,
        )
    except IdempotencyKeyUsed as winner:
        if own_file is not None:
            stores.objects.delete(file_key(ref.account_id, own_file.id))
        return _repeated(request, ref.account_id, winner, stores.batches)
    except (InsufficientCredits, SpendLimitReached, RateLimited):
        earlier = stores.batches.get(ref, consistent=True)
        if earlier is not None:
            return earlier
        if own_file is not None:
            stores.objects.delete(file_key(ref.account_id, own_file.id))
        raise
    except ConditionFailed:
        made_id = _made_by(request, ref.account_id, now, stores.repeats) or ref.batch_id
        if own_file is not None and made_id != ref.batch_id:
            stores.objects.delete(file_key(ref.account_id, own_file.id))
        return _found(BatchRef(ref.account_id, made_id), stores.batches)
    return batch


def _made_meanwhile(request: BatchRequest, ref: BatchRef, batches: Batches) -> Batch | None:
    """The batch of another call with this idempotency key or this id, which has taken the account's last credits."""
    used = batches.used(ref.account_id, request.idempotency_key)
    return _repeated(request, ref.account_id, used, batches) if used else batches.get(ref, consistent=True)


def _beside(request: BatchRequest, batch: Batch, now: int, stores: Stores) -> list[Put | Update]:
    """The writes that are made with the batch, or not at all."""
    writes: list[Put | Update] = [
        *_own_key(request, batch, stores.caller_keys),
        *_own_webhook(request, batch, stores.webhooks),
        *_note(request, batch, now),
    ]
    if batch.quote_id is not None:
        writes.append(acceptance_of(QuoteRef(batch.account_id, batch.quote_id)))
    return writes


def _note(request: BatchRequest, batch: Batch, now: int) -> list[Update]:
    """The write by which a repeat of this request finds the batch; empty if it is found by something else."""
    mark = _mark(request)
    return [note_of(batch.account_id, mark, batch.id, is_repeat=request.is_repeat, now=now)] if mark else []


def _made_by(request: BatchRequest, account_id: str, now: int, repeats: Repeats) -> str | None:
    """The id of the batch that the same request made a short time ago."""
    mark = _mark(request)
    return repeats.made_by(account_id, mark, now) if mark else None


def _mark(request: BatchRequest) -> str | None:
    """What a request without an idempotency key is known again by; its caller's key is a part of it. None if it is
    known by something else: batches of the drop folder have ids that follow from the file."""
    if request.idempotency_key is not None or request.drop is not None:
        return None
    return hashlib.sha256(f"{request.fingerprint} {request.caller_key or ''}".encode()).hexdigest()


def _check_provider(request: BatchRequest, providers: tuple[str, ...]) -> None:
    if request.provider is not None and request.provider not in providers:
        raise InvalidRequest(
            f"The provider '{request.provider[:64]}' does not exist here. Use one of: {', '.join(providers)}.",
            param="provider",
            code="provider_not_found",
        )


def _own_key(request: BatchRequest, batch: Batch, caller_keys: CallerKeys | None) -> list[Put]:
    """The write that keeps the caller's own key, encrypted for this batch only; empty if the caller brought none."""
    if request.caller_key is None:
        return []
    if caller_keys is None:
        raise BooksDoNotBalance("a request brought a key, but none is taken here")
    return [caller_keys.write_of(batch, request.caller_key)]


def _own_webhook(request: BatchRequest, batch: Batch, webhooks: Webhooks | None) -> list[Put]:
    """The write that keeps the batch's own webhook; empty if it has none."""
    if request.webhook is None:
        return []
    if webhooks is None:
        raise BooksDoNotBalance("a request brought a webhook, but none is taken here")
    return [webhooks.write_of(batch, request.webhook)]


def _repeated(request: BatchRequest, account_id: str, used: IdempotencyKeyUsed, batches: Batches) -> Batch:
    """The batch that an earlier request with this idempotency key made."""
    if used.fingerprint != request.fingerprint:
        raise Conflict(
            "This Idempotency-Key was used for a request with other parameters. Use a new key for a new batch.",
            param="Idempotency-Key",
            code="idempotency_key_reused",
        )
    return replace(_found(BatchRef(account_id, used.batch_id), batches), first_reply=used.reply)


def _found(ref: BatchRef, batches: Batches) -> Batch:
    batch = batches.get(ref, consistent=True)
    if batch is None:
        raise Conflict(f"This request has made {ref.batch_id}, which was deleted since.", code="batch_deleted")
    return batch


def new_batch(request: BatchRequest, ref: BatchRef, now: int, terms: BatchTerms, account: Account) -> Batch:
    """The batch that `account` asks for, before anything of it is kept."""
    said = request.policy.or_else(account.policy).or_else(terms.policy)
    rules = request.rules
    billing = Billing.FREE if request.caller_key is not None else account.billing
    return Batch(
        id=ref.batch_id,
        account_id=ref.account_id,
        surface=request.surface,
        endpoint=request.endpoint,
        input_file_id=request.input_file_id,
        completion_window=request.completion_window,
        status=Status.VALIDATING,
        created_at=now,
        expires_at=now + terms.window_seconds * rules.tier.windows,
        metadata=request.metadata,
        output_expires_after_seconds=request.output_expires_after_seconds,
        concurrency=request.concurrency,
        identical_once=request.identical_once,
        provider=request.provider,
        caller_pays=request.caller_key is not None,
        weight=account.weight,
        rules=replace(rules, mode=said.routing_mode or rules.mode, privacy=said.privacy_tier or rules.privacy),
        modes=said.modes or (),
        early_failover=bool(said.early_failover),
        quote_id=request.quote_id,
        max_price_picousd=request.max_price_picousd,
        prices=request.prices,
        billing=billing,
        estimate_picousd=request.reserve_picousd or 0,
        reserved_picousd=0 if billing is Billing.FREE else request.reserve_picousd or 0,
        drop=request.drop,
    )


def _idempotency(request: BatchRequest, batch: Batch, now: int) -> Idempotency | None:
    """A key whose reply is repeated byte for byte stands for its batch as long as the batch is kept."""
    if request.idempotency_key is None:
        return None
    ttl = None if request.first_reply is not None else now + _KEEP_IDEMPOTENCY_KEY_SECONDS
    return Idempotency(request.idempotency_key, request.fingerprint, ttl, batch.first_reply)
