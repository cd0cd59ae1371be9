"""What Batchyard does, one verb per module. A step gets adapters, clock and settings as arguments; it may run twice
at any point, and by two runners at once."""
