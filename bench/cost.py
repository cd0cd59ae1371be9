"""What AWS charges for a run: the quantities that the local cloud's meter counted x AWS's list prices.

Counted: Lambda (GB-seconds on arm64, initialisation included, and requests), Step Functions, SQS, DynamoDB, S3, API
Gateway, Secrets Manager, KMS and EventBridge requests. Free tiers are ignored. Not counted, because they depend on
retention and sampling rather than on the work: log ingestion, X-Ray, storage, and downloads that leave AWS.

The time that workers wait for a provider is not modelled but spent: the cost run's simulator answers after 3 seconds on
average (lognormal), and the meter bills the workers for it as Lambda would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PRICES_AS_OF = "2026-11-20"
"""List prices of us-east-1 in US dollars, without free tiers and volume discounts; each with AWS's page."""

LAMBDA_ARM_GB_SECOND = 0.0000133334  # https://aws.amazon.com/lambda/pricing/ (first 7.5 billion GB-seconds a month)
LAMBDA_REQUEST = 0.20 / 1e6  # same page
STATE_TRANSITION = 0.025 / 1e3  # https://aws.amazon.com/step-functions/pricing/ (standard workflows)
SQS_REQUEST = 0.40 / 1e6  # https://aws.amazon.com/sqs/pricing/ (standard queues, per 64 KB)
DYNAMODB_WRITE_UNIT = 0.625 / 1e6  # https://aws.amazon.com/dynamodb/pricing/on-demand/ (since November 2024)
DYNAMODB_READ_UNIT = 0.125 / 1e6  # same page
S3_PUT_REQUEST = 0.005 / 1e3  # https://aws.amazon.com/s3/pricing/ (PUT, COPY, POST, LIST; S3 Standard)
S3_GET_REQUEST = 0.0004 / 1e3  # same page (GET, SELECT and all others)
API_REQUEST = 3.50 / 1e6  # https://aws.amazon.com/api-gateway/pricing/ (REST APIs, first 333 million a month)
SECRETS_REQUEST = 0.05 / 1e4  # https://aws.amazon.com/secrets-manager/pricing/
KMS_REQUEST = 0.03 / 1e4  # https://aws.amazon.com/kms/pricing/
EVENT = 1.00 / 1e6  # https://aws.amazon.com/eventbridge/pricing/ (custom events)

_DYNAMODB_READS = frozenset({"GetItem", "Query", "Scan", "BatchGetItem", "TransactGetItems"})
_S3_FREE = frozenset({"DeleteObject", "DeleteObjects", "DeleteBucket", "AbortMultipartUpload"})
_S3_GETS = frozenset({"GetObject", "HeadObject", "HeadBucket", "GetObjectTagging", "GetObjectAttributes"})
_FREE_SERVICES = frozenset({"sts", "logs", "xray", "lambda", "stepfunctions", "states"})
"""Services whose calls cost nothing: invocations and state transitions are counted when they happen."""


@dataclass(frozen=True, slots=True)
class Charge:
    """`quantity` x `price_usd` per unit."""

    what: str
    unit: str
    quantity: float
    price_usd: float

    @property
    def usd(self) -> float:
        return self.quantity * self.price_usd


@dataclass(frozen=True, slots=True)
class Bill:
    """What a run of `items` items cost. `unpriced`: calls for which this module has no price, as
    `service:operation`."""

    items: int
    charges: tuple[Charge, ...]
    unpriced: tuple[str, ...]

    @property
    def usd(self) -> float:
        return sum(charge.usd for charge in self.charges)

    @property
    def usd_per_million_items(self) -> float:
        return self.usd / self.items * 1e6


def bill(meter: dict[str, Any], items: int) -> Bill:
    """`meter`: what `local.meter.Meter.to_json` gives for a run of `items` items."""
    charges: dict[tuple[str, str, float], float] = {}
    unpriced = set()
    for what, unit, quantity, price in _usages(meter):
        charges[what, unit, price] = charges.get((what, unit, price), 0) + quantity
    for call in meter["calls"]:
        priced = _price_of_call(call["service"], call["operation"])
        if priced is None:
            unpriced.add(f"{call['service']}:{call['operation']}")
            continue
        what, unit, price = priced
        if price:
            charges[what, unit, price] = charges.get((what, unit, price), 0) + call["units"]
    lines = [Charge(what, unit, quantity, price) for (what, unit, price), quantity in charges.items() if quantity]
    return Bill(items, tuple(sorted(lines, key=lambda charge: -charge.usd)), tuple(sorted(unpriced)))


def _usages(meter: dict[str, Any]) -> Iterator[tuple[str, str, float, float]]:
    for name, usage in meter["functions"].items():
        # Initialisation is billed like the rest: https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase/.
        billed = usage["billed_seconds"]
        memory_gb = usage["gigabyte_seconds"] / billed if billed else 0
        yield f"Lambda {name}", "GB-second", usage["gigabyte_seconds"], LAMBDA_ARM_GB_SECOND
        yield "Lambda initialisation", "GB-second", usage["init_seconds"] * memory_gb, LAMBDA_ARM_GB_SECOND
        yield "Lambda requests", "request", usage["invocations"], LAMBDA_REQUEST
    yield "Step Functions", "transition", meter["state_transitions"], STATE_TRANSITION
    yield "API Gateway", "request", meter["api_requests"], API_REQUEST


def _price_of_call(service: str, operation: str) -> tuple[str, str, float] | None:
    """(what, unit, price), price 0 for what is free; None if the call is not known here."""
    match service:
        case "dynamodb" if operation in _DYNAMODB_READS:
            return "DynamoDB reads", "unit", DYNAMODB_READ_UNIT
        case "dynamodb":
            return "DynamoDB writes", "unit", DYNAMODB_WRITE_UNIT
        case "s3" if operation in _S3_FREE:
            return "S3 deletes", "request", 0.0
        case "s3" if operation in _S3_GETS:
            return "S3 reads", "request", S3_GET_REQUEST
        case "s3":
            return "S3 writes", "request", S3_PUT_REQUEST
        case "sqs":
            return "SQS", "request", SQS_REQUEST
        case "secretsmanager":
            return "Secrets Manager", "request", SECRETS_REQUEST
        case "kms":
            return "KMS", "request", KMS_REQUEST
        case "events":
            return "EventBridge", "event", EVENT
        case _ if service in _FREE_SERVICES:
            return service, "request", 0.0
    return None
