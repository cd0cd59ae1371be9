"""The tree of everything Batchyard raises, drawn here and held to the code by a test.

    BatchyardError
    ├── RequestError                the caller's mistake; a surface turns it into its own error body
    │   ├── InvalidRequest              400
    │   │   └── PreflightFailed             400, with all that is wrong with a batch that was to be made
    │   ├── Unauthenticated             401
    │   ├── InsufficientCredits         402
    │   ├── SpendLimitReached           402
    │   ├── Forbidden                   403
    │   ├── NotFound                    404  (also: it exists, but is another account's)
    │   ├── Conflict                    409
    │   ├── PayloadTooLarge             413
    │   ├── UnsupportedMediaType        415
    │   └── RateLimited                 429
    ├── ConditionFailed             a conditional write lost; carries the row that won, if it is known
    │   └── IdempotencyKeyUsed          an earlier request has used the idempotency key
    ├── ClaimRefused                a shard cannot be worked on by whoever asked
    │   ├── ShardSettled                nothing is left to do
    │   ├── ShardFenced                 its batch is being stopped
    │   └── LeaseHeld                   somebody else works on it
    ├── JobHeld                     somebody else works on a provider job, or it is done
    ├── LeaseLost                   the shard (or provider job) belongs to somebody else now, or is sealed
    ├── NotReady                    an input is still on its way; run the step again later
    ├── BooksDoNotBalance           an invariant is broken: never to be retried or swallowed
    ├── InputRejected               a batch's input fails it, with the errors of its lines
    ├── TooManyLanes                a batch has more lanes than a work file may have
    ├── NotStarted                  the batch exists, its execution could not be started
    ├── ItemBroke                   running an item raised something unforeseen
    ├── Untranslatable              a provider cannot do what an item asks for
    ├── StreamBroken                a provider's event stream ended before its answer did
    ├── StreamFailed                a provider's event stream reported a failure
    ├── JobRefused                  a vendor does not take a provider job
    ├── JobsUnsupported             a vendor has no batch API
    ├── JobMissing                  a vendor does not know a provider job (any more)
    ├── VendorTrouble               a call about a provider job failed for a reason that may pass
    ├── ObjectMissing               there is no such object in S3
    ├── ObjectChanged               an object was overwritten while it was read
    ├── ObjectTooLarge              an object has more bytes than S3 takes
    ├── QueueRefused                SQS took only some of the messages
    ├── SecretMissing               the deployment has no key for a provider
    └── CallerKeyGone               a caller's own key was deleted with its batch

An error that only one room needs is defined there. An item's failure is no exception: it is a `core.results.Result`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchyard.core.json_types import Row

if TYPE_CHECKING:
    from batchyard.core.items import LineError
    from batchyard.core.limits import Allowance


class BatchyardError(Exception):
    """Root of the tree."""


class RequestError(BatchyardError):
    """A request that cannot be served as it is. `message` is for people and says what to do."""

    status = 400
    type = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class InvalidRequest(RequestError):
    """400"""


class PreflightFailed(InvalidRequest):
    """A batch cannot be made as it is asked for. `issues`: all that is wrong, as far as it was looked at; `message`,
    `param` and `code` are those of the first."""

    def __init__(self, issues: Sequence[LineError]) -> None:
        first = issues[0]
        message = first.message if first.line is None else f"Line {first.line}: {first.message}"
        super().__init__(message, param=first.param, code=first.code)
        self.issues = tuple(issues)


class Unauthenticated(RequestError):
    """401"""

    status = 401
    type = "authentication_error"


class Forbidden(RequestError):
    """403: whoever asks is known, and may not."""

    status = 403
    type = "permission_error"


class NotFound(RequestError):
    """404"""

    status = 404


class Conflict(RequestError):
    """409"""

    status = 409


class PayloadTooLarge(RequestError):
    """413"""

    status = 413


class UnsupportedMediaType(RequestError):
    """415"""

    status = 415


class RateLimited(RequestError):
    """429; the caller is asked to wait `retry_after_seconds`; `allowance` is what it has used up."""

    status = 429
    type = "rate_limit_error"

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: int,
        code: str = "rate_limit_exceeded",
        allowance: Allowance | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds
        self.allowance = allowance


class ConditionFailed(BatchyardError):
    """The condition of a write did not hold. `row` is the row as it stands, or None if there is none; `row_key` says
    which row it was, if there were several."""

    def __init__(self, what: str, row: Row | None = None, *, row_key: tuple[str, str] | None = None) -> None:
        super().__init__(what)
        self.row = row
        self.row_key = row_key


class LeaseLost(BatchyardError):
    """This owner may no longer write to its shard; whatever it has not flushed is lost, and somebody else does it
    again."""


class NotReady(BatchyardError):
    """Something this step reads is not there yet. The state machine runs the step again."""


class BooksDoNotBalance(BatchyardError):
    """Results do not add up to exactly one per item. Nothing is published then."""
