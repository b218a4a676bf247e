"""EDN, the notation of Clojure: reading and writing values. Knows nothing of histories.

Keywords become `Keyword`, a str without the colon; vectors and lists tuples; maps dicts; sets
frozensets; characters one-letter strings; integers of any size ints; ratios and symbols strings.
A tag (#inst, #jepsen.history.Op) is dropped, and what it tags is kept. Nothing is evaluated, and
depth is a list that grows, not the interpreter's stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from jepsen_like.history.operation import HistoryError

__all__ = ["Keyword", "forms", "text_of"]

_TOKEN: Final = re.compile(
    r"""[\s,]*(?:
        (?P<comment>;[^\n]*)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<bracket>\#\{|[\[\](){}])
      | (?P<discard>\#_)
      | (?P<character>\\(?:[^\s\[\](){},;"]+|.))
      | (?P<atom>[^\s,;"\[\](){}\\]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_CLOSES: Final = {"[": "]", "(": ")", "{": "}", "#{": "}"}
_ESCAPES: Final = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "b": "\b", "f": "\f"}
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_CHARACTERS: Final = {"newline": "\n", "space": " ", "tab": "\t", "return": "\r"}
_FIXED: Final = {"nil": None, "true": True, "false": False, "##Inf": float("inf"),
                 "##-Inf": float("-inf"), "##NaN": float("nan")}  # fmt: skip
_INTEGER: Final = re.compile(r"[+-]?\d+N?")
_FLOAT: Final = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?M?")
DIGITS_MAX: Final = 4_000  # of an integer; Python itself refuses somewhat larger ones


class Keyword(str):
    """:read, as the str "read"."""

    __slots__ = ()


class _Level:
    """An open bracket, or the top: what it holds so far, and how many forms to discard."""

    __slots__ = ("bracket", "discard", "items", "line")

    def __init__(self, bracket: str, line: int) -> None:
        self.bracket = bracket
        self.line = line
        self.items: list[Any] = []
        self.discard = 0

    def add(self, value: Any) -> None:
        if self.discard:
            self.discard -= 1
        else:
            self.items.append(value)


def forms(text: str, *, inside: bool = False) -> Iterator[tuple[int, Any]]:
    """(line, form) of each form at the top; `inside`: of each in the one vector or list there.

    Raises HistoryError whose sentence begins with the line.
    """
    top = _Level("", 1)
    levels = [top]
    atoms: dict[str, Any] = {}
    line, seen, end = 1, 0, len(text.rstrip(" \t\r\n,"))
    position = 0
    start = 1  # the line on which the form at the depth of interest began
    while position < end:
        match = _TOKEN.match(text, position)
        token_at = position if match is None else match.start(match.lastgroup or 0)
        line += text.count("\n", seen, token_at)
        seen = token_at
        if match is None:
            raise HistoryError(f"{line}: {text[position : position + 20].strip()!r} is not EDN")
        position = match.end()
        kind, token = match.lastgroup, match[match.lastgroup or 0]
        level = levels[-1]
        depth = 2 if inside and len(levels) > 1 and levels[1].bracket in "[(" else 1
        if len(levels) == depth:
            start = line
        if kind == "comment":
            continue
        if kind == "discard":
            level.discard += 1
            continue
        if kind == "bracket":
            if token in _CLOSES:
                levels.append(_Level(token, line))
                continue
            if level is top or _CLOSES[level.bracket] != token:
                raise HistoryError(f"{line}: {token} closes nothing")
            levels.pop()
            if inside and level.bracket in "[(" and len(levels) == 1:
                continue  # the vector around the events; they were handed out one by one
            start = level.line
            levels[-1].add(_collection(level, line))
        elif kind == "string":
            level.add(_ESCAPE.sub(_unescape, token[1:-1]) if "\\" in token else token[1:-1])
        elif kind == "character":
            level.add(_CHARACTERS.get(token[1:], token[1:]))
        elif token[0] == "#" and token not in _FIXED:
            continue  # a tag
        else:
            if token not in atoms:
                atoms[token] = _atom(token, line)
            level.add(atoms[token])
        here = levels[-1]
        if len(levels) == (2 if inside and len(levels) > 1 and here.bracket in "[(" else 1):
            for item in here.items:
                yield start, item
            here.items.clear()
    if len(levels) > 1:
        raise HistoryError(
            f"{line}: the file ends inside the {levels[-1].bracket} of line {levels[-1].line}"
        )


def _collection(level: _Level, line: int) -> Any:
    items = level.items
    try:
        if level.bracket == "{":
            if len(items) % 2:
                raise HistoryError(f"{line}: the map of line {level.line} has a key without value")
            return dict(zip(items[::2], items[1::2], strict=True))
        return frozenset(items) if level.bracket == "#{" else tuple(items)
    except TypeError as exc:  # a map as a key
        raise HistoryError(f"{line}: {exc}") from exc


def _atom(token: str, line: int) -> Any:
    if token[0] == ":":
        return Keyword(token[1:])
    if token in _FIXED:
        value = _FIXED[token]
        if value != value:
            raise HistoryError(
                f"{line}: {token} equals nothing, itself included: it cannot be judged"
            )
        return value
    if _INTEGER.fullmatch(token):
        if len(token) > DIGITS_MAX:
            raise HistoryError(f"{line}: an integer of {len(token)} digits is too large")
        return int(token.removesuffix("N"))
    if _FLOAT.fullmatch(token):
        return float(token.removesuffix("M"))
    return token


def _unescape(match: re.Match[str]) -> str:
    letter = match[1]
    return chr(int(letter[1:], 16)) if letter[0] == "u" and len(letter) > 1 else (
        _ESCAPES.get(letter, letter)
    )  # fmt: skip


def text_of(value: Any) -> str:
    """A value as EDN. Raises TypeError for what EDN does not have."""
    if value is None:
        return "nil"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, Keyword):
        return f":{value}"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'.replace("\r", "\\r")
    if isinstance(value, (int, float)):
        if value != value or value in (float("inf"), float("-inf")):
            return "##NaN" if value != value else "##Inf" if value > 0 else "##-Inf"
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{text_of(k)} {text_of(v)}" for k, v in value.items()) + "}"
    if isinstance(value, frozenset):
        return "#{" + " ".join(sorted(map(text_of, value))) + "}"
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return "[" + " ".join(map(text_of, value)) + "]"
    raise TypeError(f"EDN has no {type(value).__name__}")
