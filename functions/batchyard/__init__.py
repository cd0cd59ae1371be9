"""Batchyard: an LLM batch router on AWS. See README.md for the map of this package."""
