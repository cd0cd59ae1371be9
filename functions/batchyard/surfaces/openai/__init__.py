"""The OpenAI dialect: files, uploads, batches, models. Routes only; `surface.py` has the rest, so that this stays light."""
