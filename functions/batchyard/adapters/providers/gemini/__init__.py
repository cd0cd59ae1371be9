"""Gemini: chat completions become `generateContent`, embeddings `embedContent`, and their answers OpenAI's."""
