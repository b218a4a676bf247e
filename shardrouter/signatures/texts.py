"""Functions of text and of bytes."""

from __future__ import annotations

from collections.abc import Iterator

from shardrouter.signatures.signature import Function, absent, plain
from shardrouter.types import (
    ARRAY_OF,
    BIGINT,
    BOOLEAN,
    BPCHAR,
    BYTEA,
    INTEGER,
    NAME,
    TEXT,
)

__all__ = ["rows"]


def rows() -> Iterator[Function]:
    for name in ("length", "char_length", "character_length"):
        yield plain(name, "pg_length_text", INTEGER, TEXT)
    for name in ("lower", "upper"):
        yield plain(name, f"pg_{name}_text", TEXT, TEXT)
    for name, result in (
        ("octet_length", INTEGER), ("bit_length", INTEGER), ("reverse", TEXT), ("md5", TEXT),
        ("initcap", TEXT), ("ascii", INTEGER), ("quote_literal", TEXT),
    ):  # fmt: skip
        yield plain(name, f"pg_{name}", result, TEXT)
    yield plain("octet_length", "pg_octet_length", INTEGER, BPCHAR)
    for name in ("btrim", "ltrim", "rtrim"):
        yield plain(name, f"pg_{name}", TEXT, TEXT, TEXT)
        yield Function(name, (TEXT,), TEXT, f"pg_{name}({{0}}, ' ')")
    for name in ("substring", "substr"):
        yield plain(name, "pg_substring", TEXT, TEXT, INTEGER, INTEGER)
        yield plain(name, "pg_substring_from", TEXT, TEXT, INTEGER)
    for name in ("left", "right", "repeat"):
        yield plain(name, f"pg_{name}", TEXT, TEXT, INTEGER)
    for name in ("lpad", "rpad"):
        yield plain(name, f"pg_{name}", TEXT, TEXT, INTEGER, TEXT)
        yield Function(name, (TEXT, INTEGER), TEXT, f"pg_{name}({{0}}, {{1}}, ' ')")
    yield plain("replace", "pg_replace", TEXT, TEXT, TEXT, TEXT)
    yield plain("translate", "pg_translate", TEXT, TEXT, TEXT, TEXT)
    yield plain("split_part", "pg_split_part", TEXT, TEXT, TEXT, INTEGER)
    yield plain("strpos", "pg_strpos", INTEGER, TEXT, TEXT)
    yield Function("position", (TEXT, TEXT), INTEGER, "pg_strpos({1}, {0})")
    yield plain("starts_with", "pg_starts_with", BOOLEAN, TEXT, TEXT)
    yield plain("overlay", "pg_overlay", TEXT, TEXT, TEXT, INTEGER, INTEGER)
    without_length = "pg_overlay({0}, {1}, {2}, pg_length_text({1}))"
    yield Function("overlay", (TEXT, TEXT, INTEGER), TEXT, without_length)
    yield plain("chr", "pg_chr", TEXT, INTEGER)
    for kind in (INTEGER, BIGINT):
        yield plain("to_hex", f"pg_to_hex_{kind.short}", TEXT, kind)
    yield plain("quote_ident", "pg_quote_ident", TEXT, TEXT)
    yield Function("quote_nullable", (TEXT,), TEXT, "pg_quote_nullable({0})")
    yield plain("unistr", "pg_unistr", TEXT, TEXT)
    yield absent("substring", TEXT, TEXT, TEXT)
    yield from _regular_expressions()
    yield from _bytes()


def _regular_expressions() -> Iterator[Function]:
    texts = ARRAY_OF[TEXT]
    for name, node, result in (
        ("regexp_match", "pg_regexp_match", texts),
        ("regexp_like", "pg_regexp_like", BOOLEAN),
        ("regexp_split_to_array", "pg_regexp_split", texts),
    ):
        yield plain(name, node, result, TEXT, TEXT, TEXT)
        yield Function(name, (TEXT, TEXT), result, f"{node}({{0}}, {{1}}, '')")
    replace, nth = "pg_regexp_replace", "pg_regexp_replace_nth"
    yield plain("regexp_replace", replace, TEXT, TEXT, TEXT, TEXT, TEXT)
    yield Function(
        "regexp_replace", (TEXT, TEXT, TEXT), TEXT, f"{replace}({{0}}, {{1}}, {{2}}, '')"
    )
    for count, rest in ((4, ", 1, ''"), (5, ", ''"), (6, "")):
        arguments = (TEXT, TEXT, TEXT, INTEGER, INTEGER, TEXT)[:count]
        places = ", ".join(f"{{{i}}}" for i in range(count))
        yield Function("regexp_replace", arguments, TEXT, f"{nth}({places}{rest})")
    for count, rest in ((2, ", 1, ''"), (3, ", ''"), (4, "")):
        arguments = (TEXT, TEXT, INTEGER, TEXT)[:count]
        places = ", ".join(f"{{{i}}}" for i in range(count))
        yield Function("regexp_count", arguments, INTEGER, f"pg_regexp_count({places}{rest})")
    for count in range(1, 5):
        numbers = (INTEGER, INTEGER, TEXT, INTEGER)[:count]
        yield absent("regexp_substr", TEXT, TEXT, *numbers)
    for name in ("substring", "regexp_substr"):
        yield plain(name, "pg_regexp_substring", TEXT, TEXT, TEXT)


def _bytes() -> Iterator[Function]:
    yield plain("encode", "pg_encode", TEXT, BYTEA, TEXT)
    yield plain("decode", "pg_decode", BYTEA, TEXT, TEXT)
    for name in ("length", "octet_length"):
        yield plain(name, "pg_length_bytea", INTEGER, BYTEA)
    yield plain("bit_length", "pg_bit_length_bytea", INTEGER, BYTEA)
    yield plain("bit_count", "pg_bit_count_bytea", BIGINT, BYTEA)
    for name in ("substring", "substr"):
        yield plain(name, "pg_substring_bytea", BYTEA, BYTEA, INTEGER, INTEGER)
        yield plain(name, "pg_substring_from_bytea", BYTEA, BYTEA, INTEGER)
    yield Function("position", (BYTEA, BYTEA), INTEGER, "pg_position_bytea({1}, {0})")
    for name in ("btrim", "ltrim", "rtrim"):
        yield plain(name, f"pg_{name}_bytea", BYTEA, BYTEA, BYTEA)
    yield absent("length", BYTEA, NAME)
    for length in ((), (INTEGER,)):
        yield absent("overlay", BYTEA, BYTEA, INTEGER, *length)
    yield plain("get_byte", "pg_get_byte", INTEGER, BYTEA, INTEGER)
    yield plain("set_byte", "pg_set_byte", BYTEA, BYTEA, INTEGER, INTEGER)
    yield plain("get_bit", "pg_get_bit", INTEGER, BYTEA, BIGINT)
    yield plain("set_bit", "pg_set_bit", BYTEA, BYTEA, BIGINT, INTEGER)
    yield plain("md5", "pg_md5_bytea", TEXT, BYTEA)
    for name in ("sha224", "sha256", "sha384", "sha512"):
        yield plain(name, f"pg_{name}", BYTEA, BYTEA)
    yield plain("convert_to", "pg_convert_to", BYTEA, TEXT, NAME)
    yield plain("convert_from", "pg_convert_from", TEXT, BYTEA, NAME)
