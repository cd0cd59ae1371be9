"""Puts the local cloud together in this process, and takes it apart again.

templates ─▶ moto ─▶ functions with their roles' credentials ─▶ event sources, rules, API ─▶ first account
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
from moto.secretsmanager.models import secretsmanager_backends

from local import grants, moto_patches
from local.calls import Call
from local.control import Control, read_fault
from local.deployment import ACCOUNT_ID, REGION, deploy
from local.endpoint import Endpoint
from local.environments import FunctionConfig
from local.events import EventBus
from local.faults import Fault, Faults
from local.functions import Function, Functions
from local.gateway import LIMITS, Gateway
from local.http_server import HttpServer, Request, Response
from local.identities import BackendResolver, Principals, state_machines
from local.meter import Meter
from local.moto_gate import MotoGate
from local.queues import DeliverySwitches, QueuePoller
from local.template import ROOT, Stack

log = logging.getLogger(__name__)

_SQS_WAKES = {
    "SendMessage",
    "SendMessageBatch",
    "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch",
    "PurgeQueue",
}


@dataclass(frozen=True, slots=True)
class HostOptions:
    """`port` 0 takes any free one. `provider_url`: an OpenAI base address; None starts the simulator. `environment`:
    variables that every function gets on top of the template's, or, as `function.NAME`, that one function.
    `wait_scale`: what the state machine's waits and retry intervals are multiplied by."""

    port: int = 0
    folder: Path = ROOT / ".local"
    functions_path: Path = ROOT / "functions"
    provider_url: str | None = None
    provider_arguments: tuple[str, ...] = ()
    simulator: bool = True
    processes_per_function: int = 2
    freeze: bool = True
    account_name: str | None = "local"
    environment: Mapping[str, str] = field(default_factory=dict)
    wait_scale: float = 1.0


class Host:
    """A running local cloud. `close` ends every process it started."""

    def __init__(self, stacks: list[Stack], options: HostOptions) -> None:
        self.options = options
        self.meter = Meter()
        self.faults = Faults()
        self.switches = DeliverySwitches()
        self.stopped = threading.Event()
        self._provider: subprocess.Popen[str] | None = None
        self._logs = options.folder / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        for old in self._logs.glob("*.log"):
            old.unlink()
        # The API's port is taken first: it is the one that may be in use.
        self._gateway: Gateway | None = None
        self._api = HttpServer(self._serve_api, port=options.port, limits=LIMITS, refuse=self._refuse_api, name="api")
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
        self.events = EventBus(gate=self.gate, functions=self.functions, wake=self.poller.wake)
        try:
            self._start(stacks)
        except BaseException:
            self.close()
            raise

    @property
    def api_url(self) -> str:
        return self._api.url

    @property
    def aws_url(self) -> str:
        return self._aws.url

    def _start(self, stacks: list[Stack]) -> None:
        self._start_provider()
        self.deployment = deploy(stacks)
        self.provider_url = self._provider_url()
        if self.options.wait_scale != 1:
            moto_patches.scale_waits(self.options.wait_scale)
        self.operator = self.principals.create_operator()
        self._add_functions(self.provider_url)
        grants.check(self.deployment, self.principals.named)
        self._let_state_machines_call()
        self._create_provider_secrets()
        self.endpoint.resolver = BackendResolver()
        self.endpoint.listeners += [self._wake_poller, self.events.on_call]
        self.endpoint.control = Control(self._controls())
        self.endpoint.enforce = True
        self._gateway = Gateway(self.deployment, self.functions, self.meter)
        self.poller.start(self.deployment.event_sources)
        self.events.start(self.deployment.rules, self.deployment.eventbridge_buckets)
        self.account_id, self.api_key = "", ""
        if self.options.account_name is not None and self.deployment.function("admin") is not None:
            created = self.create_account(self.options.account_name)
            self.account_id, self.api_key = created["account_id"], created["api_key"]
        self.meter.reset()

    def close(self) -> None:
        """Safe to call twice, and on a cloud that did not start."""
        self.stopped.set()
        self.events.close()
        self.poller.close()
        self.functions.close()
        if self._gateway is not None:
            self._gateway.close()
        self._api.close()
        self._aws.close()
        if self._provider is not None:
            self._provider.terminate()
            self._provider.wait()

    # The API's port answers 503 until there is an API behind it.

    def _serve_api(self, request: Request) -> Response:
        if self._gateway is None:
            return Response(503, [("Retry-After", "1")], b'{"message":"starting"}')
        return self._gateway(request)

    def _refuse_api(self, status: int, reason: str) -> Response:
        if self._gateway is None:
            return Response(status, [], reason.encode())
        return self._gateway.refuse(status, reason)

    # Parts.

    def _start_provider(self) -> None:
        if self.options.provider_url is not None or not self.options.simulator:
            return
        command = [sys.executable, "-m", "local.provider", "--port", "0", "--leave-with-stdin"]
        command += self.options.provider_arguments
        with (self._logs / "provider.log").open("ab") as log_file:
            self._provider = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log_file, stdin=subprocess.PIPE, text=True
            )

    def _provider_url(self) -> str | None:
        if self._provider is None:
            return self.options.provider_url
        assert self._provider.stdout is not None
        line = self._provider.stdout.readline().strip()
        if not line.startswith("listening on "):
            raise RuntimeError(f"the simulated provider did not start; see {self._logs / 'provider.log'}")
        threading.Thread(target=self._watch_provider, args=(self._provider,), name="provider", daemon=True).start()
        return line.removeprefix("listening on ")

    def _watch_provider(self, provider: subprocess.Popen[str]) -> None:
        assert provider.stdout is not None
        for _ in provider.stdout:
            pass
        code = provider.wait()
        if not self.stopped.is_set():
            log.error("the simulated provider ended with code %d; see %s", code, self._logs / "provider.log")

    def _add_functions(self, provider_url: str | None) -> None:
        for config, role_arn in self.deployment.functions:
            environment = self._process_environment(config, role_arn, provider_url)
            self.functions.add(
                Function(
                    config,
                    environment,
                    self._logs / f"{config.name}.log",
                    cap=self.options.processes_per_function,
                    freeze=self.options.freeze,
                    meter=self.meter,
                )
            )

    def _process_environment(self, config: FunctionConfig, role_arn: str, provider_url: str | None) -> dict[str, str]:
        """What Lambda gives a process, and what makes it find the local cloud."""
        access_key, secret_key, token = self.principals.assume(role_arn, config.name)
        providers = _providers(config) if provider_url is not None and config.name == "work" else []
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "HOME": os.environ.get("HOME", "/tmp"),
            "PYTHONPATH": str(self.options.functions_path),
            "AWS_ENDPOINT_URL": self.aws_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "POWERTOOLS_TRACE_DISABLED": "true",
            **config.environment,
            **({"PROVIDER_URLS": json.dumps(dict.fromkeys(providers, provider_url))} if providers else {}),
            **_meant_for(config.name, self.options.environment),
            "_HANDLER": config.handler,
            "LAMBDA_TASK_ROOT": str(self.options.functions_path),
            "AWS_LAMBDA_FUNCTION_NAME": config.physical_name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.memory_megabytes),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{config.physical_name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "local",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": secret_key,
            "AWS_SESSION_TOKEN": token,
        }

    def _let_state_machines_call(self) -> None:
        clients = {}
        for role_arn in self.deployment.state_machine_roles:
            credentials = self.principals.assume(role_arn, "states")
            clients[role_arn] = moto_patches.new_task_client("lambda", REGION, self.aws_url, credentials)
        moto_patches.call_tasks_with(lambda service, role_arn: clients[role_arn])

    def _create_provider_secrets(self) -> None:
        names = {name for config, _ in self.deployment.functions for name in _providers(config)}
        for name in sorted(names):
            secretsmanager_backends[ACCOUNT_ID][REGION].create_secret(
                f"batchyard/providers/{name}",
                secret_string=f"local-{name}-key",
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
            self.poller.wake(str(call.parameters.get("QueueUrl", "")).rpartition("/")[2])

    # Controls.

    def _controls(self) -> dict[str, Any]:
        return {
            "GET /_local/state": lambda _: self.state(),
            "GET /_local/meter": lambda _: self.meter.to_json(_state_transitions()),
            "POST /_local/meter/reset": lambda _: self.meter.reset(),
            "GET /_local/processes": lambda _: [p for f in self.functions.all() for p in f.processes()],
            "POST /_local/kill": lambda body: self.functions.get(body["function"]).kill(
                busy_only=body.get("busy_only", True)
            ),
            "GET /_local/denials": lambda _: self.endpoint.denials(),
            "GET /_local/faults": lambda _: self.faults.to_json(),
            "POST /_local/faults": lambda body: self.faults.add(Fault(**read_fault(body))).id,
            "POST /_local/faults/clear": lambda _: self.faults.clear(),
            "POST /_local/faults/remove": lambda body: asdict(self.faults.remove(body["id"])),
            "POST /_local/limit": lambda body: self.functions.get(body["function"]).limit(body["timeout_seconds"]),
            "GET /_local/queues": lambda _: self.poller.depths(),
            "POST /_local/delivery": self._set_delivery,
            "POST /_local/fire": lambda body: self.events.fire(body["name"]),
            "POST /_local/accounts": lambda body: self.create_account(body["name"]),
            "POST /_local/stop": lambda _: self.stopped.set(),
        }

    def _set_delivery(self, body: Mapping[str, Any]) -> None:
        for name, value in body.items():
            if name not in DeliverySwitches.__dataclass_fields__:
                raise TypeError(f"there is no delivery switch {name}")
            setattr(self.switches, name, value)
        self.poller.wake()

    def create_account(self, name: str) -> dict[str, Any]:
        outcome = self.functions.get("admin").invoke(
            orjson.dumps({"action": "create_account", "name": name}), wait=True
        )
        created: dict[str, Any] = orjson.loads(outcome.payload)
        if outcome.error is not None:
            raise RuntimeError(f"the admin function failed: {created.get('errorMessage')}; see {self._logs}/admin.log")
        return created

    def state(self) -> dict[str, Any]:
        """What a client needs to know; also the source of .local/env."""
        buckets = {}
        for config, _ in self.deployment.functions:
            buckets |= {
                k: v for k, v in config.environment.items() if k in ("DATA_BUCKET", "DROP_BUCKET", "TABLE_NAME")
            }
        return {
            "api_url": self.api_url,
            "aws_endpoint": self.aws_url,
            "region": REGION,
            "access_key_id": self.operator[0],
            "secret_access_key": self.operator[1],
            "data_bucket": buckets.get("DATA_BUCKET", ""),
            "drop_bucket": buckets.get("DROP_BUCKET", ""),
            "table_name": buckets.get("TABLE_NAME", ""),
            "account_id": self.account_id,
            "api_key": self.api_key,
            "functions": {config.name: config.physical_name for config, _ in self.deployment.functions},
            "state_machines": [m.arn for m in state_machines()],
            "provider_url": self.provider_url,
            "logs": str(self._logs),
        }


def _providers(config: FunctionConfig) -> list[str]:
    urls: dict[str, str] = json.loads(config.environment.get("QUEUE_URLS", "{}"))
    return list(urls)


def _meant_for(function: str, environment: Mapping[str, str]) -> dict[str, str]:
    """NAME is for every function, function.NAME for one and stronger."""
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
