"""The command line of Batchyard."""

__version__ = "0.1.0"
