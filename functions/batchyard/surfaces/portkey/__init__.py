"""Portkey's dialect: the OpenAI surface for callers who bring their own provider key."""
