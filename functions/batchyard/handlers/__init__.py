"""One module per trigger: parse the event, call one step, shape the reply."""
