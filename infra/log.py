"""A log group that keeps logs for the deployment's number of days."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.deployment import Deployment


class Log(logs.LogGroup):
    def __init__(self, scope: Construct, name: str, *, deployment: Deployment, log_group_name: str) -> None:
        super().__init__(scope, name, log_group_name=log_group_name, removal_policy=RemovalPolicy.DESTROY)
        group = self.node.default_child
        assert isinstance(group, logs.CfnLogGroup)
        group.retention_in_days = deployment.log_retention_days
