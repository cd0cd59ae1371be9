"""Plays API Gateway: HTTP requests in, proxy events to the functions, HTTP responses out."""
