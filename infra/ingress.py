"""The REST API: a resource and a method for each route of the registry, HEAD wherever there is GET, and OPTIONS if the
deployment names origins of browsers. Every other request gets a gateway response."""

from __future__ import annotations

from collections.abc import Collection

from aws_cdk import aws_apigateway as apigateway
from cdk_nag import NagSuppressions
from constructs import Construct

from batchyard.surfaces.route import Route
from infra.deployment import Deployment
from infra.functions import Functions
from infra.gateway_responses import add_gateway_responses
from infra.log import Log

STAGE = "api"
PREFLIGHT_FUNCTION = "account"
"""What answers browsers that ask what they may send."""


class Ingress(Construct):
    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        deployment: Deployment,
        functions: Functions,
        routes: Collection[Route],
    ) -> None:
        super().__init__(scope, name)
        access_log = Log(
            self, "AccessLog", deployment=deployment, log_group_name=f"/aws/apigateway/{deployment.name}-access"
        )
        self.api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=deployment.name,
            description="Batchyard",
            binary_media_types=["*/*"],
            cloud_watch_role=True,
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            deploy_options=apigateway.StageOptions(
                stage_name=STAGE,
                tracing_enabled=True,
                metrics_enabled=False,  # These are billed per method; alarms read metrics that exist without them.
                # Execution logs would go to a log group that API Gateway makes itself and that keeps them for ever.
                logging_level=apigateway.MethodLoggingLevel.OFF,
                data_trace_enabled=False,  # It would log bodies and keys.
                throttling_rate_limit=deployment.api_requests_per_second,
                throttling_burst_limit=deployment.api_burst,
                access_log_destination=apigateway.LogGroupLogDestination(access_log),
                access_log_format=_access_log_format(),
            ),
        )
        self.api.node.try_remove_child("Endpoint")  # CDK's own output, which has a generated name.
        add_gateway_responses(self.api, for_browsers=bool(deployment.cors_origins))
        integrations = {
            each: apigateway.LambdaIntegration(functions[each].function, scope_permission_to_method=False)
            for each in sorted({route.function for route in routes})
        }
        # Dialects may share a path; the function finds out which one it is, so both have to name the same function.
        for path, method, function in dict.fromkeys((each.path, each.method, each.function) for each in routes):
            resource = self.api.root.resource_for_path(path)
            resource.add_method(method, integrations[function])
            if method == "GET":
                resource.add_method("HEAD", integrations[function])
        if deployment.cors_origins:
            for path in dict.fromkeys(each.path for each in routes):
                self.api.root.resource_for_path(path).add_method("OPTIONS", integrations[PREFLIGHT_FUNCTION])
        self._accept_findings(deployment)

    def _accept_findings(self, deployment: Deployment) -> None:
        NagSuppressions.add_resource_suppressions(
            self.api,
            [
                {"id": "AwsSolutions-APIG2", "reason": "Functions parse requests and answer in the caller's dialect."},
                {"id": "AwsSolutions-APIG4", "reason": "Every function checks the API key against the table first."},
                {
                    "id": "AwsSolutions-APIG6",
                    "reason": "The access log has each request's error; execution logs would be kept for ever.",
                },
                {"id": "AwsSolutions-COG4", "reason": "Callers are programs with API keys, not people who sign in."},
                {
                    "id": "AwsSolutions-IAM4",
                    "reason": "The role through which API Gateway logs is AWS's own, one per account and region.",
                    "appliesTo": [
                        "Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
                    ],
                },
            ],
            apply_to_children=True,
        )
        if not deployment.waf:
            NagSuppressions.add_resource_suppressions(
                self.api.deployment_stage,
                [{"id": "AwsSolutions-APIG3", "reason": "WAF costs money and is the operator's choice."}],
            )


def _access_log_format() -> apigateway.AccessLogFormat:
    """No bodies, no query strings, no keys."""
    return apigateway.AccessLogFormat.custom(
        "{"
        + ",".join(
            f'"{name}":"{variable}"'
            for name, variable in {
                "request_id": "$context.requestId",
                "time": "$context.requestTimeEpoch",
                "method": "$context.httpMethod",
                "resource": "$context.resourcePath",
                "status": "$context.status",
                "error": "$context.error.responseType",
                "integration_error": "$context.integration.error",
                "response_bytes": "$context.responseLength",
                "latency_milliseconds": "$context.responseLatency",
                "integration_milliseconds": "$context.integrationLatency",
                "caller_address": "$context.identity.sourceIp",
                "user_agent": "$context.identity.userAgent",
                "trace_id": "$context.xrayTraceId",
            }.items()
        )
        + "}"
    )
