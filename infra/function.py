"""One Lambda function with everything that belongs to it alone: role, log group, concurrency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Duration, Size
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from cdk_nag import NagSuppressions
from constructs import Construct

from infra.deployment import Deployment, variable
from infra.log import Log

_NETWORK_INTERFACES = (
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)
"""What AWSLambdaVPCAccessExecutionRole has beside logs."""


@dataclass(frozen=True, slots=True)
class Spec:
    """`concurrency` is what to reserve for the function; None if its event source has a maximum concurrency.
    `feeds_itself`: it sends messages to the queue that it is invoked by. `traced`: X-Ray follows its invocations.
    `disk_mib`: of temporary files. `calls_providers`: it runs in the deployment's subnets, if that names some."""

    description: str
    memory_mib: int
    timeout_seconds: int
    concurrency: int | None
    feeds_itself: bool = False
    traced: bool = True
    disk_mib: int = 512
    calls_providers: bool = False


class Function(Construct):
    """Handler `batchyard.handlers.<name>.handler`. `infra.permissions` says what it may do."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        deployment: Deployment,
        spec: Spec,
        reserved: int | None,
        code: lambda_.Code,
        variables: Mapping[str, str],
    ) -> None:
        """`reserved`: concurrent executions kept for it."""
        super().__init__(scope, name.capitalize())
        full_name = f"{deployment.name}-{name}"
        self.name = name
        self.timeout = Duration.seconds(spec.timeout_seconds)
        self.log = Log(self, "Log", deployment=deployment, log_group_name=f"/aws/lambda/{full_name}")
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"What the function {full_name} may do",
        )
        self.allow(["logs:CreateLogStream", "logs:PutLogEvents"], self.log.log_group_arn)
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=full_name,
            description=spec.description,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler=f"batchyard.handlers.{name}.handler",
            code=code,
            role=self.role,
            memory_size=spec.memory_mib,
            timeout=self.timeout,
            ephemeral_storage_size=Size.mebibytes(spec.disk_mib) if spec.disk_mib != 512 else None,
            reserved_concurrent_executions=reserved,
            # Lambda mistakes a function that feeds itself for a runaway loop, and stops it after 16 rounds.
            recursive_loop=lambda_.RecursiveLoop.ALLOW if spec.feeds_itself else lambda_.RecursiveLoop.TERMINATE,
            tracing=lambda_.Tracing.ACTIVE if spec.traced else lambda_.Tracing.DISABLED,
            log_group=self.log,
            environment={
                "POWERTOOLS_SERVICE_NAME": name,
                "POWERTOOLS_METRICS_NAMESPACE": deployment.name,
                "LOG_LEVEL": deployment.log_level,
                **{limit.upper(): variable(value) for limit, value in deployment.limits.items()},
                **variables,
            },
        )
        NagSuppressions.add_resource_suppressions(
            self.function,
            [{"id": "AwsSolutions-L1", "reason": "Python 3.13 is what the locked wheels are tested with."}],
        )
        if spec.calls_providers and deployment.subnets:
            self._enter(deployment)
        if spec.traced:
            self.accept("X-Ray's write actions take no resource.", ["Resource::*"])

    def _enter(self, deployment: Deployment) -> None:
        """Run in the deployment's subnets. By ids, because CDK's own way would look the VPC up while it synthesizes."""
        function = self.function.node.default_child
        assert isinstance(function, lambda_.CfnFunction)
        function.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
            subnet_ids=list(deployment.subnets), security_group_ids=list(deployment.security_groups)
        )
        self.allow(_NETWORK_INTERFACES, "*")
        self.accept("Lambda's network interfaces have no names before they are made.", ["Resource::*"])

    @property
    def arn(self) -> str:
        return self.function.function_arn

    def allow(
        self, actions: Sequence[str], *resources: str, conditions: Mapping[str, Mapping[str, object]] | None = None
    ) -> None:
        self.role.add_to_policy(
            iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions)
        )

    def set_variable(self, variable: str, value: str) -> None:
        """Set an environment variable."""
        self.function.add_environment(variable, value)

    def accept(self, reason: str, findings: Sequence[str | dict[str, str]]) -> None:
        """Suppress cdk-nag's findings about wildcards in this function's role, for `reason`."""
        NagSuppressions.add_resource_suppressions(
            self.role,
            [{"id": "AwsSolutions-IAM5", "reason": reason, "appliesTo": list(findings)}],
            apply_to_children=True,
        )
