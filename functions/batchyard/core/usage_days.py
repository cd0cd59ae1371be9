"""What an account's batches came to, by day (UTC) and by model, for its owner's charts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from batchyard.core.usage import Tally


@dataclass(frozen=True, slots=True)
class DayUsage:
    """Batches that ended on `day`, all of whose items have `model`; None: they have several."""

    day: str
    model: str | None
    batches: int = 0
    tally: Tally = field(default_factory=Tally)

    def plus(self, other: DayUsage) -> DayUsage:
        return replace(self, batches=self.batches + other.batches, tally=self.tally + other.tally)


@dataclass(frozen=True, slots=True)
class UsageView:
    """`days`: oldest first, without those on which no batch ended. `models`: the dearest first."""

    days: tuple[DayUsage, ...]
    models: tuple[DayUsage, ...]


def usage_view(counted: Iterable[DayUsage]) -> UsageView:
    """`counted` by day, and again by model."""
    days: dict[str, DayUsage] = {}
    models: dict[str | None, DayUsage] = {}
    for each in counted:
        days[each.day] = days[each.day].plus(each) if each.day in days else each
        models[each.model] = models[each.model].plus(each) if each.model in models else each
    dearest = sorted(models.values(), key=lambda each: -each.tally.cost_picousd)
    return UsageView(tuple(days[day] for day in sorted(days)), tuple(dearest))
