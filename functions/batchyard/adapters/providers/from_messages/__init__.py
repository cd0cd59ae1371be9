"""Items in the form of Anthropic's Messages, at everybody else: as chat completions, and their answers as Messages."""
