"""The stack that can be made anew at any time: API, functions, queues, state machine, rules, alarms, dashboard."""

from __future__ import annotations

from aws_cdk import CfnOutput, DefaultStackSynthesizer, Stack
from constructs import Construct

from batchyard.adapters.catalogue import load_providers
from batchyard.surfaces.registry import ROUTES
from infra import permissions
from infra.business_alarms import BusinessAlarms
from infra.concurrency import share_out
from infra.dashboard import Dashboard
from infra.deployment import Deployment
from infra.drop_folder import DropFolder
from infra.firewall import Firewall
from infra.functions import SPECS, Functions
from infra.ingress import Ingress
from infra.model_jobs import grant_model_jobs, native_regions
from infra.notifications import Notifications
from infra.provider_queues import ProviderQueues
from infra.schedules import Schedules
from infra.stateful import StatefulStack
from infra.technical_alarms import TechnicalAlarms
from infra.uploads import Uploads
from infra.watched import Watched
from infra.workflow import Workflow, state_machine_arn

_DROP = "drop"
_DROPPED_FILES_AT_ONCE = 10


class StatelessStack(Stack):
    def __init__(self, scope: Construct, name: str, *, deployment: Deployment, stateful: StatefulStack) -> None:
        super().__init__(
            scope,
            name,
            description="Batchyard: API, functions, queues and state machine",
            synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
        )
        providers = load_providers()
        concurrency = share_out(
            deployment.lambda_concurrency_quota,
            {each: spec.concurrency for each, spec in SPECS.items()},
            {each.name: each.max_concurrency for each in providers} | {_DROP: _DROPPED_FILES_AT_ONCE},
        )
        maxima = dict(concurrency.maxima)
        dropped_at_once = maxima.pop(_DROP)
        functions = Functions(
            self,
            "Functions",
            deployment=deployment,
            reserved=concurrency.reserved,
            table=stateful.table,
            buckets=stateful.buckets,
        )
        queues = ProviderQueues(self, "ProviderQueues", deployment=deployment, worker=functions["work"], maxima=maxima)
        ingress = Ingress(self, "Ingress", deployment=deployment, functions=functions, routes=ROUTES)
        drop_folder = DropFolder(
            self,
            "DropFolder",
            deployment=deployment,
            bucket=stateful.buckets.drop,
            function=functions["drop"],
            maximum=dropped_at_once,
        )
        uploads = Uploads(self, "Uploads", deployment=deployment, assemble=functions["assemble"])
        Schedules(self, "Schedules", deployment=deployment, sweep=functions["sweep"])
        workflow = Workflow(self, "Workflow", deployment=deployment, functions=functions)

        permissions.grant_storage(functions, stateful.table, stateful.buckets)
        permissions.grant_workflow(functions, state_machine_arn(self, deployment))
        permissions.grant_queues(functions, queues)
        for caller in ("work", "jobs"):
            permissions.grant_provider_secrets(functions[caller], deployment.secret_prefix)
        permissions.grant_models(functions["work"], providers)
        grant_model_jobs(functions["jobs"], stateful.buckets.data, native_regions(providers, deployment.modes))
        permissions.grant_caller_key(functions, stateful.key)
        permissions.grant_webhooks(functions, stateful.key)
        permissions.grant_assembly(functions)
        permissions.grant_jobs(functions, concurrency.jobs_at_once)

        watched = Watched(
            functions=functions,
            queues={**queues.queues, _DROP: drop_folder.queue},
            dead_letters={
                **queues.dead_letters,
                _DROP: drop_folder.dead_letters,
                "assemble": uploads.dead_letters,
            },
            drop_rule=drop_folder.rule,
            state_machine=workflow.state_machine,
            api=ingress.api,
            table=stateful.table,
        )
        topics = Notifications(self, "Notifications", deployment=deployment, key=stateful.key)
        TechnicalAlarms(self, "TechnicalAlarms", deployment=deployment, topic=topics.technical, watched=watched)
        BusinessAlarms(self, "BusinessAlarms", deployment=deployment, topic=topics.business)
        if deployment.dashboard:
            Dashboard(self, "Dashboard", deployment=deployment, watched=watched)
        if deployment.waf:
            Firewall(self, "Firewall", deployment=deployment, stage=ingress.api.deployment_stage)

        for output, (value, description) in {
            "BaseUrl": (ingress.api.url_for_path("/v1"), "Where OpenAI's SDK is pointed at"),
            "AdminFunction": (functions["admin"].function.function_name, "Makes accounts and API keys"),
        }.items():
            CfnOutput(self, output, value=value, description=description)
