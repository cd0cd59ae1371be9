"""Provider jobs: what the native executor asks of a vendor's own batch API, whichever vendor it is.

    submit ─▶ look … look ─▶ results ─▶ clean_up
       └ answer lost: find        └ cancel, then look on

Plain synchronous calls. `VendorJobs` has an implementation per shape of API; `job_kinds` knows which provider has
which. Their errors:

    JobRefused         the vendor does not take this job, and would not take it later
    JobsUnsupported    the vendor has no batch API for this lane
    JobMissing         the vendor does not know the job (any more)
    VendorTrouble      anything else: it may pass. `is_unknown`: the call may have had its effect all the same
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from batchyard.core.calls import ProviderReply
from batchyard.core.errors import BatchyardError
from batchyard.core.retry import FailureReason


class JobRefused(BatchyardError):
    """`code`: the vendor's word for it, or ours. `refuses_lane`: it would refuse every job of the lane, because its
    batch API is not for the model, or not for the account's plan."""

    def __init__(self, code: str, *, refuses_lane: bool = False) -> None:
        super().__init__(f"the vendor refused the job: {code}")
        self.code = code
        self.refuses_lane = refuses_lane


class JobsUnsupported(BatchyardError):
    """The vendor's address has no batch API."""


class JobMissing(BatchyardError):
    """The vendor does not know the job, or has forgotten it."""


class VendorTrouble(BatchyardError):
    """A call failed for a reason that may pass. `is_forbidden`: the key is good, and may not make such calls."""

    def __init__(
        self,
        reason: FailureReason,
        *,
        retry_after_seconds: float | None = None,
        is_unknown: bool,
        is_forbidden: bool = False,
    ) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
        self.is_unknown = is_unknown
        self.is_forbidden = is_forbidden

    def without_effect(self) -> VendorTrouble:
        """The same of a call whose effect, if it had any, does not matter."""
        return VendorTrouble(
            self.reason,
            retry_after_seconds=self.retry_after_seconds,
            is_unknown=False,
            is_forbidden=self.is_forbidden,
        )


class JobLine(NamedTuple):
    """An item as a job has it. `path` follows the provider's base URL, `body` is one line of JSON in the vendor's
    form."""

    id: str
    path: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Submission:
    """What names a job at its vendor. `name` is nobody else's; a vendor that takes no names knows it by its number of
    `items` and the unix second `asked_at`, at or soon after which it was made. `strangers`: jobs that are known to be
    others'. `event`: has the job looked at, for a vendor that says when it is over."""

    name: str
    model: str
    items: int
    asked_at: int
    event: bytes = b""
    strangers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class JobView:
    """`is_over`: nothing will change any more, and `results` has what there is. `error`: the code of what ended the
    whole job; `may_pass`: such a job may be submitted again; `refuses_lane`: as in JobRefused. `answered`: of how many
    items there are results; None if the vendor does not say, or what it says of such a job is not to be relied on."""

    is_over: bool
    error: str | None = None
    may_pass: bool = False
    refuses_lane: bool = False
    answered: int | None = None


class JobResult(NamedTuple):
    """`reply`: as a call would have been answered; None if the vendor did not run the item (expired, cancelled)."""

    id: str
    reply: ProviderReply | None


class VendorJobs(Protocol):
    """The jobs of one provider, with one provider key."""

    def submit(self, submission: Submission, lines: Iterable[JobLine]) -> str:
        """The vendor's id of a new job with `lines`, of which there is at least one."""
        ...

    def find(self, submission: Submission) -> list[str]:
        """The ids of the jobs that may be this submission's, oldest first."""
        ...

    def look(self, job_id: str) -> JobView: ...

    def results(self, job_id: str) -> Iterator[bytes]:
        """What the vendor has of a job that is over: lines for `read`, in any order."""
        ...

    def id_of(self, line: bytes) -> str:
        """The id of a result's line, quicker than `read`. Raises ValueError, KeyError or TypeError if it has none."""
        ...

    def read(self, line: bytes) -> JobResult:
        """Raises ValueError if it is no result."""
        ...

    def cancel(self, job_id: str) -> None:
        """Ask the vendor to stop the job. No error if it has ended already."""
        ...

    def clean_up(self, job_id: str) -> None:
        """Delete what the vendor keeps of a job that is over. No error if that is gone already."""
        ...

    def close(self) -> None: ...
