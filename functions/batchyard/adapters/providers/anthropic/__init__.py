"""Anthropic: items in the form of its Messages go as they are, chat completions are translated, and so are answers."""
