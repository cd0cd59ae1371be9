"""Puts the local cloud together in this process, and takes it apart again.

templates ─▶ moto ─▶ functions with their roles' credentials ─▶ event sources, rules, API ─▶ first account
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import orjson
from botocore.config import Config
from moto.secretsmanager.models import secretsmanager_backends

from local.api.gateway import LIMITS, Gateway
from local.control import Action, Control, read_fault
from local.deployment.declared import ACCOUNT_ID, REGION, FunctionConfig
from local.deployment.deploy import deploy
from local.deployment.templates import ROOT, Stack
from local.endpoint import Endpoint
from local.faults import Faults
from local.functions import spawning
from local.functions.concurrency import AccountConcurrency
from local.functions.events import EventBus
from local.functions.invocation import Function, Functions
from local.functions.nursery import Nursery
from local.functions.queues import DeliverySwitches, QueuePoller
from local.functions.variables import process_variables
from local.http_server import HttpServer, Request, Response
from local.iam import grants
from local.iam.identities import BackendResolver, Principals, state_machines
from local.meter import Meter
from local.options import Options, address_variables
from local.provider import SimulatedProvider
from local.simulated_aws.calls import Call
from local.simulated_aws.gate import MotoGate
from local.simulated_aws.patches import stepfunctions

log = logging.getLogger(__name__)

_SQS_WAKES = {
    "SendMessage",
    "SendMessageBatch",
    "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch",
    "PurgeQueue",
    "StartMessageMoveTask",
}


class Host:
    """A running local cloud. `close` ends every process it started."""

    def __init__(self, stacks: list[Stack], options: Options) -> None:
        self.options = options
        self.meter = Meter()
        self.faults = Faults()
        self.switches = DeliverySwitches()
        self._provider: SimulatedProvider | None = None
        self._nursery: Nursery | None = None
        self._logs = options.folder / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        for old in self._logs.glob("*.log"):
            old.unlink()
        self._gateway: Gateway | None = None
        self._api: HttpServer | None = None
        self.functions = Functions()
        self.gate = MotoGate()
        self.principals = Principals()
        self.endpoint = Endpoint(
            gate=self.gate,
            functions=self.functions,
            meter=self.meter,
            faults=self.faults,
            principals=self.principals,
        )
        self._aws = HttpServer(self.endpoint, name="aws")
        self.poller = QueuePoller(gate=self.gate, functions=self.functions, meter=self.meter, switches=self.switches)
        self.events = EventBus(gate=self.gate, functions=self.functions, meter=self.meter, wake=self.poller.wake)
        self.functions.give_up = self.events.send_to_queue
        try:
            self._start(stacks)
        except BaseException:
            self.close()
            raise

    def _start(self, stacks: list[Stack]) -> None:
        self.deployment = deploy(stacks)
        self.provider_url = self.options.provider_url or self._start_provider().url
        if self.options.wait_scale != 1:
            stepfunctions.scale_waits(self.options.wait_scale)
        self.operator = self.principals.create_operator()
        self._add_functions()
        grants.check(self.deployment, self.principals.named)
        self._let_state_machines_call()
        self._create_provider_secrets()
        self.endpoint.resolver = BackendResolver()
        self.endpoint.listeners += [self._wake_poller, self.events.on_call]
        self.endpoint.control = Control(self._controls())
        self.endpoint.enforce = True
        self._gateway = gateway = Gateway(self.deployment, self.functions, self.meter)
        self._api = HttpServer(gateway, port=self.options.port, limits=LIMITS, refuse=gateway.refuse, name="api")
        self.api_url = self._api.url
        self.poller.start(self.deployment.event_sources)
        self.events.start(
            self.deployment.rules,
            self.deployment.eventbridge_buckets,
            minute_seconds=self.options.minute_seconds if self.options.schedules else None,
        )
        self.account_id, self.api_key = "", ""
        if self.options.account is not None and self.deployment.declares("admin"):
            created = self.create_account(self.options.account)
            self.account_id, self.api_key = created["account_id"], created["api_key"]
            self.ask_admin({"action": "set_operator", "account_id": self.account_id, "is_operator": True})
        self.meter.reset()

    def close(self) -> None:
        """Safe to call twice, and on a cloud that did not start."""
        self.events.close()
        self.poller.close()
        self.functions.close()
        if self._nursery is not None:
            self._nursery.close()
        if self._gateway is not None:
            self._gateway.close()
        if self._api is not None:
            self._api.close()
        self._aws.close()
        if self._provider is not None:
            self._provider.stop()

    # The parts that it is made of.

    def _start_provider(self) -> SimulatedProvider:
        self._provider = SimulatedProvider(clock_speed=self.options.job_clock_speed)
        return self._provider

    def _add_functions(self) -> None:
        reservations = [config.reserved_concurrency for config in self.deployment.functions]
        if self.options.preload and sys.platform == "linux":
            self._nursery = spawning.in_spawner(
                partial(Nursery, ROOT, self.options.functions_path, self.options.wait_scale)
            )
        spawn = self._nursery.bear if self._nursery else spawning.spawn
        self.account = AccountConcurrency.of(self.options.account_concurrency, reservations)
        for config in self.deployment.functions:
            added = {"AWS_ENDPOINT_URL": self._aws.url, **self._provider_urls(config)}
            added |= _meant_for(config.name, self.options.environment)
            credentials = self.principals.assume(config.role_arn, config.name)
            variables = process_variables(config, added, credentials, self.options.functions_path)
            log_path = self._logs / f"{config.name}.log"
            cap = self.options.processes
            self.functions.add(
                Function(config, variables, log_path, cap=cap, account=self.account, meter=self.meter, spawn=spawn)
            )

    def _provider_urls(self, config: FunctionConfig) -> dict[str, str]:
        """Where the functions that call providers find each of them: at its own address, else at the one for all, else
        at the simulated provider, which speaks as that vendor does."""
        providers, simulated = _providers(config), self._provider
        if config.name not in _CALLERS_OF_PROVIDERS or not providers:
            return {}
        return address_variables(
            providers,
            self.options.provider_urls,
            lambda name: simulated.url_of(name) if simulated else self.provider_url,
        )

    def _let_state_machines_call(self) -> None:
        for role_arn in self.deployment.state_machine_roles:
            credentials = self.principals.assume(role_arn, "states")
            client = boto3.session.Session().client(
                "lambda",
                region_name=REGION,
                endpoint_url=self._aws.url,
                aws_access_key_id=credentials.access_key,
                aws_secret_access_key=credentials.secret_key,
                aws_session_token=credentials.session_token,
                # A function may take its 15 minutes; a retry would run it twice behind the state machine's back.
                config=Config(
                    retries={"total_max_attempts": 1},
                    read_timeout=1000,
                    max_pool_connections=256,
                    parameter_validation=False,
                ),
            )
            stepfunctions.use_client(role_arn, client)

    def _create_provider_secrets(self) -> None:
        names = {
            config.environment["SECRET_PREFIX"] + name
            for config in self.deployment.functions
            for name in _providers(config)
            if "SECRET_PREFIX" in config.environment
        }
        for name in sorted(names):
            secretsmanager_backends[ACCOUNT_ID][REGION].create_secret(
                name,
                secret_string=f"local-{name.rpartition('/')[2]}-key",
                secret_binary=None,
                description=None,
                tags=[],
                kms_key_id=None,
                client_request_token=None,
                replica_regions=[],
                force_overwrite=False,
            )

    def _wake_poller(self, call: Call, request: Request, response: Response) -> None:
        if call.service == "sqs" and call.operation in _SQS_WAKES:
            self.poller.wake(str(call.parameters.get("QueueUrl", "")).rpartition("/")[2] or None)

    # Controls.

    def _controls(self) -> dict[str, Action]:
        return {
            "GET /_local/meter": lambda _: self.meter.to_json(_state_transitions()),
            "POST /_local/meter/reset": lambda _: self.meter.reset(),
            "GET /_local/processes": lambda _: [p for f in self.functions.all() for p in f.processes()],
            "POST /_local/kill": lambda body: self.functions.get(body["function"]).kill(
                busy_only=body.get("busy_only", True)
            ),
            "GET /_local/denials": lambda _: self.endpoint.denials(),
            "GET /_local/faults": lambda _: self.faults.to_json(),
            "POST /_local/faults": lambda body: self.faults.add(read_fault(body)).id,
            "POST /_local/faults/clear": lambda _: self.faults.clear(),
            "POST /_local/faults/remove": lambda body: asdict(self.faults.remove(body["id"])),
            "POST /_local/limit": lambda body: self.functions.get(body["function"]).limit(body["timeout_seconds"]),
            "POST /_local/code": lambda body: self._replace_code(Path(body["functions_path"])),
            "GET /_local/queues": lambda _: self.poller.depths(),
            "POST /_local/delivery": self._set_delivery,
            "POST /_local/fire": lambda body: self.events.fire(body["name"]),
            "POST /_local/neighbours": lambda body: self.account.occupy(body["executions"]),
            "POST /_local/accounts": lambda body: self.create_account(body["name"]),
            "POST /_local/operator": lambda body: self.ask_admin(dict(body)),
        }

    def _set_delivery(self, body: Mapping[str, Any]) -> None:
        for name, value in body.items():
            if name not in DeliverySwitches.__dataclass_fields__:
                raise TypeError(f"there is no delivery switch {name}")
            setattr(self.switches, name, value)
        self.poller.wake()

    def _replace_code(self, functions_path: Path) -> None:
        for function in self.functions.all():
            function.replace_code(functions_path)

    def create_account(self, name: str) -> dict[str, Any]:
        return self.ask_admin({"action": "create_account", "name": name})

    def ask_admin(self, event: dict[str, Any]) -> dict[str, Any]:
        """What the admin function answers, as soon as there is room for it."""
        result = self.functions.get("admin").invoke(orjson.dumps(event), wait=True)
        answer: dict[str, Any] = orjson.loads(result.payload)
        if result.error is not None:
            raise RuntimeError(f"the admin function failed: {answer.get('errorMessage')}; see {self._logs}/admin.log")
        return answer

    def state(self) -> dict[str, Any]:
        """What a client needs to know; also the source of .local/env."""
        names: dict[str, str] = {}
        for config in self.deployment.functions:
            names |= config.environment
        return {
            "api_url": self.api_url,
            "aws_endpoint": self._aws.url,
            "region": REGION,
            "access_key_id": self.operator.access_key,
            "secret_access_key": self.operator.secret_key,
            "data_bucket": names.get("DATA_BUCKET", ""),
            "drop_bucket": names.get("DROP_BUCKET", ""),
            "table_name": names.get("TABLE_NAME", ""),
            "account_id": self.account_id,
            "api_key": self.api_key,
            "functions": {config.name: config.physical_name for config in self.deployment.functions},
            "state_machines": [m.arn for m in state_machines()],
            "provider_url": self.provider_url,
            "logs": str(self._logs),
        }


_CALLERS_OF_PROVIDERS = ("work", "jobs")


def _providers(config: FunctionConfig) -> list[str]:
    urls: dict[str, str] = json.loads(config.environment.get("QUEUE_URLS", "{}"))
    return list(urls)


def _meant_for(function: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables for this function: NAME is for every function, function.NAME for one of them, and then comes before
    NAME."""
    owners = {name: name.rpartition(".")[0] for name in environment}
    return {
        name.rpartition(".")[2]: environment[name]
        for owner in ("", function)
        for name in environment
        if owners[name] == owner
    }


def _state_transitions() -> int:
    """What Step Functions bills: every state that was entered."""
    return sum(
        str(event["type"]).endswith("StateEntered")
        for machine in state_machines()
        for execution in list(machine.executions)
        for event in execution.to_history_output()["events"]
    )
