"""`python -m local`: the local cloud in the foreground. What `make local` runs."""

from __future__ import annotations

import argparse
import errno
import gc
import json
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local.deployment.templates import ROOT, SynthFailed, read_stacks, stacks
from local.options import FOR_PEOPLE, JOB_CLOCK_SPEED, SWEEPS_EVERY_SECONDS, Options, provider_urls, webhook_variables


def main(given: Sequence[str] | None = None) -> int:
    """`given`: arguments, None for those of the command line."""
    arguments = _arguments(given)
    if arguments.attached:
        options = Options.from_json(arguments.attached)
    else:
        urls = provider_urls(os.environ)
        options = Options(
            arguments.port,
            arguments.folder,
            arguments.provider_url,
            urls,
            environment=FOR_PEOPLE | webhook_variables(os.environ),
            minute_seconds=SWEEPS_EVERY_SECONDS,
            job_clock_speed=JOB_CLOCK_SPEED,
        )
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]  # Set by somebody's AWS profile, or by the .local/env of an earlier run.
    logging.basicConfig(level=logging.DEBUG if arguments.verbose else logging.INFO, format="%(name)s: %(message)s")
    for noisy in ("botocore", "boto3", "urllib3", "moto", "werkzeug"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("moto.stepfunctions.parser.asl.component.eval_component").addFilter(_is_news)
    _raise_file_limit()
    started = time.monotonic()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        templates = read_stacks(options.templates) if options.templates else stacks(options.deployment)
    except SynthFailed as error:
        print(error, file=sys.stderr)
        return 1
    # moto takes two seconds to import; --help and a failed synth do not need it.
    from local.host import Host
    from local.iam.grants import GrantMissing
    from local.simulated_aws import patches

    sys.setswitchinterval(0.0005)
    patches.apply()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # moto makes so many objects that collecting took a quarter of the time
    try:
        host = Host(templates, options)
    except GrantMissing as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        print(
            f"Port {options.port} is in use. Stop what listens there, or take another one: "
            f"PORT={options.port + 1} make local",
            file=sys.stderr,
        )
        return 1
    try:
        if arguments.attached:
            _watch_parent(stop)
            print(json.dumps(host.state()), flush=True)
        else:
            _announce(host.state(), options.folder, time.monotonic() - started)
        stop.wait()
    finally:
        host.close()
    return 0


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description="Batchyard's local cloud: the template that `cdk deploy` ships, on this machine. Ctrl-C ends it.",
    )
    add = parser.add_argument
    add("--port", type=int, default=int(os.environ.get("PORT") or 8787), help="of the API (default: $PORT or 8787)")
    add(
        "--provider-url",
        help="address of every provider that has none of its own in $BATCHYARD_<PROVIDER>_URL, such as "
        "BATCHYARD_OPENAI_URL (default: a simulated provider)",
    )
    add("--folder", type=Path, default=ROOT / ".local", help="where env and logs go (default: .local)")
    add(
        "--attached",
        metavar="OPTIONS",
        help="for programs: Options as JSON. Prints the state as one line, ends with stdin",
    )
    add("--verbose", action="store_true")
    return parser.parse_args(given)


def _announce(state: dict[str, Any], folder: Path, seconds: float) -> None:
    variables = {
        "OPENAI_BASE_URL": f"{state['api_url']}/v1",
        "OPENAI_API_KEY": state["api_key"],
        "AWS_ENDPOINT_URL": state["aws_endpoint"],
        "AWS_ACCESS_KEY_ID": state["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": state["secret_access_key"],
        "AWS_DEFAULT_REGION": state["region"],
        "AWS_REGION": state["region"],
        "BATCHYARD_URL": state["api_url"],
        "BATCHYARD_API_KEY": state["api_key"],
        "BATCHYARD_DEPLOYMENT": state["functions"]["admin"].removesuffix("-admin"),
        "BATCHYARD_BUCKET": state["drop_bucket"],
        "BATCHYARD_ACCOUNT": state["account_id"],
    }
    path = folder / "env"
    path.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    path.chmod(0o600)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    print(f"the dashboard:  {state['api_url']}/dashboard/#key={state['api_key']}   (signed in; open it in a browser)")
    print(f"ready after {seconds:.1f} s: {variables['OPENAI_BASE_URL']}  (provider: {state['provider_url']})")
    print(f"in another shell:  set -a; . {shown}; set +a     logs: {state['logs']}     Ctrl-C ends it")
    print("then for example:  .venv/bin/batchyard run events/requests.jsonl     .venv/bin/batchyard doctor", flush=True)


def _is_news(record: logging.LogRecord) -> bool:
    """False for the error that moto logs if a Choice asks for a field that is not there, because that is no fault."""
    return "NoSuchJsonPathError" not in record.getMessage()


def _raise_file_limit() -> None:
    """moto keeps every object of more than 5 MB in an open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _watch_parent(stop: threading.Event) -> None:
    """The parent process holds our standard input open; when it ends, for whatever reason, so does the local cloud."""

    def read() -> None:
        sys.stdin.buffer.read()
        stop.set()

    threading.Thread(target=read, name="parent", daemon=True).start()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # An orderly end would first collect all the objects that moto has made, which takes up to half a minute.
    os._exit(code)
