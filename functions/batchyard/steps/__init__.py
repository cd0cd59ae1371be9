"""What Batchyard does, one verb per module. A step gets adapters, clock and settings as arguments; it may be repeated
after a crash at any point, and run twice at once."""
