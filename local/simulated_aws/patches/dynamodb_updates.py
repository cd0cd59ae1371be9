"""What is changed in how moto's DynamoDB reads UpdateExpressions. The answers do not change:
tests/local_cloud/test_moto_patches.py compares them.

    text ─▶ tree ─▶ a copy for this update ─▶ ten walks through it, each of which checks or replaces nodes ─▶ executed
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from functools import lru_cache

from moto.dynamodb.exceptions import MockValidationException
from moto.dynamodb.parsing.ast_nodes import (
    DepthFirstTraverser,
    Expression,
    Node,
    UpdateExpressionAddAction,
    UpdateExpressionDeleteAction,
    UpdateExpressionFunction,
    UpdateExpressionRemoveAction,
    UpdateExpressionSetAction,
)
from moto.dynamodb.parsing.expressions import UpdateExpressionParser
from moto.dynamodb.parsing.validators import ActionCountValidator, OverlappingPathsValidator

_TEXTS = 1_000
"""So many trees are kept. Functions send the same few texts again and again."""


def parse_update_expressions_once() -> None:
    """Speed only (moto 5.2.5): moto parses the text of every update, and copies the tree by `copy.deepcopy`, because
    the walks write to it. In AWS, too, only the values differ between two updates of one text:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html"""
    UpdateExpressionParser.make = staticmethod(lru_cache(_TEXTS)(UpdateExpressionParser.make))
    Node.__deepcopy__ = lambda node, _: _copy_of(node, node.parent)


def walk_trees_quickly() -> None:
    """Speed only (moto 5.2.5): at every node of every walk, moto makes the table of what the walk is about, and asks
    for abstract base classes. Together with the parser this is nine tenths of an UpdateItem's time:
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html"""
    DepthFirstTraverser.traverse = _traverse
    Node.find_clauses = _find_clauses


def _copy_of(node: Node, parent: Node | None) -> Node:
    """Leaves of an unevaluated tree are texts and numbers."""
    copied = object.__new__(type(node))
    copied.__dict__.update(node.__dict__)
    copied.parent = parent
    if node.children is not None:
        copied.children = [_copy_of(child, copied) if type(child) in _NODES else child for child in node.children]
    return copied


def _traverse(walk: DepthFirstTraverser, root: Node) -> Node:
    """As moto's `traverse_node_recursively`: what `walk` makes of a node takes its place, children first.

    Two of the walks only check, and check each clause and then the whole: what is right as a whole needs no more. If it
    is wrong, the walk finds what moto would complain of first."""
    if isinstance(walk, ActionCountValidator | OverlappingPathsValidator):
        with suppress(MockValidationException):
            return walk.process(root)
    about: dict[type, Callable[[Node], Node]] = walk._processing_map()
    entry_of = _entries(tuple(about))
    is_told_of_children = type(walk).pre_processing_of_child is not DepthFirstTraverser.pre_processing_of_child
    ends_at_actions = _ACTIONS.issuperset(about)

    def visit(node: Node, position: int) -> Node:
        parent, kind = node.parent, type(node)
        children = () if ends_at_actions and kind in _ACTIONS else node.children or ()
        for number, child in enumerate(children):
            if is_told_of_children:
                walk.pre_processing_of_child(node, number)
            if type(child) in _NODES:
                visit(child, number)
        entry = entry_of.get(kind)
        if entry is not None:
            node = about[entry](node)
            node.parent = parent
            if parent:
                parent.children[position] = node
        return node

    return visit(root, -1)


@lru_cache
def _entries(about: tuple[type, ...]) -> dict[type, type]:
    """Kind of node -> the first of the entries that it falls under, if there is one."""
    entries = {kind: next((each for each in about if issubclass(kind, each)), None) for kind in _NODES}
    return {kind: entry for kind, entry in entries.items() if entry is not None}


def _find_clauses(node: Node, kinds: Collection[type]) -> list[Node]:
    found: list[Node] = []
    for child in node.children or ():
        kind = type(child)
        if kind in kinds:
            found.append(child)
        elif kind in _WITH_CLAUSES:
            found += _find_clauses(child, kinds)
    return found


def _below(*kinds: type) -> frozenset[type]:
    """They and all that derive from them."""
    return frozenset(kinds).union(*(_below(*each.__subclasses__()) for each in kinds))


_NODES = _below(Node)
_ACTIONS = _below(
    UpdateExpressionSetAction, UpdateExpressionAddAction, UpdateExpressionRemoveAction, UpdateExpressionDeleteAction
)
"""Walks about nothing else need not go below an action, to its path and its value."""
_WITH_CLAUSES = _below(Expression, UpdateExpressionFunction)
