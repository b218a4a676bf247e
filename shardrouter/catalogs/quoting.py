"""Names as PostgreSQL writes them."""

from __future__ import annotations

import re
from typing import Final

from shardrouter.keywords import RESERVED

__all__ = ["quoted"]

_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_$]*\Z")
_NOT_FREE: Final = RESERVED | {
    *("between", "bigint", "bit", "boolean", "char", "character", "coalesce", "dec", "decimal"),
    *("exists", "extract", "float", "greatest", "grouping", "inout", "int", "integer"),
    *("interval", "least", "national", "nchar", "none", "normalize", "nullif", "numeric"),
    *("out", "overlay", "position", "precision", "real", "row", "setof", "smallint"),
    *("substring", "time", "timestamp", "treat", "trim", "values", "varchar"),
}


def quoted(name: str) -> str:
    """PostgreSQL's quote_ident."""
    if _PLAIN.match(name) and name not in _NOT_FREE:
        return name
    return '"' + name.replace('"', '""') + '"'
