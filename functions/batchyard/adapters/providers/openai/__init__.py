"""Providers that speak as OpenAI does: items in OpenAI's form go as they are, those in Anthropic's are translated."""
