"""How long a cold start spends importing: each handler in fresh processes, the median of several."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

HANDLERS = Path(__file__).parents[1] / "functions" / "batchyard" / "handlers"
_DEFINES_HANDLER = re.compile(r"^(def handler\(|handler *[=:])", re.MULTILINE)
_IMPORT = """
import time
started = time.perf_counter()
import batchyard.handlers.{name}
print(time.perf_counter() - started)
"""
_PLACEHOLDERS = {
    "TABLE_NAME": "table",
    "DATA_BUCKET": "data",
    "DROP_BUCKET": "drop",
    "QUEUE_URLS": "{}",
    "STATE_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:bench",
    "ASSEMBLE_FUNCTION": "assemble",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "POWERTOOLS_SERVICE_NAME": "bench",
    "POWERTOOLS_METRICS_NAMESPACE": "Batchyard",
    "POWERTOOLS_TRACE_DISABLED": "true",
}


def names() -> list[str]:
    """Every function of the deployment: a handlers module that defines `handler`."""
    return sorted(path.stem for path in HANDLERS.glob("*.py") if _DEFINES_HANDLER.search(path.read_text()))


def measure(name: str, times: int = 5) -> float:
    """Median milliseconds, bytecode already compiled. Nothing else is imported before."""
    environment = os.environ | _PLACEHOLDERS | {"PYTHONPATH": str(HANDLERS.parents[1])}
    command = [sys.executable, "-c", _IMPORT.format(name=name)]
    seconds = [
        float(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)
        for _ in range(times + 1)
    ]
    return statistics.median(seconds[1:]) * 1000
