"""Which limits hold for a surface: those that the deployment sets for this surface by name; for the others the narrower
of the surface's own and of the deployment's general ones."""

from __future__ import annotations

from dataclasses import fields

from batchyard import settings
from batchyard.core.limits import Bounds, Limits
from batchyard.surfaces.surface import Surface


def limits_of(surface: Surface, deployment: settings.Limits) -> Bounds:
    """Raises TypeError if the deployment sets a limit that does not exist."""
    named = Limits(**deployment.surface_limits.get(surface.name, {}))
    general = Limits(deployment.max_batch_items, deployment.max_file_bytes, deployment.max_line_bytes)
    return Bounds(**{field.name: _chosen(field.name, named, surface.rules.limits, general) for field in fields(Bounds)})


def _chosen(name: str, named: Limits, own: Limits, general: Limits) -> int:
    """0, which means no limit, if nobody sets one."""
    wanted: int | None = getattr(named, name)
    if wanted is not None:
        return wanted
    return min((limit for each in (own, general) if (limit := getattr(each, name)) is not None), default=0)
