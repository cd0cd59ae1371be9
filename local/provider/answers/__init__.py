"""Good answers to realtime calls and to the items of jobs: a module per vendor, and what they share."""
