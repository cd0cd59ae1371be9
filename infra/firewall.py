"""AWS WAF in front of the API, if the deployment asks for it: a ceiling per address, and addresses known for abuse.

Rule sets that read bodies stay out: batch files are large, and full of prompts that look like attacks.
"""

from __future__ import annotations

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from infra.deployment import Deployment

_REQUESTS_PER_ADDRESS = 10_000
"""In five minutes."""
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
                waf.CfnWebACL.RuleProperty(
                    name="requests-per-address",
                    priority=0,
                    action=waf.CfnWebACL.RuleActionProperty(block={}),
                    statement=waf.CfnWebACL.StatementProperty(
                        rate_based_statement=waf.CfnWebACL.RateBasedStatementProperty(
                            aggregate_key_type="IP", limit=_REQUESTS_PER_ADDRESS
                        )
                    ),
                    visibility_config=_visibility("requests-per-address"),
                ),
                waf.CfnWebACL.RuleProperty(
                    name=_REPUTATION,
                    priority=1,
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


def _visibility(name: str) -> waf.CfnWebACL.VisibilityConfigProperty:
    return waf.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=False
    )
