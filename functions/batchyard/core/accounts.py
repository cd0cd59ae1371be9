"""An account (the tenant) and its API keys. Only a key's SHA-256 is ever stored."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import asdict, dataclass, field

from batchyard.core.fields import known_fields
from batchyard.core.json_types import Row
from batchyard.core.ledger import Credits
from batchyard.core.policies import Policy, read_policy


class Billing(enum.StrEnum):
    """How an account pays. `free`: it does not, and costs are only shown. `prepaid`: out of credits, which a batch
    reserves before it runs. `postpaid`: as prepaid, but it may owe."""

    FREE = "free"
    PREPAID = "prepaid"
    POSTPAID = "postpaid"


@dataclass(frozen=True, slots=True)
class Account:
    """`weight`: how large its share of a busy lane is, beside those of other accounts. `daily_limit_picousd`: what it
    may spend in a day (UTC); None: as much as it likes."""

    id: str
    name: str
    created_at: int
    weight: int = 1
    billing: Billing = Billing.FREE
    daily_limit_picousd: int | None = None
    is_operator: bool = False
    """Whether its API keys also show what concerns the whole deployment: all accounts, and the lanes."""
    policy: Policy = field(default_factory=Policy)
    """How its batches are run that do not say so themselves."""

    @property
    def pays(self) -> bool:
        return self.billing is not Billing.FREE

    def to_row(self) -> Row:
        return asdict(self) | {"billing": str(self.billing), "policy": self.policy.to_json()}

    @classmethod
    def from_row(cls, row: Row) -> Account:
        fields = known_fields(cls, row)
        fields["billing"] = Billing(fields.get("billing", Billing.FREE))
        fields["policy"] = read_policy(known_fields(Policy, fields.get("policy") or {}))
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`hint` is the last four characters, for people to tell keys apart. `expires_at`: the unix second from which it is
    refused, if there is one."""

    id: str
    account_id: str
    name: str
    hint: str
    created_at: int
    revoked_at: int | None = None
    expires_at: int | None = None

    def is_good(self, now: int) -> bool:
        """Whether requests may come with it."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def to_row(self) -> Row:
        return asdict(self)

    @classmethod
    def from_row(cls, row: Row) -> ApiKey:
        return cls(**known_fields(cls, row))


def key_hash(secret: str) -> str:
    """What the table knows an API key by. Keys carry 160 random bits, so an unsalted digest cannot be searched."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as its owner sees it, and what it has."""

    account: Account
    credits: Credits
