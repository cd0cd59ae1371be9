"""An account as the dashboard would find it: batches in every state, files, usage, keys, deliveries, lanes."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.dashboard.stub_api import Asked, Refusal, StubApi

HOUR = 3600
DAY = 24 * HOUR
LIMITS = {
    "version": "0.1.0",
    "max_upload_part_bytes": 4_194_304,
    "max_file_bytes": 500_000_000,
    "max_batch_items": 50_000,
    "max_line_bytes": 1_048_576,
    "max_custom_id_chars": 512,
    "completion_window_seconds": DAY,
    "dialects": {},
}
_SPELLINGS = {"openai": "batch_", "anthropic": "msgbatch_", "batchrouter": "bat_"}


def batch(number: int, now: int, **fields: Any) -> dict[str, Any]:
    """A batch that runs, unless `fields` say otherwise."""
    name = f"01m8q7srhjq5t4mz{(number * 7919) % 2**24:06x}{number:04d}"
    total, succeeded, failed = fields.pop("figures", (1000, 400, 3))
    surface = fields.get("surface", "openai")
    made: dict[str, Any] = {
        "id": f"batch_{name}",
        "shown_id": _SPELLINGS.get(surface, "batch_") + name,
        "surface": "openai",
        "endpoint": "/v1/chat/completions",
        "model": "gpt-4o-mini",
        "status": "in_progress",
        "is_terminal": fields.get("status") in ("completed", "failed", "cancelled", "expired"),
        "stage": None,
        "created_at": now - 2 * HOUR,
        "in_progress_at": now - 2 * HOUR + 8,
        "finalizing_at": None,
        "cancelling_at": None,
        "ended_at": None,
        "expires_at": now + 22 * HOUR,
        "expected_end_at": None,
        "counts": {
            "total": total,
            "succeeded": succeeded,
            "failed": failed,
            "cancelled": 0,
            "expired": 0,
            "done": succeeded + failed,
        },
        "items_per_second": 12.5,
        "retries": {},
        "tokens": {"input": succeeded * 96, "cached": 0, "output": succeeded * 41, "reasoning": 0},
        "cost_usd": f"{succeeded * 0.0000195:.6f}",
        "realtime_usd": f"{succeeded * 0.000039:.6f}",
        "estimate_usd": None,
        "max_price_usd": None,
        "is_callers_bill": False,
        "price_reached": False,
        "waiting_for": [],
        "lanes": [],
        "input_file_id": f"file-{name}",
        "output_file_id": None,
        "error_file_id": None,
        "results_hidden": False,
        "errors_count": 0,
    }
    return made | fields


def lane(provider: str, model: str, mode: str, items: int, done: int, **fields: Any) -> dict[str, Any]:
    stage = "done" if done == items else "running" if done else "waiting"
    return {
        "provider": provider,
        "model": model,
        "mode": mode,
        "stage": stage,
        "items": items,
        "done": done,
        "moved_from": None,
        "reason": None,
    } | fields


def batches(now: int) -> list[dict[str, Any]]:
    """The newest first."""
    throttled = {
        "provider": "openai",
        "model": "gpt-4o-mini",
        "state": "throttled",
        "since": None,
        "message": "Calls of gpt-4o-mini at openai are made as fast as its limits allow. All batches take turns, and "
        "nothing is lost. What has no result by Sun, 22 Nov 2026 21:14:00 GMT is reported as batch_expired.",
    }
    blocked = throttled | {
        "provider": "mistral",
        "model": "mistral-small-latest",
        "state": "blocked",
        "since": now - 700,
        "message": "This deployment's account at mistral has no money or quota left. The operator has to mend that, "
        "and is alarmed. Nothing is lost, and the batch goes on by itself.",
    }
    ended = {"ended_at": now - 3 * HOUR, "created_at": now - 5 * HOUR, "in_progress_at": now - 5 * HOUR + 6}
    return [
        batch(
            91,
            now,
            figures=(48_200, 31_544, 12),
            items_per_second=41.8,
            expected_end_at=now + 400,
            retries={"throttled": 214, "server_error": 31, "request_timeout": 4},
            waiting_for=[throttled],
            lanes=[
                lane("openai", "gpt-4o-mini", "realtime", 30_000, 24_310),
                lane("openai", "gpt-4o-mini", "native", 18_200, 7_246, moved_from=None),
            ],
        ),
        batch(
            90,
            now,
            surface="anthropic",
            endpoint="/v1/messages",
            model="claude-haiku-4-5",
            figures=(6_000, 4_480, 0),
            items_per_second=18.2,
            retries={"overloaded": 58},
            lanes=[lane("anthropic", "claude-haiku-4-5", "native", 6_000, 4_480)],
        ),
        batch(
            89,
            now,
            model="mistral-small-latest",
            figures=(900, 120, 0),
            items_per_second=0.0,
            waiting_for=[blocked],
            lanes=[lane("mistral", "mistral-small-latest", "realtime", 900, 120)],
        ),
        batch(88, now, status="validating", figures=(0, 0, 0), in_progress_at=None, items_per_second=None),
        batch(
            87,
            now,
            status="completed",
            figures=(12_000, 11_991, 9),
            output_file_id="file-output87",
            error_file_id="file-error87",
            retries={"throttled": 40},
            **ended,
        ),
        batch(
            86, now, surface="batchrouter", status="completed", figures=(240, 240, 0), output_file_id="file-o", **ended
        ),
        batch(
            85,
            now,
            status="failed",
            figures=(0, 0, 0),
            errors_count=2,
            items_per_second=None,
            **ended | {"in_progress_at": None},
        ),
        batch(84, now, surface="kushrouter", model=None, status="cancelled", figures=(5_000, 2_140, 0), **ended),
        batch(83, now, status="expired", figures=(20_000, 19_322, 0), **ended),
        batch(82, now, status="completed", model="gemini-2.5-flash-lite", figures=(33_000, 33_000, 0), **ended),
    ]


def detail(found: dict[str, Any], now: int) -> dict[str, Any]:
    """A batch with what only its own page has."""
    lanes = found["lanes"]
    timeline = [_event(found["created_at"], "created")]
    if found["in_progress_at"]:
        timeline.append(_event(found["in_progress_at"], "validated", detail=f"{found['counts']['total']:,} items"))
        timeline += [
            _event(found["in_progress_at"] + 40, "job_submitted", lane=each)
            for each in lanes
            if each["mode"] == "native"
        ]
    timeline += [
        _event(now - 60, "waiting", lane=each | {"mode": "realtime"}, reason=each["state"], detail=each["message"])
        for each in found["waiting_for"]
    ]
    if found["is_terminal"]:
        timeline.append(_event(found["ended_at"], "ended", detail=found["status"]))
    timeline.append(_event(found["expires_at"], "deadline"))
    errors = [
        {"code": "invalid_json_line", "message": "This line is not parseable as valid JSON.", "line": 3, "param": None},
        {"code": "url_mismatch", "message": "'url' is '/v1/embeddings'.", "line": 17, "param": "url"},
    ]
    return found | {
        "timeline": timeline,
        "errors": errors if found["errors_count"] else [],
        "metadata": {"name": "nightly product descriptions", "team": "search"},
    }


def _event(at: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"at": at, "kind": kind, "lane": None, "reason": None, "detail": None} | fields


def failed_item(index: int, custom_id: str, message: str = "The model does not take 'top_k'.") -> dict[str, Any]:
    error = {"code": "rejected", "message": message}
    return {
        "index": index,
        "custom_id": custom_id,
        "outcome": "failed",
        "status_code": 400,
        "request_id": f"req_{index}",
        "error": error,
    }


def whole_item(item: dict[str, Any]) -> dict[str, Any]:
    request = (
        '{"model": "gpt-4o-mini", "top_k": 4, "messages": [{"role": "user", "content": "Describe the blue teapot."}]}'
    )
    response = '{"error": {"message": "The model does not take top_k.", "code": "unknown_parameter"}}'
    return item | {
        "request": request,
        "response": response,
        "request_bytes": len(request),
        "response_bytes": len(response),
        "lane": {"provider": "openai", "model": "gpt-4o-mini", "mode": "realtime"},
    }


def usage(now: int, days: int) -> dict[str, Any]:
    told = []
    for back in range(min(days, 60) - 1, -1, -1):
        day = datetime.fromtimestamp(now, UTC) - timedelta(days=back)
        if day.weekday() == 6:
            continue
        items = int(18_000 + 9_000 * math.sin(back / 2.7) + 4_000 * math.sin(back * 1.9))
        told.append(
            {
                "day": day.strftime("%Y-%m-%d"),
                "batches": items // 4_000,
                "succeeded": items,
                "failed": items // 900,
                "cancelled": 0,
                "expired": 0,
                "input_tokens": items * 96,
                "output_tokens": items * 41,
                "cost_usd": f"{items * 0.000095:.6f}",
                "realtime_usd": f"{items * 0.000174:.6f}",
            }
        )
    models = [("gpt-4o-mini", "21.4"), ("claude-haiku-4-5", "12.9"), ("gemini-2.5-flash-lite", "3.1"), (None, "0.8")]
    return {
        "days": told,
        "models": [
            {"model": model, "batches": 30, "succeeded": 90_000, "failed": 12, "cost_usd": cost, "realtime_usd": cost}
            for model, cost in models
        ],
    }


def file(number: int, now: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"file-01m8{number:05d}",
        "object": "file",
        "bytes": 105_186 * number,
        "created_at": now - number * HOUR,
        "expires_at": now + 30 * DAY,
        "filename": f"requests-{number}.jsonl",
        "purpose": "batch",
        "status": "processed",
        "num_rows": 240 * number,
    } | fields


def delivery(number: int, now: int, **fields: Any) -> dict[str, Any]:
    attempt = {
        "attempted_at": now - 400,
        "milliseconds": 83,
        "status": 503,
        "problem": "bad_status",
        "detail": "The receiver answered 503.",
        "reply": "<h1>Service unavailable</h1>",
    }
    return {
        "id": f"evt_{number}",
        "object": "webhook.delivery",
        "batch_id": f"batch_{number}",
        "event": "batch.completed",
        "style": "openai",
        "url": "https://hooks.example.com/batchyard",
        "status": "failed",
        "created_at": now - 900,
        "next_attempt_at": None,
        "tries": 2,
        "replays": 0,
        "attempts": [attempt, attempt | {"attempted_at": now - 200, "milliseconds": 91}],
    } | fields


def api_key(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "api_key_id": f"key_{number}",
        "name": "nightly job",
        "hint": "…9f2c",
        "created_at": "2026-10-03T09:12:00Z",
        "expires_at": None,
        "revoked_at": None,
    } | fields


def furnish(api: StubApi, now: int) -> None:
    """Gives `api` a whole account, whose user is an operator, too."""
    known = batches(now)
    failed = [failed_item(index, f"product-{index:05d}") for index in (17, 803, 2_114)]
    files = [file(number, now) for number in range(1, 8)]
    answers: dict[tuple[str, str], Any] = {
        ("GET", "dashboard/api/session"): session(),
        ("GET", "dashboard/api/batches"): lambda asked: _listed(asked, known),
        ("GET", "dashboard/api/batches/*"): lambda asked: detail(_found(asked, known), now),
        ("GET", "dashboard/api/batches/*/throughput"): _throughput(now),
        ("GET", "dashboard/api/batches/*/items"): lambda asked: _items(asked, failed),
        ("GET", "dashboard/api/batches/*/items/*"): lambda asked: whole_item(
            next(each for each in failed if each["index"] == int(asked.path.rpartition("/")[2]))
        ),
        ("GET", "dashboard/api/usage"): lambda asked: usage(now, int(asked.query["days"])),
        ("GET", "v1/models"): {"data": [{"id": each} for each in ("gpt-4o-mini", "claude-haiku-4-5")]},
        ("GET", "v1/files"): {"data": files, "has_more": False, "last_id": files[-1]["id"]},
        ("GET", "v1/auth/account/api-keys"): {
            "api_keys": [
                api_key(1, name="this page", hint="…1234"),
                api_key(2),
                api_key(3, name="old", revoked_at="2026-11-02T10:00:00Z"),
            ]
        },
        ("GET", "v1/auth/account/delivery-webhook"): {
            "url": "https://hooks.example.com/batchyard",
            "style": "openai",
            "secret": None,
            "updated_at": "2026-11-02T10:00:00Z",
        },
        ("GET", "v1/webhooks/deliveries"): {
            "data": [delivery(1, now), delivery(2, now, status="delivered", attempts=[])],
            "has_more": False,
            "last_id": "evt_2",
        },
        ("GET", "dashboard/api/operator/accounts"): {"accounts": _accounts(now), "next_cursor": None},
        ("GET", "dashboard/api/operator/lanes"): {"lanes": _lanes(now), "batches": 7, "is_complete": True},
    }
    api.answers.clear()
    api.asked.clear()
    api.answers.update(answers)


def session(**fields: Any) -> dict[str, Any]:
    return {
        "account": {"id": "acct_01m8", "name": "search team", "weight": 1},
        "is_operator": True,
        "billing": "prepaid",
        "balance": {"available_usd": "412.500000", "reserved_usd": "3.1", "charged_usd": "84.4"},
        "daily_limit_usd": None,
        "deployment": LIMITS,
    } | fields


def _listed(asked: Asked, known: list[dict[str, Any]]) -> dict[str, Any]:
    status = asked.query.get("status")
    found = [
        each
        for each in known
        if not status or status == each["status"] or (status == "active" and not each["is_terminal"])
    ]
    return {"batches": found, "next_cursor": None, "searched": len(known)}


def _found(asked: Asked, known: list[dict[str, Any]]) -> dict[str, Any]:
    name = asked.path.rpartition("/")[2]
    found = next((each for each in known if name in (each["id"], each["shown_id"])), None)
    if found is None:
        raise Refusal(404, "There is no such batch.", "batch_not_found")
    return found


def _items(asked: Asked, failed: list[dict[str, Any]]) -> dict[str, Any]:
    wanted = asked.query.get("custom_id")
    found = [each for each in failed if wanted in (None, each["custom_id"])]
    return {"items": found, "next_cursor": None, "searched": 48_200, "total": 48_200}


def _throughput(now: int) -> dict[str, Any]:
    points = [
        {
            "at": now - 7_200 + 60 * index,
            "done": int(260 + 190 * math.sin(index / 9) + 60 * math.sin(index * 1.7)),
            "failed": 0,
        }
        for index in range(120)
    ]
    stored = [
        _event(now - 7_150, "first_call"),
        _event(now - 7_000, "first_results"),
        _event(now - 3_600, "job_ended", lane=lane("openai", "gpt-4o-mini", "native", 18_200, 7_246)),
    ]
    return {"bucket_seconds": 60, "points": points, "timeline": stored}


def _accounts(now: int) -> list[dict[str, Any]]:
    balance = {"available_usd": "412.5", "reserved_usd": "3.1", "charged_usd": "84.4"}
    named = [
        ("search team", 3, balance, "prepaid"),
        ("support bots", 1, None, "free"),
        ("research", 1, None, "postpaid"),
    ]
    return [
        {
            "id": f"acct_01m8{index}",
            "name": name,
            "created_at": now - (index + 2) * 30 * DAY,
            "weight": weight,
            "billing": billing,
            "is_operator": index == 0,
            "daily_limit_usd": "50",
            "balance": held,
            "policy": {"modes": None, "routing_mode": None, "privacy_tier": None, "early_failover": None},
            "open_batches": 3 - index,
        }
        for index, (name, weight, held, billing) in enumerate(named)
    ]


def _lanes(now: int) -> list[dict[str, Any]]:
    shares = [
        {"account_id": "acct_01m80", "weight": 3, "batches": 2, "share_percent": 75},
        {"account_id": "acct_01m81", "weight": 1, "batches": 1, "share_percent": 25},
    ]
    busy = {
        "provider": "openai",
        "model": "gpt-4o-mini",
        "mode": "realtime",
        "key_owner": None,
        "state": "closed",
        "reason": None,
        "since": None,
        "probe_at": None,
        "rate_per_second": 45.0,
        "calls_per_second": 43.2,
        "refused_per_second": 0.4,
        "workers": 2,
        "batches": 3,
        "shares": shares,
    }
    blocked = busy | {
        "provider": "mistral",
        "model": "mistral-small-latest",
        "state": "blocked",
        "reason": "out_of_money",
        "since": now - 700,
        "rate_per_second": None,
        "calls_per_second": 0.0,
        "shares": shares[:1],
    }
    return [busy, blocked]
