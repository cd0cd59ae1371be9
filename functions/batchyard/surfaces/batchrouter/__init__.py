"""BatchRouter's dialect (docs.batchrouter.com)."""
