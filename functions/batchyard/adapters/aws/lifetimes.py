"""How long the rows are kept that say what was done of a batch: of its shards, jobs, progress and budget.

They are long out of use by then: after `working_days` a batch's results are read from its files, and its own row, which
stays, has its figures.
"""

from __future__ import annotations

from batchyard.core.ids import made_at
from batchyard.core.json_types import Row

_KEPT_SECONDS = 400 * 86_400
"""As long as what accounts have used by day."""


def ttl_of(batch_id: str) -> Row:
    """The attribute by which DynamoDB deletes such a row of the batch."""
    made = made_at(batch_id)
    return {} if made is None else {"ttl": made + _KEPT_SECONDS}
