"""AWS WAF in front of the API, if the deployment asks for it: ceilings per address and per key, and addresses known for
abuse. A flood of bad keys is then refused before it uses up the stage's throttle.

Rule sets that read bodies stay out: batch files are large, and full of prompts that look like attacks.
"""

from __future__ import annotations

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from infra.deployment import Deployment

_REPUTATION = "AWSManagedRulesAmazonIpReputationList"


class Firewall(Construct):
    def __init__(self, scope: Construct, name: str, *, deployment: Deployment, stage: apigateway.Stage) -> None:
        super().__init__(scope, name)
        acl = waf.CfnWebACL(
            self,
            "Acl",
            name=deployment.name,
            scope="REGIONAL",
            default_action=waf.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=_visibility(deployment.name),
            rules=[
                _ceiling("requests-per-address", 0, deployment.requests_per_address),
                _ceiling("requests-per-key", 1, deployment.requests_per_address, header="authorization"),
                waf.CfnWebACL.RuleProperty(
                    name=_REPUTATION,
                    priority=2,
                    override_action=waf.CfnWebACL.OverrideActionProperty(none={}),
                    statement=waf.CfnWebACL.StatementProperty(
                        managed_rule_group_statement=waf.CfnWebACL.ManagedRuleGroupStatementProperty(
                            vendor_name="AWS", name=_REPUTATION
                        )
                    ),
                    visibility_config=_visibility(_REPUTATION),
                ),
            ],
        )
        waf.CfnWebACLAssociation(self, "Association", resource_arn=stage.stage_arn, web_acl_arn=acl.attr_arn)


def _ceiling(name: str, priority: int, limit: int, header: str | None = None) -> waf.CfnWebACL.RuleProperty:
    """`limit` requests in five minutes for one address, or for one value of `header`."""
    kinds = waf.CfnWebACL
    rate = kinds.RateBasedStatementProperty(aggregate_key_type="IP", limit=limit)
    if header:
        as_it_is = kinds.TextTransformationProperty(priority=0, type="NONE")
        key = kinds.RateLimitHeaderProperty(name=header, text_transformations=[as_it_is])
        rate = kinds.RateBasedStatementProperty(
            aggregate_key_type="CUSTOM_KEYS",
            custom_keys=[kinds.RateBasedStatementCustomKeyProperty(header=key)],
            limit=limit,
        )
    return kinds.RuleProperty(
        name=name,
        priority=priority,
        action=kinds.RuleActionProperty(block={}),
        statement=kinds.StatementProperty(rate_based_statement=rate),
        visibility_config=_visibility(name),
    )


def _visibility(name: str) -> waf.CfnWebACL.VisibilityConfigProperty:
    return waf.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=False
    )
