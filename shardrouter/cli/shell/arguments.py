"""A backslash command in its parts, and the patterns that name objects. Pure.

Quoting is psql's: '...' with doubled quotes and backslash escapes, and "..." which keeps its
quotes, for it is a name's own business what they mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from shardrouter.lexer import fold

__all__ = ["ArgumentError", "Pattern", "Words", "read_pattern", "words_of"]


class ArgumentError(Exception):
    """A command of the shell is wrong; the message is a sentence."""


_WORD: Final = re.compile(r"""(?:'(?:[^'\\]|''|\\.)*'|"(?:[^"]|"")*"|[^\s'"])+""")
_QUOTED: Final = re.compile(r"'((?:[^'\\]|''|\\.)*)'")
_ESCAPE: Final = re.compile(r"''|\\(.)")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_NAME: Final = re.compile(r"\\(\S[A-Za-z]*\+?|)")


@dataclass(frozen=True)
class Words:
    """`\\name arguments`; rest is what stands behind the name, as it was typed."""

    name: str
    arguments: tuple[str, ...]
    rest: str


def words_of(text: str) -> Words:
    """Raises ArgumentError for a quote that nothing ends."""
    match = _NAME.match(text)
    assert match is not None, "a command begins with a backslash"
    rest = text[match.end() :].strip()
    if rest.endswith(";"):
        rest = rest[:-1].rstrip()
    arguments: list[str] = []
    at = 0
    while at < len(rest):
        if rest[at].isspace():
            at += 1
            continue
        word = _WORD.match(rest, at)
        if word is None:
            raise ArgumentError(f"a quote in \\{match[1]} is not closed.")
        arguments.append(_QUOTED.sub(lambda quoted: _unescape(quoted[1]), word.group()))
        at = word.end()
    return Words(match[1], tuple(arguments), rest)


def _unescape(body: str) -> str:
    return _ESCAPE.sub(
        lambda found: "'" if found[1] is None else _ESCAPES.get(found[1], found[1]), body
    )


@dataclass(frozen=True)
class Pattern:
    """Which objects are meant: regular expressions that a whole name has to match. Without a
    schema those that are found without naming one; `is_qualified`: of any schema."""

    name: str | None
    schema: str | None = None
    is_qualified: bool = False


_SPECIAL: Final = frozenset("|*+?()[]{}.^$\\")


def read_pattern(text: str | None) -> Pattern:
    """psql's: `*` any text, `?` any character, `.` between schema and name, what is not in
    quotes in lower case."""
    if not text:
        return Pattern(None)
    parts = [""]
    quoted = False
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == '"':
            if quoted and text[at : at + 1] == '"':
                parts[-1] += '"'
                at += 1
            else:
                quoted = not quoted
        elif quoted:
            parts[-1] += f"\\{char}" if char in _SPECIAL else char
        elif char == "*":
            parts[-1] += ".*"
        elif char == "?":
            parts[-1] += "."
        elif char == ".":
            parts.append("")
        elif char == "$":
            parts[-1] += "\\$"
        else:
            parts[-1] += fold(char)
    if len(parts) > 3:
        raise ArgumentError(f"improper qualified name (too many dotted names): {text}")
    name = f"^({parts[-1]})$"
    schema = f"^({parts[-2]})$" if len(parts) > 1 else None
    return Pattern(
        None if name == "^(.*)$" else name,
        None if schema == "^(.*)$" else schema,
        is_qualified=schema is not None,
    )
