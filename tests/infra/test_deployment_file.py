"""A deployment's file: which one is read, what it may say, and what the guide and the example say of it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from batchyard import settings
from infra.concurrency import UNRESERVED
from infra.deployment import FOLDER, Deployment, DeploymentRefused, parse, read
from tests.infra.conftest import ROOT
from tests.infra.templates import Synthesized

SMALLEST = Deployment(name="batchyard", lambda_concurrency_quota=1000)
EXAMPLE = (FOLDER / "example.toml").read_text()


def test_no_deployment_is_chosen_by_forgetting_one() -> None:
    """Without `-c deployment=…` the app ends with the files there are, and writes nothing."""
    done = subprocess.run([sys.executable, "infra/app.py"], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 1
    assert "-c deployment=<file>" in done.stderr
    assert "example, local" in done.stderr


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With the names of those that are."""
    (tmp_path / "production.toml").write_text('name = "batchyard"\nlambda_concurrency_quota = 1000\n')
    assert read("production", tmp_path) == SMALLEST
    with pytest.raises(DeploymentRefused, match=r"staging\.toml.*production"):
        read("staging", tmp_path)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "name: Field required"),
        ('name = "Batchyard"', "name: String should match"),
        ('name = "batchyard"', "lambda_concurrency_quota: Field required"),
        ('name = "batchyard"\nlambda_concurrency_quota = "10"', "valid integer"),
        ('name = "batchyard"\nlambda_concurrency_quota = 10\nwaff = true', "waff: Extra inputs"),
        ('name = "batchyard"\nlambda_concurrency_quota = 10\nlimits = {max_items = 5}', "called max_items"),
        ('name = "batchyard"\nlambda_concurrency_quota = 10\nlimits = {max_batch_items = "many"}', "max_batch_items"),
        ('name = "batchyard"\nlambda_concurrency_quota = 10\nlimits = {presigned_url_seconds = 7200}', "3600"),
        ('name = "batchyard"\nlambda_concurrency_quota = 10\ncors_origins = ["app.example.com"]', "no origin"),
        ('name = "batchyard"\nlambda_concurrency_quota = 10\ncors_origins = ["https://a.b/c"]', "no origin"),
        ('name = "batchyard"\nlambda_concurrency_quota = 10\nsubnets = ["subnet-12345678"]', "go together"),
        ('name = "batchyard"\nlambda_concurrency_quota = 10\nsubnets = ["10.0.0.0/24"]', "no id such as subnet-"),
        *(
            (f'name = "batchyard"\nlambda_concurrency_quota = 10\nlane_limits = [{{provider = {entry}}}]', complaint)
            for entry, complaint in (
                ('"nobody"', "unknown provider 'nobody'"),
                ('"openai", tokens_per_minute = 0', "tokens_per_minute"),
                ('"openai", tokens_per_hour = 9', "tokens_per_hour"),
            )
        ),
        *(
            (f'name = "batchyard"\nlambda_concurrency_quota = 10\n[policy]\n{line}', complaint)
            for line, complaint in (
                ('modes = ["native"]', "modes has realtime"),
                ('routing_mode = "fastest"', "routing_mode is one of: cheapest"),
                ("early_failover = 1", "early_failover is true or false"),
                ('tier = "flex"', "a policy has no 'tier'"),
            )
        ),
        ("name = ", "no TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(line: str, complaint: str) -> None:
    """A misspelt, missing or mistyped setting stops the synth with its name."""
    with pytest.raises(DeploymentRefused, match=re.escape(complaint)):
        parse(line, "x.toml")


def test_the_example_has_every_setting_at_its_default() -> None:
    """With what is commented out switched on, the example sets every field there is, and to what the code has."""
    settings = re.sub(r"^# (?=(\[*\w+\]*)( = .*)?$)", "", EXAMPLE, flags=re.MULTILINE)
    given = tomllib.loads(settings)
    assert given.keys() == Deployment.model_fields.keys()
    exemplary = {
        "name",
        "alarm_email",
        "drop_days",
        "limits",
        "provider_urls",
        "provider_modes",
        "lane_limits",
        "tags",
    }
    exemplary |= {"policy", "cors_origins", "subnets", "security_groups"}
    for name, value in given.items():
        if name not in exemplary and not name.startswith("existing_"):
            assert value == getattr(SMALLEST, name), name
    parse(EXAMPLE, "example.toml")


def test_the_guide_counts_concurrency(synthesized: Synthesized) -> None:
    """The numbers that decide whether a small account can deploy are the template's."""
    functions = synthesized.stateless.resources("AWS::Lambda::Function").values()
    reserved = sum(each.get("ReservedConcurrentExecutions", 0) for each in functions)
    guide = (ROOT / "docs" / "deploy.md").read_text()
    assert f"reserve {reserved} concurrent executions" in guide
    assert f"{reserved + UNRESERVED}: the functions reserve" in guide


def test_the_guide_names_settings_that_exist() -> None:
    """Every `setting = value` in the guide, the runbook and the page on state is one that a file may have."""
    text = "".join((ROOT / "docs" / page).read_text() for page in ("deploy.md", "runbook.md", "state.md"))
    known = (
        Deployment.model_fields.keys() | settings.Limits.model_fields.keys() | settings.WorkSettings.model_fields.keys()
    )
    named = set(re.findall(r"`(\w+) = [^`]+`", text))
    assert len(named) >= 4
    assert named <= known
    for setting in ("drop_days", "drop_version_days", "working_days", "batch_file_days", "log_retention_days"):
        assert f"`{setting}`" in text
        assert setting in known


def test_stacks_are_named_after_the_deployment(synthesized: Synthesized, staging: Synthesized) -> None:
    """Two deployments in one account do not share a name."""
    assert {path.name.partition(".")[0] for path in synthesized.folder.glob("*.template.json")} == {
        "Batchyard-Stateful",
        "Batchyard-Stateless",
    }
    assert {path.name.partition(".")[0] for path in staging.folder.glob("*.template.json")} == {
        "Batchyard-Staging-Stateful",
        "Batchyard-Staging-Stateless",
    }


def test_no_deployment_can_allow_a_local_receiver() -> None:
    """Webhooks go to this machine in the local cloud only: the setting is no limit that a file may replace."""
    text = 'name = "x"\nlambda_concurrency_quota = 1000\n[limits]\nwebhook_hosts = "127.0.0.1:9400"\n'
    with pytest.raises(DeploymentRefused, match="webhook_hosts"):
        parse(text, "x.toml")
