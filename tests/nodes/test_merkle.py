"""Merkle trees against plain comparison."""

from __future__ import annotations

import random

import pytest

from nodes import merkle
from nodes.merkle import Range, Row, Tree, build


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merkle, "LEAF_ROWS", 4)
    monkeypatch.setattr(merkle, "FAN_OUT", 3)


def tree_of(rows: list[Row], chunk: int = 5) -> Tree:
    chunks = [rows[i : i + chunk] for i in range(0, len(rows), chunk)]
    return build([([row[:1] for row in part], part) for part in chunks])


def test_the_same_rows_give_the_same_tree_however_they_come() -> None:
    rows: list[Row] = [(key, f"v{key}", None, 1.5, b"b") for key in range(50)]
    assert tree_of(rows, 1) == tree_of(rows, 7) == tree_of(rows, 50)
    tree = tree_of(rows)
    assert (tree.root.rows, tree.root.first, tree.root.last) == (50, (0,), (49,))
    assert [len(level) for level in tree.levels] == [13, 5, 2, 1]


def test_any_change_of_any_value_changes_the_root() -> None:
    rows: list[Row] = [(key, key * 2) for key in range(20)]
    root = tree_of(rows).root.hash
    roots = {root}
    for place in range(20):
        changed = [*rows]
        changed[place] = (place, -1)
        roots.add(tree_of(changed).root.hash)
        roots.add(tree_of(rows[:place] + rows[place + 1 :]).root.hash)
    assert len(roots) == 41
    assert tree_of([(1, "1")]).root.hash != tree_of([(1, 1)]).root.hash
    assert tree_of([(1, "1")]).root.hash != tree_of([(1, b"1")]).root.hash


def test_the_way_down_ends_at_the_first_leaf_that_differs() -> None:
    rng = random.Random(5)
    for _ in range(50):
        rows: list[Row] = [(key, 0) for key in range(rng.randint(1, 120))]
        place = rng.randrange(len(rows))
        changed = [*rows]
        changed[place] = (place, 1)
        mine, other = tree_of(rows), tree_of(changed)
        level, node = len(mine.levels) - 1, 0
        found: Range = mine.root
        while level > 0:
            pairs = zip(mine.children(level, node), other.children(level, node), strict=True)
            step = next(i for i, (a, b) in enumerate(pairs) if a != b)
            found = mine.children(level, node)[step]
            level, node = level - 1, node * merkle.FAN_OUT + step
        assert found.first[0] <= place <= found.last[0]
        assert found.rows <= merkle.LEAF_ROWS


def test_a_tree_of_nothing_and_children_of_nothing() -> None:
    tree = tree_of([])
    assert tree.root.rows == 0
    assert tree.children(0, 0) == ()
    assert tree.children(1, 0) == ()
    assert tree_of([(1, 1)]).root.hash != tree.root.hash
