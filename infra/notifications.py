"""Where alarms go: an encrypted topic per kind of reader; the deployment's e-mail address, if any, reads both."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.deployment import Deployment


class Notifications(Construct):
    """`technical`: something is broken, somebody must act. `business`: the service runs, but its customers fare
    badly."""

    def __init__(self, scope: Construct, name: str, *, deployment: Deployment, key: kms.IKey) -> None:
        super().__init__(scope, name)
        self.technical = self._topic("Technical", deployment, key)
        self.business = self._topic("Business", deployment, key)

    def _topic(self, name: str, deployment: Deployment, key: kms.IKey) -> sns.Topic:
        topic = sns.Topic(
            self, name, display_name=f"{deployment.title} {name.lower()}", master_key=key, enforce_ssl=True
        )
        # A topic with a policy of its own loses the default one, which lets the account's alarms publish.
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
        if deployment.alarm_email:
            topic.add_subscription(subscriptions.EmailSubscription(deployment.alarm_email))
        return topic
