"""Amazon Bedrock by its Converse API, signed by the worker's role; and embeddings of Titan."""
