"""The functions as the template has them."""

from __future__ import annotations

from typing import Any

from batchyard.adapters.providers.vendor_http import _LONGEST_LINE_BYTES
from batchyard.core.images import JOB_ITEMS
from batchyard.settings import Limits
from tests.infra.conftest import ROOT
from tests.infra.templates import Synthesized

API = {"files", "batches", "account", "results"}
STEPS = {"validate", "dispatch", "fence", "finalize", "notify"}
NAMES = API | STEPS | {"admin", "drop", "work", "jobs", "sweep", "assemble", "deliver"}


def functions(synthesized: Synthesized) -> dict[str, dict[str, Any]]:
    """Handler's module -> properties."""
    found = synthesized.stateless.resources("AWS::Lambda::Function").values()
    return {each["Handler"].split(".")[2]: each for each in found}


def test_one_function_per_trigger_and_no_other(synthesized: Synthesized) -> None:
    """The template has our sixteen functions and none that CDK brought along, and each has a handler in the code."""
    assert functions(synthesized).keys() == NAMES
    assert len(synthesized.stateless.resources("AWS::Lambda::Function")) == len(NAMES)
    assert not synthesized.stateful.resources("AWS::Lambda::Function")
    for name, each in functions(synthesized).items():
        assert each["Handler"] == f"batchyard.handlers.{name}.handler"
        assert (ROOT / "functions" / "batchyard" / "handlers" / f"{name}.py").exists(), name


def test_every_function_says_how_large_and_how_long(synthesized: Synthesized) -> None:
    """Platform, memory, timeout and tracing are explicit, and as the design has them."""
    for name, each in functions(synthesized).items():
        assert each["Runtime"] == "python3.13", name
        assert each["Architectures"] == ["arm64"], name
        assert 256 <= each["MemorySize"] <= 3008, name
        assert (each.get("TracingConfig") == {"Mode": "Active"}) == (name != "sweep"), name
        assert each["Description"], name
    timeouts = {name: each["Timeout"] for name, each in functions(synthesized).items()}
    assert {name: timeouts[name] for name in ("files", "batches", "account")} == dict.fromkeys(
        ("files", "batches", "account"), 29
    )
    assert timeouts["work"] == timeouts["assemble"] == timeouts["results"] == 900
    assert timeouts["sweep"] < 60, "a sweep ends before the next one starts"


def test_the_answers_of_a_job_of_images_have_room(synthesized: Synthesized) -> None:
    """They are on the executor's disk together, and each may be as long as any."""
    disk_mib = functions(synthesized)["jobs"]["EphemeralStorage"]["Size"]
    assert disk_mib * 1024 * 1024 >= JOB_ITEMS * _LONGEST_LINE_BYTES


def test_only_what_calls_providers_runs_in_the_deployments_subnets(
    synthesized: Synthesized, staging: Synthesized
) -> None:
    """Both of them, if it names subnets; nothing else has a network of its own, and without subnets nobody has."""
    inside = {name: each["VpcConfig"] for name, each in functions(staging).items() if "VpcConfig" in each}
    subnets, groups = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"], ["sg-0123456789abcdef0"]
    assert inside.keys() == {"work", "jobs"}
    assert all(each == {"SubnetIds": subnets, "SecurityGroupIds": groups} for each in inside.values())
    assert not any("VpcConfig" in each for each in functions(synthesized).values())
    allowed = str(staging.stateless.resources("AWS::IAM::Policy"))
    assert allowed.count("ec2:CreateNetworkInterface") == len(inside)


def test_steps_that_compute_have_a_whole_cpu(synthesized: Synthesized) -> None:
    """Lambda gives a CPU for 1,769 MB. With less, Validate and Finalize are too slow for 5 GB in one invocation."""
    for name in ("validate", "finalize"):
        assert functions(synthesized)[name]["MemorySize"] >= 1769, name


def test_every_function_forgets_its_logs(synthesized: Synthesized) -> None:
    """Each function writes to a log group of the template, and every log group has a retention."""
    groups = synthesized.stateless.resources("AWS::Logs::LogGroup")
    assert {group["RetentionInDays"] for group in groups.values()} == {30}
    for name, each in functions(synthesized).items():
        group = groups[each["LoggingConfig"]["LogGroup"]["Ref"]]
        assert group["LogGroupName"] == f"/aws/lambda/batchyard-{name}"


def test_every_function_has_a_ceiling(synthesized: Synthesized) -> None:
    """A function has reserved concurrency, or every event source of it a maximum concurrency."""
    mappings = synthesized.stateless.resources("AWS::Lambda::EventSourceMapping").values()
    logical = {
        name: each["Handler"].split(".")[2]
        for name, each in synthesized.stateless.resources("AWS::Lambda::Function").items()
    }
    polled = {logical[mapping["FunctionName"]["Ref"]] for mapping in mappings}
    assert polled == {"drop", "work"}
    assert all(mapping["ScalingConfig"]["MaximumConcurrency"] >= 2 for mapping in mappings)
    for name, each in functions(synthesized).items():
        assert ("ReservedConcurrentExecutions" in each) != (name in polled), name


def test_each_function_has_the_variables_that_it_needs(synthesized: Synthesized) -> None:
    """The variables of the settings classes reach the functions that read them."""
    given = {name: each["Environment"]["Variables"] for name, each in functions(synthesized).items()}
    for name, variables in given.items():
        assert {"TABLE_NAME", "DATA_BUCKET", "LOG_LEVEL"} <= variables.keys()
        assert variables["POWERTOOLS_SERVICE_NAME"] == name
        assert variables["POWERTOOLS_METRICS_NAMESPACE"] == "batchyard"
    for variable, names in {
        "STATE_MACHINE_ARN": {"batches", "drop", "sweep"},
        "QUEUE_URLS": {"dispatch", "work", "jobs", "sweep"},
        "DEAD_LETTER_URLS": {"sweep"},
        "PROVIDER_URLS": {"work", "jobs"},
        "SECRET_PREFIX": {"work", "jobs"},
        "PROVIDER_MODES": {"batches", "validate", "jobs"},
        "POLICY": {"batches", "drop"},
        "DEPLOYMENT": {"jobs"},
        "JOBS_FUNCTION": {"dispatch", "fence", "sweep"},
        "ASSEMBLE_FUNCTION": {"files"},
        "CALLER_KEY_ID": {"batches", "work", "jobs", "account", "deliver"},
        "DELIVER_FUNCTION": {"account", "notify", "sweep"},
        "WEBHOOK_HOSTS": set(),
    }.items():
        assert {name for name, variables in given.items() if variable in variables} == names, variable
    assert {"drop", "finalize", "notify"} <= {name for name, variables in given.items() if "DROP_BUCKET" in variables}


def test_the_deployment_reaches_the_functions(staging: Synthesized) -> None:
    """Limits, provider addresses and the concurrency switch of a deployment are in its template."""
    found = functions(staging)
    assert "max_batch_items" in Limits.model_fields
    for each in found.values():
        variables = each["Environment"]["Variables"]
        limits = Limits.model_validate(
            {name.lower(): value for name, value in variables.items() if isinstance(value, str)}
        )
        assert limits.max_batch_items == 1_000_000
        assert limits.surface_limits == {"openai": {"requests_per_minute": 600}}
        assert each["FunctionName"].startswith("batchyard-staging-")
        assert "ReservedConcurrentExecutions" not in each
    assert found["work"]["Environment"]["Variables"]["PROVIDER_URLS"] == '{"openai": "https://gateway.example.com/v1"}'
