"""KushRouter's dialect (docs.kushrouter.com)."""
