"""An SQS function. Every record's body says what to do; what happened is counted in the table, by message."""

import json
import os
import time

import boto3

table = boto3.client("dynamodb")


def handler(event, context):
    failures = []
    for record in event["Records"]:
        body = json.loads(record["body"])
        table.update_item(
            TableName=os.environ["TABLE_NAME"],
            Key={"pk": {"S": "records"}, "sk": {"S": body["name"]}},
            UpdateExpression="ADD deliveries :one SET largest_batch = :size, message_group = :group",
            ExpressionAttributeValues={
                ":one": {"N": "1"},
                ":size": {"N": str(len(event["Records"]))},
                ":group": {"S": record["attributes"].get("MessageGroupId", "none")},
            },
        )
        if body.get("do") == "sleep":
            time.sleep(body["seconds"])
        if body.get("do") == "raise":
            raise ValueError("as asked")
        if body.get("do") == "report" and int(record["attributes"]["ApproximateReceiveCount"]) <= body["times"]:
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
