"""Hypothesis without deadlines: how long an example takes is the machine's business, not the property's."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("batchyard", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("batchyard")
