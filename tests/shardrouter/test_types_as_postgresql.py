"""Formats, order and arithmetic of every type, against what a real PostgreSQL 15 answered.

What it was asked, and the script that asked, are in tests/testdata/postgresql.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nodes.functions import Environment, install
from nodes.sql_errors import SQL_ERRORS, as_result
from nodes.values import (
    ValueFormatError,
    decode_binary,
    decode_text,
    encode_binary,
    encode_text,
)
from shardrouter import syntax
from shardrouter.errors import RouterError
from shardrouter.lexer import tokenize
from shardrouter.statement import parse_tokens
from shardrouter.translate import table_scope
from shardrouter.typed import Parameters
from shardrouter.types import TYPES, shown

RECORDED = Path(__file__).parent.parent / "testdata" / "postgresql"
KINDS = {kind.short: kind for kind in TYPES.values()}


def _recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDED / name).read_text("utf-8"))
    return found


@pytest.fixture(name="node")
def _node() -> Iterator[sqlite3.Connection]:
    """A connection with the functions and collations of a node."""
    with (
        closing(sqlite3.connect(":memory:")) as connection,
        closing(sqlite3.connect(":memory:")) as calculator,
    ):
        install(connection, Environment(), calculator)
        yield connection


VALUES = _recorded("values.json")


@pytest.mark.parametrize("short", [short for short in VALUES if short in KINDS])
def test_a_text_is_read_and_written_as_postgresql_does(short: str) -> None:
    oid = KINDS[short].oid
    for text, answer in VALUES[short].items():
        found = _read(text, oid)
        if found[0] == "0A000":
            continue  # refused rather than read otherwise
        assert found == answer, text
        if answer[0]:
            continue
        value = decode_text(text.encode(), oid)
        assert decode_binary(bytes.fromhex(answer[2]), oid) == value, text
        assert decode_text(encode_text(value, oid), oid) == value, text


def _read(text: str, oid: int) -> list[str]:
    """Text and binary format, or SQLSTATE and message."""
    try:
        value = decode_text(text.encode(), oid)
        return ["", encode_text(value, oid).decode(), encode_binary(value, oid).hex()]
    except ValueFormatError as exc:
        return [exc.sqlstate, exc.message]


@pytest.mark.parametrize(
    ("short", "text"),
    [
        *(("time", text) for text in ("1", "1 mon", "12:00 mon", "2000-01-01 12:00", "12:00 31")),
        *(("date", text) for text in ("2024-02-29 t", "04:05 1999-01-08", "990108 BC")),
        *(("timestamp", text) for text in ("Monday 2024-02-29", "8-Jan-1999T04:05")),
        ("timestamptz", "1999-01-08 12:00am-08:00:30"),
    ],
)
def test_a_form_of_a_date_that_postgresql_may_read_otherwise_is_refused(
    short: str, text: str
) -> None:
    """PostgreSQL makes something of nearly any row of its fields, and refuses others."""
    with pytest.raises(ValueFormatError) as refused:
        decode_text(text.encode(), KINDS[short].oid)
    assert refused.value.sqlstate == "0A000"
    assert "2024-02-29 12:34:56.789+01" in refused.value.hint


ORDER = _recorded("order.json")


@pytest.mark.parametrize("short", [short for short in ORDER if short in KINDS])
def test_sqlite_sorts_and_groups_the_stored_forms_as_postgresql(
    short: str, node: sqlite3.Connection
) -> None:
    kind = KINDS[short]
    expected = [set(group) for group in ORDER[short] if not {"NaN", "nan"} & set(group)]
    if kind.short == "numeric":
        expected = [set(group) for group in ORDER[short]]
    node.execute(f"CREATE TABLE t (v {kind.column}, text TEXT) STRICT")
    for group in expected:
        for text in group:
            node.execute(
                "INSERT INTO t VALUES (?, ?)", (decode_text(text.encode(), kind.oid), text)
            )
    for index in ("", "CREATE INDEX i ON t (v)"):
        if index:
            node.execute(index)
        rows = node.execute("SELECT json_group_array(text) FROM t GROUP BY v ORDER BY v").fetchall()
        assert [set(json.loads(group)) for (group,) in rows] == expected
        for group in expected:
            for text in group:
                value = decode_text(text.encode(), kind.oid)
                equal = node.execute("SELECT text FROM t WHERE v = ?", (value,)).fetchall()
                assert {found for (found,) in equal} == group


def _evaluated(expression: str, node: sqlite3.Connection) -> list[str | None]:
    """Type and text, or SQLSTATE and message, by way of what is sent to a node."""
    environment = Environment()
    with closing(sqlite3.connect(":memory:")) as calculator:
        install(node, environment, calculator)
        try:
            statement = parse_tokens(tokenize(f"SELECT {expression}"))
            assert isinstance(statement, syntax.Select)
            (item,) = statement.items
            assert isinstance(item, syntax.SelectItem)
            typed = table_scope(Parameters(())).expression(item.expression)
        except RouterError as exc:
            return [exc.sqlstate, str(exc.message)]
        try:
            ((value,),) = node.execute(f"SELECT {typed.sql}").fetchall()
        except SQL_ERRORS as exc:
            found = as_result(exc, typed.sql, environment.take_error(), None)
            assert found is not None, expression
            return [found.sqlstate, found.message]
    kind = shown(typed.type)
    if value is None:
        return [kind, None]
    text = encode_text(value, typed.type.oid).decode()
    return [kind, {"t": "true", "f": "false"}[text] if kind == "boolean" else text]


RESULTS = _recorded("results.json")


def test_expressions_are_what_postgresql_computes(node: sqlite3.Connection) -> None:
    wrong, refused = [], 0
    for expression, expected in RESULTS.items():
        found = _evaluated(expression, node)
        if found[0] == "0A000":
            refused += 1
        elif found != expected:
            wrong.append((expression, found, expected))
    assert not wrong
    assert refused < len(RESULTS) / 5
