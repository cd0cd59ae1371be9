"""What tests ask of the simulator and tell it, at paths of its own: `/_sim/…`."""

from __future__ import annotations

from typing import Any

import orjson

from local.provider.simulator import Simulator
from local.provider.wire import Refused, Reply, Request, json_reply, object_reply


def receive(simulator: Simulator, request: Request) -> Reply:
    """The reply to any request: a client's goes to the simulator."""
    return _control(simulator, request) if request.path.startswith("/_sim/") else simulator.receive(request)


def _control(simulator: Simulator, request: Request) -> Reply:
    simulator.job_clock.read()
    try:
        return object_reply(_obey(simulator, request))
    except Refused as refused:
        return _error(refused.status, refused.message)
    except (ValueError, TypeError) as error:
        return _error(400, str(error))


def _obey(simulator: Simulator, request: Request) -> Any:
    match request.method, request.path:
        case "GET", "/_sim/stats":
            made = simulator.job_calls.made.items()
            calls = [{"provider": who, "operation": what, "calls": count} for (who, what), count in made]
            return simulator.ledger.stats() | {"job_calls": calls}
        case "GET", "/_sim/counts":
            return simulator.ledger.counts()
        case "GET", "/_sim/bills":
            return simulator.ledger.bills()
        case "GET", "/_sim/jobs":
            return simulator.runs.to_dicts()
        case "GET", "/_sim/files":
            return simulator.runs.files.to_dicts()
        case "GET", "/_sim/config":
            return simulator.config.to_dict()
        case "POST", "/_sim/config":
            simulator.configure(simulator.config.changed(orjson.loads(request.body)))
            return simulator.config.to_dict()
        case "POST", "/_sim/clock":
            simulator.job_clock.advance(orjson.loads(request.body)["seconds"])
            return {"now": simulator.job_clock.now()}
        case "POST", "/_sim/reset":
            simulator.reset()
            return {}
    raise Refused(404, f"Unknown control ({request.method} {request.path})")


def _error(status: int, message: str) -> Reply:
    return json_reply(status, orjson.dumps({"error": {"message": message}}))
