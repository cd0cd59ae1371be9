"""The dashboard's own requests: what its page reads beside the API that everybody has."""
