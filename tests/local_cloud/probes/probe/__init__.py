"""Functions that show what the local cloud does to a function. Each does what its event says."""
