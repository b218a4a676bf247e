"""What a view is in a query: its text, understood again each time.

The text was written under the names of its day. Each of them means what it meant when the view was
made (`shardrouter.tables.ViewName`), whatever is called so now and wherever the session looks for
names; a column that was added since is not there, one that was renamed is there by its old name.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from shardrouter import syntax
from shardrouter.catalog import Table
from shardrouter.errors import StatementError
from shardrouter.outputs import Outputs
from shardrouter.relations import Statement
from shardrouter.statement import parse
from shardrouter.translate import Scope

__all__ = ["expanded", "query_of"]

PARSED_MAX: Final = 512
"""Texts of views that are kept as they were parsed."""


@lru_cache(maxsize=PARSED_MAX)
def query_of(text: str) -> syntax.Query:
    """The query of a view's text. Raises StatementError and NotSupported."""
    node = parse(text)
    assert isinstance(node, syntax.Select | syntax.Values | syntax.SetOperation)
    return node


def expanded(view: Table, statement: Statement) -> Outputs:
    """The query of a view, which sees nothing of the query that names it."""
    assert view.view is not None
    scope = Scope(statement)
    scope.view = view.view
    try:
        return statement.query(query_of(view.view.text), scope)
    except StatementError as exc:
        exc.position = 0  # of the view's text, which the client has not sent
        raise
