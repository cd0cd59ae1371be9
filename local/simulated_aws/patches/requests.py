"""What is changed in how moto finds out what a request asks for, of every service."""

from __future__ import annotations

from functools import cache

from moto.core import responses


def list_methods_once() -> None:
    """Speed only (moto 5.2.5): for every request moto lists and sorts all that the service's class has, to see whether
    there is a method for the operation, which takes a fifth of a GetItem's time. The list is always the same."""
    responses.method_names_from_class = cache(responses.method_names_from_class)
