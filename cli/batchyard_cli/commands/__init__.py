"""Commands for customers, who have an address and an API key."""
