"""What a synth wrote: two templates and cdk-nag's report, as tests look at them."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One line of cdk-nag's report."""

    rule: str
    resource: str
    compliance: str
    reason: str


@dataclass(frozen=True)
class Template:
    """A synthesized stack."""

    body: dict[str, Any]

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """Logical id -> properties, of one kind of resource."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.body["Resources"].items()
            if resource["Type"] == kind
        }


@dataclass(frozen=True)
class Synthesized:
    folder: Path
    stateful: Template
    stateless: Template

    def findings(self) -> list[Finding]:
        found = []
        for report in sorted(self.folder.glob("AwsSolutions-*-NagReport.csv")):
            with report.open(newline="") as lines:
                for row in csv.DictReader(lines):
                    found.append(
                        Finding(row["Rule ID"], row["Resource ID"], row["Compliance"], row["Exception Reason"])
                    )
        return found


def read(folder: Path) -> Synthesized:
    """What a synth wrote to `folder`."""
    stateful, stateless = (
        Template(json.loads(next(folder.glob(f"*-{stack}.template.json")).read_text()))
        for stack in ("Stateful", "Stateless")
    )
    return Synthesized(folder, stateful, stateless)
