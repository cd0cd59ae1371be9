"""Hypothesis without time limits, in every room: how long an example takes depends on the machine, not on the code."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("batchyard", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("batchyard")
