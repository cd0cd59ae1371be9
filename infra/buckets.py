"""The buckets: data (keys: batchyard.core.keys), the drop folder, and the access log of both. Instead of being made,
data and drop can be existing buckets, given by name. Their lifecycle and events then stay as they are.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.deployment import Deployment

_BROWSERS = [
    s3.CorsRule(
        allowed_origins=["*"],
        allowed_methods=[s3.HttpMethods.GET, s3.HttpMethods.HEAD, s3.HttpMethods.PUT],
        allowed_headers=["*"],
        max_age=7200,
    )
]
"""For presigned URLs, which are all that a page can use. A browser that is redirected to one says that its origin is
`null`, so no origin can be named here."""
_NEVER_FINISHED = s3.LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(2))


class Buckets(Construct):
    def __init__(self, scope: Construct, name: str, *, deployment: Deployment, removal: RemovalPolicy) -> None:
        super().__init__(scope, name)
        self._removal = removal
        self._access_log = self._bucket(
            "AccessLog", lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(90)), _NEVER_FINISHED]
        )
        self.data = self._found("Data", deployment.existing_data_bucket) or self._data(deployment)
        self.drop = self._found("Drop", deployment.existing_drop_bucket) or self._drop(deployment)

    def _data(self, deployment: Deployment) -> s3.Bucket:
        working = Duration.days(deployment.working_days)
        return self._bucket(
            "Data",
            server_access_logs_bucket=self._access_log,
            server_access_logs_prefix="data/",
            lifecycle_rules=[
                s3.LifecycleRule(prefix="work/", expiration=working),
                s3.LifecycleRule(prefix="parts/", expiration=working),
                s3.LifecycleRule(prefix="incoming/", expiration=working),
                s3.LifecycleRule(prefix="uploads/", expiration=Duration.days(2)),
                s3.LifecycleRule(prefix="jobs/", expiration=working),
                s3.LifecycleRule(prefix="exports/", expiration=Duration.days(1)),
                s3.LifecycleRule(
                    prefix="files/",
                    transitions=[
                        s3.Transition(
                            storage_class=s3.StorageClass.INTELLIGENT_TIERING, transition_after=Duration.days(30)
                        )
                    ],
                ),
                _NEVER_FINISHED,
            ],
            cors=_BROWSERS if deployment.cors_origins else None,
        )

    def _drop(self, deployment: Deployment) -> s3.Bucket:
        kept = Duration.days(deployment.drop_days) if deployment.drop_days else None
        bucket = self._bucket(
            "Drop",
            versioned=True,
            server_access_logs_bucket=self._access_log,
            server_access_logs_prefix="drop/",
            lifecycle_rules=[
                s3.LifecycleRule(
                    noncurrent_version_expiration=Duration.days(deployment.drop_version_days),
                    expired_object_delete_marker=True,
                ),
                *(s3.LifecycleRule(prefix=prefix, expiration=kept) for prefix in ("drop/", "results/") if kept),
                _NEVER_FINISHED,
            ],
        )
        # The L2 switch would deploy a custom resource with a function of its own.
        resource = bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)
        resource.add_property_override("NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled", True)
        return bucket

    def _found(self, name: str, existing: str | None) -> s3.IBucket | None:
        return s3.Bucket.from_bucket_name(self, name, existing) if existing else None

    def _bucket(self, name: str, **properties: Any) -> s3.Bucket:
        return s3.Bucket(
            self,
            name,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=self._removal,
            **properties,
        )
