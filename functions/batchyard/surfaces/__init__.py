"""API dialects: each turns its own requests, lines, statuses and errors into Batchyard's, and back. Imports core only."""
