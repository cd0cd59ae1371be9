"""API dialects: each turns its requests, lines, statuses and errors into Batchyard's, and back. Imports core only."""
