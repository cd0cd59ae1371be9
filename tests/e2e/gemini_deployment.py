"""A deployment with Gemini in the place of Groq, for the local cloud: it is none of the vendors that come with
Batchyard, because each of them costs a deployment something."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from local.deployment.templates import ROOT, stacks

MODEL = "gemini-2.5-flash"
_ENTRY = """[[providers]]
name = "gemini"
kind = "gemini"
base_url = "https://generativelanguage.googleapis.com/v1beta"
max_concurrency = 5
modes = ["realtime", "native"]

[[models]]
provider = "gemini"
id = "gemini-2.5-flash"
input_microusd = 300_000
cached_microusd = 30_000
output_microusd = 2_500_000

"""


def with_gemini(folder: Path) -> dict[str, Any]:
    """Options of a local cloud. What they name is written into `folder`."""
    functions, templates = folder / "functions", folder / "templates.json"
    shutil.copytree(ROOT / "functions", functions)
    providers = functions / "batchyard" / "providers.toml"
    (groq,) = (part for part in re.split(r"(?=\[\[providers]]\n)", providers.read_text()) if 'name = "groq"' in part)
    providers.write_text(providers.read_text().replace(groq, _ENTRY))
    named = json.dumps([asdict(stack) for stack in stacks()])
    templates.write_text(named.replace("groq", "gemini").replace("Groq", "Gemini"))
    return {"functions_path": functions, "templates": templates}
