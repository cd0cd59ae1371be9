"""Provider jobs at Amazon Bedrock: the role that Bedrock takes on for them, what the native executor may ask for, and
the rule by which it learns at once that a job is over.

All only if a provider that is called with our role runs in native mode. Bedrock reads what the executor puts under
`jobs/` of the data bucket, and writes its answers there.
https://docs.aws.amazon.com/bedrock/latest/userguide/batch-iam-sr.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from aws_cdk import Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from cdk_nag import NagSuppressions

from batchyard.core.keys import job_prefix
from batchyard.core.lanes import Mode
from batchyard.core.model_job_events import DETAIL_TYPE, NAME_PREFIX, OVER, SOURCE
from batchyard.core.providers import Provider
from infra.function import Function
from infra.permissions import RUN_MODEL, ModelArns

_FILES = f"{job_prefix('')}*"
_READ_AND_WRITE = ("s3:GetObject", "s3:PutObject")
_ALSO_DELETE = ("s3:AbortMultipartUpload", "s3:DeleteObject")
_ABOUT_A_JOB = ("bedrock:GetModelInvocationJob", "bedrock:StopModelInvocationJob")
_ONLY_FILES = {"StringLike": {"s3:prefix": _FILES}}
_FINDINGS: list[str | dict[str, str]] = [
    {"regex": "/^Resource::arn:.*:bedrock:.*\\/\\*$/"},
    {"regex": "/^Resource::.*\\/jobs\\/\\*$/"},
]
_REASON = "Jobs have no names before they are made; which models they run is decided by the price list."


def native_regions(providers: Iterable[Provider], modes: Mapping[str, Sequence[str]]) -> list[str]:
    """Where jobs are made with our role. `modes`: the deployment's, by provider, instead of those of their entries."""
    return sorted(
        {
            provider.aws_region or ""
            for provider in providers
            if provider.uses_role and Mode.NATIVE in modes.get(provider.name, provider.modes)
        }
    )


def grant_model_jobs(jobs: Function, bucket: s3.IBucket, regions: Sequence[str]) -> None:
    """Nothing without `regions`."""
    if not regions:
        return
    stack = Stack.of(jobs)
    arns = ModelArns.of(stack, regions)
    made = [f"arn:{stack.partition}:bedrock:{each}:{stack.account}:model-invocation-job/*" for each in regions]
    role = _role(jobs, bucket, arns, made)
    jobs.set_variable("BEDROCK_ROLE_ARN", role.role_arn)
    jobs.allow(["bedrock:CreateModelInvocationJob"], *arns.models, *arns.profiles, *made)
    jobs.allow(_ABOUT_A_JOB, *made)
    jobs.allow(["bedrock:ListModelInvocationJobs"], "*")
    jobs.allow(
        ["iam:PassRole"], role.role_arn, conditions={"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}
    )
    jobs.allow(_READ_AND_WRITE + _ALSO_DELETE, bucket.arn_for_objects(_FILES))
    jobs.allow(["s3:ListBucket"], bucket.bucket_arn, conditions=_ONLY_FILES)
    jobs.accept(_REASON, [*_FINDINGS, "Resource::*"])
    _tell_at_once(jobs)


def _tell_at_once(jobs: Function) -> None:
    """An event of another deployment's job finds nothing here. Without any, jobs are looked at when they are due."""
    events.Rule(
        jobs,
        "ModelJobIsOver",
        description="Amazon Bedrock has ended a provider job",
        event_pattern=events.EventPattern(
            source=[SOURCE],
            detail_type=[DETAIL_TYPE],
            detail={"batchJobName": [{"prefix": NAME_PREFIX}], "status": sorted(OVER)},
        ),
        targets=[targets.LambdaFunction(jobs.function, retry_attempts=0, max_event_age=Duration.minutes(1))],
    )


def _role(jobs: Function, bucket: s3.IBucket, arns: ModelArns, made: Sequence[str]) -> iam.Role:
    """What Bedrock may do for a job of this account, and only for that."""
    role = iam.Role(
        jobs,
        "ModelJobs",
        assumed_by=iam.ServicePrincipal(
            "bedrock.amazonaws.com",
            conditions={
                "StringEquals": {"aws:SourceAccount": Stack.of(jobs).account},
                "ArnLike": {"aws:SourceArn": list(made)},
            },
        ),
        description="What Amazon Bedrock may do for provider jobs",
    )
    for actions, resources, conditions in (
        (_READ_AND_WRITE, [bucket.arn_for_objects(_FILES)], None),
        (("s3:ListBucket",), [bucket.bucket_arn], _ONLY_FILES),
        ((RUN_MODEL,), [*arns.models, *arns.profiles], None),
        ((RUN_MODEL,), [arns.elsewhere], arns.only_by_profile),
    ):
        role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=resources, conditions=conditions))
    NagSuppressions.add_resource_suppressions(
        role,
        [{"id": "AwsSolutions-IAM5", "reason": _REASON, "appliesTo": _FINDINGS}],
        apply_to_children=True,
    )
    return role
