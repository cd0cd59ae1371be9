"""Providers: one client for all, and a translator per kind of provider that says what is sent and what comes back."""
