"""Ids of batches as this dialect has them: `msgbatch_` in front of what is `batch_` everywhere else."""

from __future__ import annotations

import re

_PREFIX, _OUR_PREFIX = "msgbatch_", "batch_"
_IN_A_TEXT = re.compile(r"\bbatch_(?=[0-9a-z]{26}\b)")


def shown_id(batch_id: str) -> str:
    return _PREFIX + batch_id.removeprefix(_OUR_PREFIX)


def read_id(shown: str) -> str:
    """Our id of a batch, if `shown` is one at all. Ours is read, too."""
    return _OUR_PREFIX + shown.removeprefix(_PREFIX) if shown.startswith(_PREFIX) else shown


def with_shown_ids(text: str) -> str:
    """A message in which batches are named as this dialect's clients know them."""
    return _IN_A_TEXT.sub(_PREFIX, text)
