"""The OpenAI dialect: files, uploads, batches, models. `routes.py` stays light; `surface.py` brings the rest."""
