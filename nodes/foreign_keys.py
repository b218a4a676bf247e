"""Foreign keys after a change of the schema, which runs while they are not enforced.

SQLite drops a table by deleting its rows, and with foreign keys on that deletes or refuses the
rows that refer to them, although the table is only being rebuilt. So they are off for an entry that
changes the schema (DESIGN section 7), and what it leaves is checked here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nodes.authorizer import OWN
from nodes.protocol import SqlFailure, Write
from nodes.sql_connection import Refused, SqlConnection

__all__ = ["check_children", "check_references", "children_of"]

_CHANGING_ROWS: Final = ("DROP TABLE", "ALTER TABLE", "DELETE", "UPDATE", "INSERT")
"""Beginnings of texts after which a row may refer to nothing; a new table has none."""

_FAMILIES: Final = f"""{OWN}
    SELECT DISTINCT child.name, key."table"
    FROM sqlite_schema child, pragma_foreign_key_list(child.name) key
    WHERE child.type = 'table' ORDER BY 1, 2"""  # noqa: S608 -- a constant prefix


def check_references(connection: SqlConnection, write: Write) -> None:
    """Every row of the tables that the write names, and of those that refer to them, has what it
    refers to. Raises Refused."""
    if not any(s.sql.startswith(_CHANGING_ROWS) for s in write.statements):
        return
    changed = {s.object[6:].lower() for s in write.sets if s.object.startswith("table:")}
    check_children(
        connection,
        dict.fromkeys(
            child
            for child, parent in _families(connection)
            if child.lower() in changed or parent.lower() in changed
        ),
    )


def children_of(connection: SqlConnection, table: str) -> list[str]:
    """The tables with a foreign key to this one."""
    return [child for child, parent in _families(connection) if parent.lower() == table.lower()]


def _families(connection: SqlConnection) -> list[tuple[str, str]]:
    return connection.raw.execute(_FAMILIES).fetchall()


def check_children(connection: SqlConnection, children: Iterable[str]) -> None:
    """Every row of these tables has what it refers to. Raises Refused."""
    for child in children:
        quoted = '"' + child.replace('"', '""') + '"'
        row = connection.raw.execute(f"{OWN}PRAGMA foreign_key_check({quoted})").fetchone()
        if row is not None:
            raise Refused(
                SqlFailure(
                    "23503",
                    f'insert or update on table "{child}" violates foreign key constraint',
                    0,
                    f'A row refers to a key that is not present in table "{row[2]}".',
                )
            )
