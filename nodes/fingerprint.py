"""The execution fingerprint: what else, besides entry and state, decides what an entry does.

Replicas stay equal because each runs the same statements on the same rows. That holds only while
they run them alike: another SQLite may plan, round or sort another way, another Unicode version
may fold a letter, another release of ours may refuse what the last one did. So everything of
that kind is one short text, and the text is a value in the group's log (`SwitchFingerprint`).

A replica whose process has another one than the state it is about to change applies no write.
It goes on voting and storing its log, which need no SQL, and says in its status what to do
(DESIGN section 6).
"""

from __future__ import annotations

import hashlib
import inspect
import sqlite3
import sys
import unicodedata
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from types import ModuleType
from typing import Final

from nodes import (
    authorizer,
    functions,
    outcome_digest,
    sessions,
    spool,
    sql_connection,
    sql_errors,
    stage_content,
    staged_rows,
    transaction_unit,
    values,
    violations,
    write_unit,
)
from nodes.pgtypes import (
    array_functions,
    arrays,
    byte_functions,
    bytes_and_uuids,
    date_functions,
    date_texts,
    dates,
    floats,
    formats,
    integers,
    intervals,
    json_building,
    json_values,
    mathematics,
    number_patterns,
    numerics,
    ordered,
    queries,
    quoting,
    regex_functions,
    regex_syntax,
    regular_expressions,
    statistics,
    strings,
    text_functions,
    time_functions,
    time_patterns,
    time_reading,
)
from nodes.sql_connection import LIMITS

__all__ = ["facts_of_this_process", "fingerprint_of", "own_fingerprint"]

DECIDING: Final = (
    functions,
    values,
    formats,
    integers,
    floats,
    numerics,
    strings,
    text_functions,
    queries,
    bytes_and_uuids,
    dates,
    date_texts,
    date_functions,
    intervals,
    json_values,
    json_building,
    mathematics,
    statistics,
    ordered,
    regex_syntax,
    regular_expressions,
    regex_functions,
    quoting,
    byte_functions,
    time_functions,
    time_patterns,
    time_reading,
    number_patterns,
    arrays,
    array_functions,
    authorizer,
    sql_errors,
    violations,
    sql_connection,
    sessions,
    stage_content,
    staged_rows,
    write_unit,
    transaction_unit,
    spool,
    outcome_digest,
)
"""Modules whose source decides what a statement does, is refused for, or answers."""

_IRRELEVANT: Final = ("COMPILER=",)
"""Compile options that name who built the library, not how it behaves."""


def fingerprint_of(facts: Mapping[str, str]) -> str:
    """One text for all of `facts`: two that a reader compares, and a hash of everything."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(facts.items()):
        for part in (name, value):
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return f"sqlite-{facts['sqlite']}-py{facts['python']}-{digest.hexdigest()}"


def facts_of_this_process() -> dict[str, str]:
    """What this process executes statements with, by name."""
    with closing(sqlite3.connect(":memory:")) as connection:
        (source,) = connection.execute("SELECT sqlite_source_id()").fetchone()
        options = [name for (name,) in connection.execute("PRAGMA compile_options")]
        for category, value in LIMITS:
            connection.setlimit(category, value)
        # The numbers are the library's own, from SQLITE_LIMIT_LENGTH on.
        limits = [connection.getlimit(category) for category in range(12)]
    return {
        "sqlite": sqlite3.sqlite_version,
        "sqlite source": source,
        "compile options": " ".join(sorted(o for o in options if not o.startswith(_IRRELEVANT))),
        "limits": " ".join(map(str, limits)),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "unicode": unicodedata.unidata_version,
        **{f"source of {module.__name__}": _hash_of_source(module) for module in DECIDING},
    }


@cache
def own_fingerprint() -> str:
    """Of this process. It does not change while it runs."""
    return fingerprint_of(facts_of_this_process())


def _hash_of_source(module: ModuleType) -> str:
    source = inspect.getsource(module).encode()
    return hashlib.blake2b(source, digest_size=16).hexdigest()
