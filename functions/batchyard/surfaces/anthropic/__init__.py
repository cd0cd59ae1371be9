"""Anthropic's dialect: Message Batches. `routes.py` stays light; `surface.py` brings the rest."""
