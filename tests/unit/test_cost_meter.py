"""The arithmetic of the cost meter: quantities x list prices, summed and scaled to a million items."""

from __future__ import annotations

from typing import Any

import pytest

from bench.cost import bill


def call(service: str, operation: str, calls: int, units: float) -> dict[str, Any]:
    return {"function": "work", "service": service, "operation": operation, "calls": calls, "units": units}


METER = {
    "calls": [
        call("dynamodb", "UpdateItem", 10, 20),
        call("dynamodb", "GetItem", 4, 2.0),
        call("s3", "PutObject", 3, 3),
        call("s3", "UploadPart", 1, 1),
        call("s3", "GetObject", 5, 5),
        call("s3", "DeleteObjects", 7, 7),
        call("sqs", "SendMessage", 2, 2),
        call("stepfunctions", "StartExecution", 1, 1),
        call("carrierpigeon", "Fly", 1, 1),
    ],
    "functions": {
        "work": {"invocations": 2, "billed_seconds": 8.0, "gigabyte_seconds": 4.0, "init_seconds": 1.0},
        "never": {"invocations": 0, "billed_seconds": 0.0, "gigabyte_seconds": 0.0, "init_seconds": 0.5},
    },
    "api_requests": 6,
    "state_transitions": 9,
}


def test_each_kind_of_usage_has_its_price() -> None:
    """Quantities land under the right price: reads and writes apart, deletes free, initialisation billed."""
    charges = {charge.what: (charge.quantity, charge.usd) for charge in bill(METER, 100).charges}
    assert charges == {
        "Lambda work": (4.0, pytest.approx(4 * 0.0000133334)),
        "Lambda initialisation": (0.5, pytest.approx(0.5 * 0.0000133334)),
        "Lambda requests": (2, pytest.approx(2 * 2e-7)),
        "Step Functions": (9, pytest.approx(9 * 2.5e-5)),
        "API Gateway": (6, pytest.approx(6 * 3.5e-6)),
        "DynamoDB writes": (20, pytest.approx(20 * 6.25e-7)),
        "DynamoDB reads": (2.0, pytest.approx(2 * 1.25e-7)),
        "S3 writes": (4, pytest.approx(4 * 5e-6)),
        "S3 reads": (5, pytest.approx(5 * 4e-7)),
        "SQS": (2, pytest.approx(2 * 4e-7)),
    }


def test_the_total_is_scaled_to_a_million_items() -> None:
    """Dollars per million items is the sum of all charges over the items that caused them."""
    whole = bill(METER, 100)
    assert whole.usd_per_million_items == pytest.approx(sum(charge.usd for charge in whole.charges) * 10_000)
    assert bill(METER, 200).usd_per_million_items == pytest.approx(whole.usd_per_million_items / 2)


def test_what_has_no_price_is_named() -> None:
    """A service that the price list does not know is reported, never silently free."""
    assert bill(METER, 1).unpriced == ("carrierpigeon:Fly",)
