"""Functions of json and jsonb whose arguments have types; the others are in `json_calls`."""

from __future__ import annotations

from collections.abc import Iterator

from shardrouter.signatures.signature import Function, plain
from shardrouter.types import (
    ARRAY_OF,
    BOOLEAN,
    INTEGER,
    JSON,
    JSONB,
    TEXT,
)

__all__ = ["rows"]

_PATH_MAX = 7
"""Steps that json_extract_path takes: a call has eight arguments at most."""


def rows() -> Iterator[Function]:
    texts = ARRAY_OF[TEXT]
    for kind in (JSON, JSONB):
        short = kind.short
        yield plain(f"{short}_typeof", f"pg_typeof_{short}", TEXT, kind)
        yield plain(f"{short}_array_length", f"pg_length_{short}", INTEGER, kind)
        yield plain(f"{short}_strip_nulls", f"pg_strip_{short}", kind, kind)
        for count in range(1, _PATH_MAX + 1):
            arguments = (kind, *(TEXT,) * count)
            path = ", ".join(f"{{{i + 1}}}" for i in range(count))
            name = f"{short}_extract_path"
            yield Function(name, arguments, kind, f"pg_path_{short}({{0}}, pg_array({path}))")
            text = f"pg_pathtext_{short}({{0}}, pg_array({path}))"
            yield Function(f"{name}_text", arguments, TEXT, text)
    yield plain("jsonb_pretty", "pg_pretty_jsonb", TEXT, JSONB)
    for name, node, default in (
        ("jsonb_set", "pg_set_jsonb", 1),
        ("jsonb_insert", "pg_insert_jsonb", 0),
    ):
        yield plain(name, node, JSONB, JSONB, texts, JSONB, BOOLEAN)
        text = f"{node}({{0}}, {{1}}, {{2}}, {default})"
        yield Function(name, (JSONB, texts, JSONB), JSONB, text)
