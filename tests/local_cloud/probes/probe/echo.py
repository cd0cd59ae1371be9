"""Answers with what it was given, or misbehaves in the way the event asks for. Also an API function."""

import os
import sys
import time

COUNT = [0]


def handler(event, context):
    COUNT[0] += 1
    if "httpMethod" in event:
        return _answer(event)
    kind = event.get("do")
    if kind == "raise":
        raise ValueError("as asked")
    if kind == "exit":
        os._exit(3)
    if kind == "sleep":
        time.sleep(event["seconds"])
    if kind == "large":
        return {"data": "x" * event["bytes"]}
    if kind == "fill":
        filling = b"x" * event["bytes"]
        if event.get("let_go"):
            del filling
        time.sleep(event.get("seconds", 0))
        return {"bytes": event["bytes"], "pid": os.getpid()}
    if kind == "print":
        sys.stdout.write(event["text"] + "\n")
    return {
        "event": event,
        "pid": os.getpid(),
        "count": COUNT[0],
        "name": context.function_name,
        "arn": context.invoked_function_arn,
        "left": context.get_remaining_time_in_millis(),
        "environment": {name: os.environ.get(name) for name in ("GREETING", "TABLE_NAME", "EXTRA")},
    }


def _answer(event):
    wanted = (event["queryStringParameters"] or {}).get("do")
    if wanted == "raise":
        raise ValueError("as asked")
    if wanted == "nonsense":
        return "not a proxy response"
    if wanted == "large":
        return {"statusCode": 200, "body": "x" * 7_000_000}
    import json

    return {
        "statusCode": 201,
        "headers": {"x-one": "1"},
        "multiValueHeaders": {"set-cookie": ["a=1", "b=2"]},
        "body": json.dumps(event),
    }
