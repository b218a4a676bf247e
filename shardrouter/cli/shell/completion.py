"""What may come next, told from the words before the cursor. Pure.

A guess by the last keyword and no grammar: tables where tables come, the columns of the tables
that the statement names elsewhere, keywords always.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from shardrouter.keywords import RESERVED
from shardrouter.lexer import fold

__all__ = ["Candidate", "Names", "complete"]

KEYWORDS: Final = tuple(
    """
    ABORT ADD ALL ALTER AND ANALYZE ANY ARRAY AS ASC BEGIN BETWEEN BIGINT BOOLEAN BY BYTEA CASCADE
    CASE CAST CHECK COLUMN COMMIT CONFLICT CONSTRAINT COPY COUNT CREATE CROSS CURRENT_DATE
    CURRENT_TIMESTAMP DATE DEFAULT DELETE DESC DISTINCT DO DROP ELSE END EXCEPT EXISTS EXPLAIN
    EXTRACT FALSE FETCH FILTER FIRST FOREIGN FROM FULL GROUP HAVING IF ILIKE IN INDEX INNER INSERT
    INTEGER INTERSECT INTERVAL INTO IS JOIN JSONB KEY LAST LEFT LIKE LIMIT NATURAL NOT NOTHING NULL
    NULLS NUMERIC OFFSET ON OR ORDER OUTER OVER PARTITION PRIMARY READ RECURSIVE REFERENCES RELEASE
    RENAME RESET RETURNING RIGHT ROLE ROLLBACK ROW ROWS SAVEPOINT SCHEMA SELECT SEQUENCE SET SHOW
    SMALLINT TABLE TEMPORARY TEXT THEN TIMESTAMP TIMESTAMPTZ TO TRANSACTION TRUE TRUNCATE UNION
    UNIQUE UPDATE USING UUID VALUES VARCHAR VIEW WHEN WHERE WINDOW WITH
    """.split()  # noqa: SIM905 -- a list of words
)
STARTS: Final = tuple(
    """
    ALTER ANALYZE BEGIN COMMIT COPY CREATE DELETE DROP EXPLAIN INSERT RELEASE RESET ROLLBACK
    SAVEPOINT SELECT SET SHOW TRUNCATE UPDATE VALUES WITH
    """.split()  # noqa: SIM905 -- a list of words
)
CANDIDATES_MAX: Final = 500

_TABLES_AFTER: Final = frozenset(("from", "join", "into", "update", "table", "truncate", "copy"))
_ENDS_TABLES: Final = frozenset(
    ("where", "on", "set", "group", "order", "having", "values", "select", "using", "returning")
)
_TOKEN: Final = re.compile(
    r"""'(?:[^']|'')*'?|"(?:[^"]|"")*"?|--[^\n]*|[A-Za-z_\x80-\U0010ffff][\w$]*|\s+|.""", re.DOTALL
)
_WORD: Final = re.compile(r"""(?:"(?:[^"]|"")*"?|[A-Za-z_\x80-\U0010ffff][\w$]*)?\Z""")
_PLAIN: Final = re.compile(r"[a-z_\x80-\U0010ffff][a-z0-9_$\x80-\U0010ffff]*")
_COMMANDS_OF_RELATIONS: Final = re.compile(r"\\(?:d[a-z]*\+?|copy)\s+\S*\Z")


@dataclass(frozen=True)
class Names:
    """What there is: relations with their columns, by name as it is kept (not in quotes)."""

    relations: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """text takes the place of the `replaces` characters before the cursor."""

    text: str
    replaces: int
    kind: str


def complete(text: str, behind: str, names: Names, commands: Sequence[str]) -> list[Candidate]:
    """text: the statement up to the cursor, behind: from it on."""
    if (slash := re.match(r"\s*\\(\S*)\Z", text)) is not None:
        word = slash[1]
        return [
            Candidate(f"\\{name}", len(word) + 1, "command")
            for name in commands
            if name.startswith(word)
        ]
    match = _WORD.search(text)
    word = match.group() if match is not None else ""
    before = text[: len(text) - len(word)]
    found = [
        Candidate(shown, len(word), kind)
        for name, kind in _fitting(before, behind, names)
        if (shown := _shown(name, kind, word)) is not None
    ]
    return found[:CANDIDATES_MAX]


def _shown(name: str, kind: str, word: str) -> str | None:
    """The name as it is to be written, if it begins as the word does."""
    if kind == "keyword":
        if not name.lower().startswith(word.lower()):
            return None
        return name.lower() if word and word == word.lower() else name
    if word.startswith('"'):
        return quoted(name) if name.startswith(word[1:].replace('""', '"')) else None
    if not name.startswith(fold(word)):
        return None
    return name if is_plain(name) else quoted(name)


def is_plain(name: str) -> bool:
    return _PLAIN.fullmatch(name) is not None and name not in RESERVED


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _fitting(before: str, behind: str, names: Names) -> Iterator[tuple[str, str]]:
    """Names and their kinds, the likeliest first."""
    if _COMMANDS_OF_RELATIONS.match(before):
        yield from ((name, "table") for name in sorted(names.relations))
        return
    words = _words(before)
    if words[-1:] == ["."]:
        yield from _columns_of(words[-2] if len(words) > 1 else "", words + _words(behind), names)
        return
    if not words:
        yield from ((word, "keyword") for word in STARTS)
        return
    if _wants_table(words):
        yield from ((name, "table") for name in sorted(names.relations))
        yield from ((word, "keyword") for word in ("SELECT", "ONLY", "IF", "EXISTS", "LATERAL"))
        return
    seen: set[str] = set()
    used = _tables(words + _words(behind), names)
    for alias, table in used.items():
        for column in names.relations[table]:
            if column not in seen:
                seen.add(column)
                yield column, "column"
        if alias not in seen:
            seen.add(alias)
            yield alias, "table"
    yield from ((word, "keyword") for word in KEYWORDS)


def _words(text: str) -> list[str]:
    """Words, names and signs; names as they are kept, words in lower case."""
    found: list[str] = []
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token.startswith('"'):
            found.append(token[1:].removesuffix('"').replace('""', '"'))
        elif not token.isspace() and not token.startswith(("--", "'")):
            found.append(fold(token))
    return found


def _wants_table(words: Sequence[str]) -> bool:
    """Whether a relation comes next: behind FROM and its like, and behind their commas."""
    if words[-1] in _TABLES_AFTER:
        return True
    if words[-1] != ",":
        return False
    depth = 0
    for word in reversed(words):
        depth += (word == ")") - (word == "(")
        if depth < 0 or (not depth and word in _ENDS_TABLES):
            return False
        if not depth and word == "from":
            return True
    return False


def _tables(words: Sequence[str], names: Names) -> dict[str, str]:
    """By alias: the relations that the statement names."""
    found: dict[str, str] = {}
    listing = False
    for at, word in enumerate(words):
        if word in _TABLES_AFTER:
            listing = True
        elif word in _ENDS_TABLES:
            listing = False
        elif listing and word in names.relations:
            rest = [w for w in words[at + 1 : at + 3] if w != "as"]
            alias = rest[0] if rest else ""
            is_alias = alias.isidentifier() and alias not in RESERVED and alias not in _ENDS_TABLES
            found[alias if is_alias else word] = word
    return found


def _columns_of(alias: str, words: Sequence[str], names: Names) -> Iterator[tuple[str, str]]:
    table = _tables(words, names).get(alias, alias)
    yield from ((column, "column") for column in names.relations.get(table, ()))
