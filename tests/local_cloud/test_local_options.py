"""What can be chosen for a local cloud, and how people choose it."""

from __future__ import annotations

from batchyard.settings import JobSettings
from local.options import FOR_PEOPLE, Options, provider_urls, webhook_variables


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
