"""The outside world, one package per counterpart. SDK and HTTP errors are translated here, once."""
