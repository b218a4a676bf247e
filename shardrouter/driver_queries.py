"""What drivers ask the system catalogs, which this database has not: answered from the types.

asyncpg asks what an array type is made of before it uses one the first time; its query is known by
its words, and answered with all array types there are. The `oid` and `"char"` of that answer are
PostgreSQL's.
"""

from __future__ import annotations

from typing import Final

from nodes.values import INT4, NUMBERS, SYSTEM_ARRAYS, TEXT, TEXT_ARRAY, TEXTS
from shardrouter.errors import StatementError
from shardrouter.planned import Answer, ResultColumn
from shardrouter.types import ARRAY_OF

__all__ = ["answer"]

CHAR: Final = TEXTS["char"]
OID: Final = NUMBERS["oid"]
OID_ARRAY: Final = SYSTEM_ARRAYS["oid"].oid
_TYPE_TREE: Final = "WITH RECURSIVE typeinfo_tree("
_COLUMNS: Final = (
    ("oid", OID),
    ("ns", TEXT),
    ("name", TEXT),
    ("kind", CHAR),
    ("basetype", OID),
    ("elemtype", OID),
    ("elemdelim", CHAR),
    ("range_subtype", OID),
    ("attrtypoids", OID_ARRAY),
    ("attrnames", TEXT_ARRAY),
    ("depth", INT4),
    ("basetype_name", TEXT),
    ("elemtype_name", TEXT),
    ("range_subtype_name", TEXT),
)
_ROWS: Final = tuple(
    (
        *(array.oid, "pg_catalog", array.short, "b", None, element.oid, ","),
        *(None, None, None, 0, None, element.name, None),
    )
    for element, array in ARRAY_OF.items()
)


def answer(sql: str) -> Answer | None:
    """The answer to a driver's query; None if it is another text. Raises StatementError."""
    text = sql.lstrip()
    if text.startswith(_TYPE_TREE) and "pg_catalog.pg_type" in text:
        columns = tuple(ResultColumn(name, oid) for name, oid in _COLUMNS)
        return Answer("SELECT", columns, _ROWS, (OID_ARRAY,))
    if text.startswith("SELECT") and "current_setting('jit')" in text:
        # asyncpg switches the compiler off around its query, and takes this for "there is none".
        raise StatementError('unrecognized configuration parameter "jit"', sqlstate="42704")
    return None
