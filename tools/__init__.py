"""What developers run now and then: compile the catalogue of models and prices, write the OpenAPI document."""
