"""What can be chosen for a local cloud, and how people choose it."""

from __future__ import annotations

import pytest

from batchyard.adapters.catalogue import load_providers
from batchyard.settings import JobSettings
from local.options import FOR_PEOPLE, Options, address_variables, provider_urls, webhook_variables


def test_every_provider_can_be_sent_elsewhere() -> None:
    """By a variable with its name; an empty one says nothing, and neither do those of other programs."""
    environment = {
        "BATCHYARD_OPENAI_URL": "http://127.0.0.1:1/v1",
        "BATCHYARD_MY_EDGE_URL": "http://127.0.0.1:2/v1",
        "BATCHYARD_GROQ_URL": "",
        "BATCHYARD_URL": "http://127.0.0.1:3",
        "OPENAI_BASE_URL": "http://127.0.0.1:4/v1",
    }
    assert provider_urls(environment) == {"openai": "http://127.0.0.1:1/v1", "my-edge": "http://127.0.0.1:2/v1"}


@pytest.mark.parametrize("name", [provider.name for provider in load_providers()])
def test_each_vendor_that_comes_with_it_can_be_sent_elsewhere(name: str) -> None:
    """`BATCHYARD_<VENDOR>_URL` is what the worker and the native executor are told, for that vendor alone."""
    given = provider_urls({f"BATCHYARD_{name.upper().replace('-', '_')}_URL": "http://127.0.0.1:1/x"})
    names = [provider.name for provider in load_providers()]
    variables = address_variables(names, given, lambda other: f"http://127.0.0.1:2/{other}")
    settings = JobSettings.model_validate(
        dict.fromkeys(("table_name", "data_bucket"), "x")
        | {"queue_urls": "{}", "provider_urls": variables["PROVIDER_URLS"]}
    )
    wanted = {other: f"http://127.0.0.1:2/{other}" for other in names} | {name: "http://127.0.0.1:1/x"}
    assert settings.provider_urls == wanted


def test_webhooks_reach_this_machine_if_somebody_says_so() -> None:
    """By one variable; without it functions are told nothing."""
    assert webhook_variables({"BATCHYARD_WEBHOOK_HOSTS": "127.0.0.1:9400"}) == {"WEBHOOK_HOSTS": "127.0.0.1:9400"}
    assert webhook_variables({"BATCHYARD_WEBHOOK_HOSTS": ""}) == webhook_variables({}) == {}


def test_jobs_are_looked_at_whenever_sweep_comes() -> None:
    """The variables of `make local` and `make demo` are settings of the function that polls: a job is due again after a
    second, and vendors are waited for as long as a deployment waits."""
    given = {name.removeprefix("jobs.").lower(): value for name, value in FOR_PEOPLE.items()}
    assert given.keys() <= JobSettings.model_fields.keys()
    settings = JobSettings.model_validate(
        dict.fromkeys(("table_name", "data_bucket"), "x") | {"queue_urls": "{}"} | given
    )
    assert (settings.job_polls_every_seconds, settings.job_pace) == (1, 1.0)


def test_options_survive_the_way_to_another_process() -> None:
    """As JSON, addresses of providers included."""
    options = Options(provider_urls={"openai": "http://127.0.0.1:1/v1"}, environment={"A": "1"})
    assert Options.from_json(options.to_json()) == options
