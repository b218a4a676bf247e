"""Statements as trees: what a grammar makes, what is sent, and how a failing one gets smaller."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

__all__ = [
    "Parameter",
    "Tree",
    "leaf",
    "listed",
    "render",
    "smaller",
    "tags",
    "template",
    "without",
    "without_parameters",
    "words",
]


@dataclass(frozen=True)
class Parameter:
    """What stands for a leaf where values are sent apart from the text."""

    value: str | None
    oid: int
    """Declared for it in Parse; 0 leaves the type to the server."""


@dataclass(frozen=True)
class Tree:
    """Texts with trees between them: one text more than there are children."""

    texts: tuple[str, ...]
    children: tuple[Tree, ...] = ()
    type: str = ""
    """Of an expression: one of this type may stand in its place. Empty: not an expression."""
    tag: str = ""
    """The construct that it is an example of."""
    separator: str | None = None
    """Of a list: `texts` is (what stands before, what stands behind), once."""
    least: int = 0
    """Items that a list cannot do without."""
    parameter: Parameter | None = None


def leaf(text: str, type_: str = "", *, tag: str = "", parameter: Parameter | None = None) -> Tree:
    return Tree((text,), (), type_, tag, parameter=parameter)


def template(text: str, *children: Tree, type_: str = "", tag: str = "") -> Tree:
    """`text` has `{}` for each child."""
    texts = tuple(text.split("{}"))
    assert len(texts) == len(children) + 1, text
    return Tree(texts, children, type_, tag)


def listed(
    items: Sequence[Tree],
    separator: str = ", ",
    *,
    before: str = "",
    behind: str = "",
    least: int = 1,
    tag: str = "",
) -> Tree:
    """Items of which some may be left out; without any, `before` and `behind` are left out too."""
    return Tree((before, behind), tuple(items), "", tag, separator, least)


def render(tree: Tree, *, apart: bool = False) -> tuple[str, list[Parameter]]:
    """The text; with `apart`, parameters leave it and are numbered in its order."""
    parameters: list[Parameter] = []

    def text(node: Tree) -> str:
        if apart and node.parameter is not None:
            parameters.append(node.parameter)
            return f"${len(parameters)}"
        inner = [text(child) for child in node.children]
        if node.separator is not None:
            before, behind = node.texts
            return f"{before}{node.separator.join(inner)}{behind}" if inner else ""
        parts = [node.texts[0]]
        for part, child in zip(node.texts[1:], inner, strict=True):
            parts += [child, part]
        return "".join(parts)

    return text(tree), parameters


def tags(tree: Tree) -> Iterator[str]:
    """Constructs that the tree has."""
    if tree.tag:
        yield tree.tag
    for child in tree.children:
        yield from tags(child)


def smaller(tree: Tree, simplest: dict[str, str]) -> Iterator[Tree]:
    """Trees that are one step simpler, the boldest steps first. `simplest` has a text for each
    type."""
    if tree.separator is not None and len(tree.children) > tree.least:
        for at in range(len(tree.children)):
            yield replace(tree, children=tree.children[:at] + tree.children[at + 1 :])
    if tree.type and tree.children:
        yield leaf(simplest[tree.type], tree.type)
        yield from (below for below in _below(tree) if below.type == tree.type)
    if tree.parameter is not None:
        yield replace(tree, parameter=None)
    for at, child in enumerate(tree.children):
        for other in smaller(child, simplest):
            yield replace(tree, children=(*tree.children[:at], other, *tree.children[at + 1 :]))


def without_parameters(tree: Tree) -> Tree:
    """The same text, with every value in it."""
    children = tuple(map(without_parameters, tree.children))
    return replace(tree, children=children, parameter=None)


def without(tree: Tree, taken: Sequence[Tree], simplest: dict[str, str]) -> Tree:
    """The tree with the simplest value of its type in the place of each that is taken out."""
    if any(tree is one for one in taken):
        return leaf(simplest[tree.type], tree.type)
    return replace(tree, children=tuple(without(c, taken, simplest) for c in tree.children))


def words(tree: Tree) -> Iterator[str]:
    """The texts of its leaves."""
    if not tree.children:
        yield from tree.texts
    for child in tree.children:
        yield from words(child)


def _below(tree: Tree) -> Iterator[Tree]:
    for child in tree.children:
        yield child
        yield from _below(child)
