"""Items for OpenAI's responses endpoint, at providers that do not serve it: as chat completions, and their answers as
responses."""
