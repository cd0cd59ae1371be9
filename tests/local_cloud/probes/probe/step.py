"""A state machine's task. It fails as often as its input says, and keeps the task token in the table."""

import os
import time

import boto3

table = boto3.client("dynamodb")


class NotReady(Exception):
    pass


def handler(event, context):
    row = table.update_item(
        TableName=os.environ["TABLE_NAME"],
        Key={"pk": {"S": "step"}, "sk": {"S": event["name"]}},
        UpdateExpression="ADD tries :one SET task_token = :token",
        ExpressionAttributeValues={":one": {"N": "1"}, ":token": {"S": event.get("task_token", "-")}},
        ReturnValues="ALL_NEW",
    )["Attributes"]
    time.sleep(event.get("hold_seconds", 0))
    if int(row["tries"]["N"]) <= event.get("fail", 0):
        raise NotReady("not yet")
    return {"tries": int(row["tries"]["N"]), "seconds": event.get("seconds", 60)}
