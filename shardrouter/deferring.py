"""When constraints are checked: SET CONSTRAINTS, and what a deferred foreign key allows.

A foreign key may be DEFERRABLE. It is checked at the end of each statement all the same, also if it
is INITIALLY DEFERRED; then a row that it refuses inside of a transaction is not PostgreSQL's 23503,
since there a later statement could still bring what the row refers to. It is refused with 0A000: a
transaction that orders its statements by their references meets neither.
"""

from __future__ import annotations

from collections.abc import Sequence

from shardrouter.catalog import Catalog
from shardrouter.errors import NotSupported, RouterError, StatementError
from shardrouter.lexer import Token
from shardrouter.namespaces import missing_schema
from shardrouter.planned import SetConstraints
from shardrouter.statement_words import Rest
from shardrouter.syntax import Name
from shardrouter.tables import ForeignKey

__all__ = ["check_named", "not_yet", "set_constraints"]


def set_constraints(tokens: Sequence[Token]) -> SetConstraints | None:
    """The plan of SET CONSTRAINTS; None if it is another statement."""
    if len(tokens) < 2 or not tokens[0].is_word("set") or not tokens[1].is_word("constraints"):
        return None
    rest = Rest(tokens)
    rest.skip(2)
    names: list[Name] = []
    if not rest.takes("all"):
        names.append(_name(rest))
        while rest.takes_mark(","):
            names.append(_name(rest))
    is_deferred = rest.takes("deferred")
    if not is_deferred:
        rest.word("immediate")
    return rest.last(SetConstraints(tuple(names), is_deferred))


def _name(rest: Rest) -> Name:
    token = rest.peek()
    position = 0 if token is None else token.start + 1
    parts = [rest.name()]
    if rest.takes_mark("."):
        parts.append(rest.name())
    return Name(parts[-1], position, schema=parts[0] if len(parts) == 2 else "")


def check_named(plan: SetConstraints, catalog: Catalog) -> None:
    """Raises PostgreSQL's error for a constraint that is not there or cannot be deferred, and
    NotSupported if one that is checked at once would no longer be."""
    found: list[ForeignKey] = []
    for name in plan.names:
        if name.schema and name.schema not in catalog.schemas:
            raise missing_schema(name.schema, name.position)
        places = (name.schema,) if name.schema else catalog.search_path
        found += _constraint(name, places, catalog, is_deferred=plan.is_deferred)
    if not plan.names:
        found = [key for table in catalog.tables.values() for key in table.foreign_keys]
    if plan.is_deferred and any(key.deferral == "immediate" for key in found):
        raise NotSupported(
            "deferring a constraint that is INITIALLY IMMEDIATE is not supported",
            hint="Order the statements so that a row comes after the row that it refers to.",
        )


def _constraint(
    name: Name, places: Sequence[str], catalog: Catalog, *, is_deferred: bool
) -> list[ForeignKey]:
    """The foreign keys of that name in the first of these schemas that has one. What is checked at
    once may always be told so."""
    for schema in places:
        tables = [table for table in catalog.tables.values() if table.schema == schema]
        keys = [key for table in tables for key in table.foreign_keys if key.name == name.text]
        others = {
            other
            for table in tables
            for other in (
                table.primary,
                *(key.name for key in table.keys),
                *(check.name for check in table.checks),
            )
        }
        is_fixed = any(not key.deferral for key in keys) or (not keys and name.text in others)
        if is_fixed and not is_deferred:
            return keys
        if is_fixed:
            raise StatementError(f'constraint "{name.text}" is not deferrable', sqlstate="42809")
        if keys:
            return keys
    raise StatementError(f'constraint "{name.text}" does not exist', sqlstate="42704")


def not_yet(error: RouterError, catalog: Catalog) -> RouterError:
    """What is answered for an error that other statements of its transaction might have mended:
    0A000 if it is that of a deferred foreign key, else the error."""
    if error.sqlstate != "23503":
        return error
    keys = [
        key
        for table in catalog.tables.values()
        for key in table.foreign_keys
        if key.deferral == "deferred" and error.constraint in ("", key.name)
    ]
    if not keys:
        return error
    return NotSupported(
        f'a transaction that violates the deferred foreign key constraint "{keys[0].name}" before '
        "it ends is not supported",
        detail=error.detail,
        hint="Order the statements so that a row comes after the row that it refers to.",
    )
