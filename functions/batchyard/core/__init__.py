"""What Batchyard decides, without AWS, HTTP, clock, randomness or environment. Imports nothing above it."""
