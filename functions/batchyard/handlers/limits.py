"""Which limits hold for a surface: the deployment may set each of them for a surface; if it does not, the narrower one
of the surface's own and the deployment's general limit holds."""

from __future__ import annotations

from dataclasses import fields

from batchyard import settings
from batchyard.core.limits import Bounds, Limits, ShownLimits
from batchyard.surfaces.surface import Surface


def limits_of(surface: Surface, deployment: settings.Limits) -> Bounds:
    """The limits that hold for `surface`. Raises TypeError if the deployment sets one that does not exist."""
    named = Limits(**deployment.surface_limits.get(surface.name, {}))
    general = Limits(deployment.max_batch_items, deployment.max_file_bytes, deployment.max_line_bytes)
    return Bounds(**{field.name: _chosen(field.name, named, surface.rules.limits, general) for field in fields(Bounds)})


def shown_limits(surface: Surface, deployment: settings.Limits) -> ShownLimits:
    return ShownLimits(
        limits_of(surface, deployment),
        max_custom_id_chars=deployment.max_custom_id_chars,
        max_line_errors=deployment.max_line_errors,
        max_upload_part_bytes=deployment.max_upload_part_bytes,
    )


def _chosen(name: str, named: Limits, own: Limits, general: Limits) -> int:
    """The limit `name`. 0, which means no limit, if nobody sets one."""
    wanted: int | None = getattr(named, name)
    if wanted is not None:
        return wanted
    return min((limit for each in (own, general) if (limit := getattr(each, name)) is not None), default=0)
