"""Which limits hold for a surface: what the deployment sets for it by name, else the narrower of its own and of the
deployment's for all."""

from __future__ import annotations

from dataclasses import fields

from batchyard import settings
from batchyard.core.limits import Bounds, Limits
from batchyard.surfaces.surface import Surface


def limits_of(surface: Surface, deployment: settings.Limits) -> Bounds:
    """Raises TypeError for an unknown limit name."""
    named = Limits(**deployment.surface_limits.get(surface.name, {}))
    general = Limits(deployment.max_batch_items, deployment.max_file_bytes, deployment.max_line_bytes)
    return Bounds(**{field.name: _chosen(field.name, named, surface.limits, general) for field in fields(Bounds)})


def _chosen(name: str, named: Limits, own: Limits, general: Limits) -> int:
    """Nobody sets one: 0, which is none."""
    wanted: int | None = getattr(named, name)
    if wanted is not None:
        return wanted
    return min((limit for each in (own, general) if (limit := getattr(each, name)) is not None), default=0)
