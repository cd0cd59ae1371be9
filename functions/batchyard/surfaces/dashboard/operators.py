"""What the dashboard shows of whoever has signed in, and to operators of the whole deployment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from typing_extensions import TypedDict

from batchyard.core.accounts import Account, AccountView
from batchyard.core.ledger import write_dollars
from batchyard.core.policies import Policy
from batchyard.core.survey import AccountShare, AccountsPage, Survey, SurveyedLane
from batchyard.surfaces.batch_settings import PrivacyTierName, RoutingModeName
from batchyard.surfaces.dashboard.lanes import Mode
from batchyard.surfaces.operations import Session

BillingName = Literal["free", "prepaid", "postpaid"]


class AccountName(TypedDict):
    id: str
    name: str
    weight: int


class Balance(TypedDict):
    available_usd: str
    reserved_usd: str
    charged_usd: str


class DialectLimits(TypedDict):
    """What holds for a batch from a file whose lines are in a dialect's form."""

    max_file_bytes: int
    max_batch_items: int
    max_line_bytes: int


class DeploymentLimits(TypedDict):
    """What may be sent to this deployment. `dialects`: by the dialect in whose form the lines of a file are."""

    max_upload_part_bytes: int
    max_file_bytes: int
    max_batch_items: int
    max_line_bytes: int
    max_custom_id_chars: int
    completion_window_seconds: int
    dialects: dict[str, DialectLimits]


class SessionObject(TypedDict):
    account: AccountName
    is_operator: bool
    billing: BillingName
    balance: Balance | None
    daily_limit_usd: str | None
    deployment: DeploymentLimits


class AccountPolicy(TypedDict):
    """How the account's batches are run that do not say so themselves; null: as the deployment's policy says."""

    modes: list[Mode] | None
    routing_mode: RoutingModeName | None
    privacy_tier: PrivacyTierName | None
    early_failover: bool | None


class OperatorsAccount(TypedDict):
    id: str
    name: str
    created_at: int
    weight: int
    billing: BillingName
    is_operator: bool
    daily_limit_usd: str | None
    balance: Balance | None
    policy: AccountPolicy
    open_batches: int


class OperatorsAccounts(TypedDict):
    accounts: list[OperatorsAccount]
    next_cursor: str | None


class ShareOfLane(TypedDict):
    """`share_percent`: of the lane's rate, while all accounts that have work there want more."""

    account_id: str
    weight: int
    batches: int
    share_percent: int


class OperatorsLane(TypedDict):
    """`key_owner`: the account whose own provider key it is called with."""

    provider: str
    model: str
    mode: Mode
    key_owner: str | None
    state: Literal["closed", "open", "blocked"]
    reason: str | None
    since: int | None
    probe_at: int | None
    rate_per_second: float | None
    calls_per_second: float
    refused_per_second: float
    workers: int
    batches: int
    shares: list[ShareOfLane]


class OperatorsLanes(TypedDict):
    """The lanes of the oldest open `batches`; `is_complete`: no others are open."""

    lanes: list[OperatorsLane]
    batches: int
    is_complete: bool


def session_object(session: Session) -> SessionObject:
    account, bounds = session.owner.account, session.limits.bounds
    return {
        "account": {"id": account.id, "name": account.name, "weight": account.weight},
        "is_operator": account.is_operator,
        "billing": account.billing.value,
        "balance": _balance(session.owner),
        "daily_limit_usd": _daily_limit(account),
        "deployment": {
            "max_upload_part_bytes": session.limits.max_upload_part_bytes,
            "max_file_bytes": bounds.max_file_bytes,
            "max_batch_items": bounds.max_batch_items,
            "max_line_bytes": bounds.max_line_bytes,
            "max_custom_id_chars": session.limits.max_custom_id_chars,
            "completion_window_seconds": session.window_seconds,
            "dialects": {
                name: {
                    "max_file_bytes": each.max_file_bytes,
                    "max_batch_items": each.max_batch_items,
                    "max_line_bytes": each.max_line_bytes,
                }
                for name, each in session.dialects.items()
            },
        },
    }


def accounts_object(viewed: AccountsPage) -> OperatorsAccounts:
    accounts = [_account(each, viewed.open_batches) for each in viewed.accounts]
    return {"accounts": accounts, "next_cursor": viewed.next_cursor}


def lanes_object(survey: Survey) -> OperatorsLanes:
    lanes = [_lane(each) for each in survey.lanes]
    return {"lanes": lanes, "batches": survey.batches, "is_complete": survey.is_complete}


def _account(view: AccountView, open_batches: Mapping[str, int]) -> OperatorsAccount:
    account = view.account
    return {
        "id": account.id,
        "name": account.name,
        "created_at": account.created_at,
        "weight": account.weight,
        "billing": account.billing.value,
        "is_operator": account.is_operator,
        "daily_limit_usd": _daily_limit(account),
        "balance": _balance(view),
        "policy": _policy(account.policy),
        "open_batches": open_batches.get(account.id, 0),
    }


def _policy(policy: Policy) -> AccountPolicy:
    return {
        "modes": None if policy.modes is None else [mode.value for mode in policy.modes],
        "routing_mode": policy.routing_mode.value if policy.routing_mode else None,
        "privacy_tier": policy.privacy_tier.value if policy.privacy_tier else None,
        "early_failover": policy.early_failover,
    }


def _lane(surveyed: SurveyedLane) -> OperatorsLane:
    lane, health = surveyed.id, surveyed.health
    return {
        "provider": lane.provider,
        "model": lane.model,
        "mode": lane.mode.value,
        "key_owner": lane.key_owner,
        "state": health.state.value,
        "reason": health.reason,
        "since": health.since or None,
        "probe_at": health.probe_at or None,
        "rate_per_second": surveyed.rate,
        "calls_per_second": surveyed.calls_per_second,
        "refused_per_second": surveyed.refused_per_second,
        "workers": surveyed.workers,
        "batches": surveyed.batches,
        "shares": [_share(each) for each in surveyed.shares],
    }


def _share(share: AccountShare) -> ShareOfLane:
    return {
        "account_id": share.account_id,
        "weight": share.weight,
        "batches": share.batches,
        "share_percent": share.percent,
    }


def _balance(view: AccountView) -> Balance | None:
    """None if the account's batches are free."""
    if not view.account.pays:
        return None
    credits = view.credits
    return {
        "available_usd": write_dollars(credits.available_picousd),
        "reserved_usd": write_dollars(credits.reserved_picousd),
        "charged_usd": write_dollars(credits.charged_picousd),
    }


def _daily_limit(account: Account) -> str | None:
    return None if account.daily_limit_picousd is None else write_dollars(account.daily_limit_picousd)
