"""What developers run now and then: compile the catalogue of models and prices, write the OpenAPI document, list what a
deployment costs idle."""
