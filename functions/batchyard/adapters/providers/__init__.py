"""Providers: one module per dialect that a worker speaks to them."""
