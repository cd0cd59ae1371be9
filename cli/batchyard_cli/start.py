"""`batchyard` begins here. `batchyard --help` is printed without click, whose import takes three times as long as all
the rest: the page is what click makes of the same list of commands, which a test compares."""

import os
import sys

from batchyard_cli.listing import SECTIONS

_TOP = """\
Usage: batchyard [OPTIONS] COMMAND [ARGS]...

  Batches of LLM requests: send a file, watch it, bring the results.

    batchyard login                  once
    batchyard run requests.jsonl     check, upload, watch, download

  Every command takes --json (a JSON object per line, the last one of type
  `result`) and --help. Exit codes: 0 fine, 1 failed, 2 cancelled, 3 the batch
  has failed items, 4 the API key is missing or refused.

Options:
  --version   Show the version and exit.
  -h, --help  Show this message and exit.
"""
_WIDTH = 80
"""What click fills at most, and where it does not know better. In a narrower terminal click wraps the page anew."""


def run() -> None:
    is_for_click = "_BATCHYARD_COMPLETE" in os.environ or sys.argv[1:] not in (["--help"], ["-h"])
    if is_for_click or _is_narrow():
        from batchyard_cli.main import batchyard

        batchyard(prog_name="batchyard")
    else:
        sys.stdout.write(help_page())


def help_page() -> str:
    """As it is in a terminal of 80 columns and more."""
    page = _TOP
    for title, entries in SECTIONS.items():
        width = max(map(len, entries)) + 2
        lines = [f"  {name:<{width}}{short_help}\n" for name, (_, short_help) in entries.items()]
        page += f"\n{title}:\n{''.join(lines)}"
    return page


def _is_narrow() -> bool:
    """Whether click would take less than its full width. It asks `shutil.get_terminal_size`, which does the same."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns) < _WIDTH
    try:
        return 0 < os.get_terminal_size(sys.stdout.fileno()).columns < _WIDTH
    except (ValueError, OSError):  # no terminal
        return False
