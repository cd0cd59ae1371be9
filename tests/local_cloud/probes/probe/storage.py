"""Makes the AWS call its event names, so that a test sees what its role allows and what faults do to it."""

import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


def handler(event, context):
    client = boto3.client(event["service"], config=Config(retries={"total_max_attempts": event.get("attempts", 1)}))
    arguments = {
        name: os.path.expandvars(value) if isinstance(value, str) else value
        for name, value in event["arguments"].items()
    }
    try:
        answer = getattr(client, event["method"])(**arguments)
    except ClientError as error:
        return {
            "error": error.response["Error"]["Code"],
            "status": error.response["ResponseMetadata"]["HTTPStatusCode"],
        }
    return {"ok": sorted(set(answer) - {"ResponseMetadata"})}
