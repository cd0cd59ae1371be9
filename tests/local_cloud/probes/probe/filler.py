"""`echo` under another configuration: see probe_stacks."""

from probe.echo import handler

__all__ = ["handler"]
