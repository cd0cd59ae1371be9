"""The environment variables that Lambda gives a function's process, and those that make it find the local cloud.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from local.deployment.declared import REGION, FunctionConfig
from local.iam.identities import Credentials


def process_variables(
    config: FunctionConfig, added: Mapping[str, str], credentials: Credentials, functions_path: Path
) -> dict[str, str]:
    """`added` come on top of the template's variables; handlers are imported from `functions_path`."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "HOME": os.environ.get("HOME", "/tmp"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "POWERTOOLS_TRACE_DISABLED": "true",
        **config.environment,
        **added,
        **code_variables(functions_path),
        "_HANDLER": config.handler,
        "AWS_LAMBDA_FUNCTION_NAME": config.physical_name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.memory_megabytes),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{config.physical_name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": credentials.session_token,
    }


def code_variables(functions_path: Path) -> dict[str, str]:
    """The variables that say where a function's code is."""
    return {"PYTHONPATH": str(functions_path), "LAMBDA_TASK_ROOT": str(functions_path)}
