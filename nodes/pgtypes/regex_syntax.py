"""PostgreSQL's advanced regular expressions, read into a tree.

An allow-list of what the automaton behind it (`nodes.pgtypes.regular_expressions`) answers as
PostgreSQL does: back references, look-around and other flavours are refused (0A000); what
PostgreSQL calls invalid is 2201B in its words. Letters and digits are those of glibc.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from nodes.pgtypes.formats import FunctionError

__all__ = ["Alternatives", "Assertion", "Characters", "Group", "Node", "Repeat", "Sequence", "read"]

REPEAT_MAX: Final = 255
"""PostgreSQL's own limit of {m,n}."""

LENGTH_MAX: Final = 10_000
DEPTH_MAX: Final = 50
"""Of parentheses: reading recurses."""


@dataclass(frozen=True)
class Characters:
    """One character of the ranges, or of what the tests accept; or none of them."""

    ranges: tuple[tuple[str, str], ...] = ()
    tests: tuple[Callable[[str], bool], ...] = ()
    is_negated: bool = False
    any_case: bool = False

    def matches(self, character: str) -> bool:
        forms = {character}
        if self.any_case:
            forms |= {character.lower(), character.upper()}
        found = any(low <= form <= high for form in forms for low, high in self.ranges)
        found = found or any(test(form) for test in self.tests for form in forms)
        return found != self.is_negated


@dataclass(frozen=True)
class Assertion:
    """A place between characters: ^ $ A Z m M y Y."""

    kind: str


@dataclass(frozen=True)
class Sequence:
    items: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Alternatives:
    branches: tuple[Node, ...]


@dataclass(frozen=True)
class Group:
    """Parentheses that keep what they match."""

    item: Node
    number: int


@dataclass(frozen=True)
class Repeat:
    """`most` None: without a limit. `is_greedy` None: {m}, which has the wish of its operand."""

    item: Node
    least: int
    most: int | None
    is_greedy: bool | None


Node: TypeAlias = Characters | Assertion | Sequence | Alternatives | Group | Repeat


def _invalid(what: str) -> FunctionError:
    return FunctionError("2201B", f"invalid regular expression: {what}")


def _refused(what: str) -> FunctionError:
    return FunctionError(
        "0A000",
        f"{what} in a regular expression is not supported",
        hint="Write it without, or match in the application.",
    )


_DIGITS: Final = "0123456789"


def _is_letter(character: str) -> bool:
    """As glibc sees it: digits of other scripts and numbers that are letters are some too. Which
    marks are, Python does not know."""
    if character.isascii():
        return character.isalpha()
    category = unicodedata.category(character)
    if category in ("Mn", "Mc") and character > "\u036f":
        raise _refused(f"whether the mark U+{ord(character):04X} is a letter")
    is_cased = character.isupper() or character.islower()
    return character.isalpha() or is_cased or category in ("Nd", "Nl")


def _is_alphanumeric(character: str) -> bool:
    return character in _DIGITS or _is_letter(character)


def _is_word(character: str) -> bool:
    return character == "_" or _is_alphanumeric(character)


def _is_space(character: str) -> bool:
    return character.isspace() and character not in "\x1c\x1d\x1e\x1f\x85\xa0\u2007\u202f"


def _is_printed(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cn", "Cs", "Zl", "Zp")


def _is_graphic(character: str) -> bool:
    return _is_printed(character) and not _is_space(character)


_CLASSES: Final[dict[str, Callable[[str], bool]]] = {
    "alnum": _is_alphanumeric,
    "alpha": _is_letter,
    "blank": lambda c: c in " \t",
    "cntrl": lambda c: unicodedata.category(c) == "Cc",
    "digit": lambda c: c in _DIGITS,
    "graph": _is_graphic,
    "lower": lambda c: c.islower() or c in "\u01c5\u01c8\u01cb\u01f2",
    "print": _is_printed,
    "punct": lambda c: _is_graphic(c) and not _is_alphanumeric(c),
    "space": _is_space,
    "upper": lambda c: c.isupper() or unicodedata.category(c) == "Lt",
    "xdigit": lambda c: c in "0123456789abcdefABCDEF",
    "word": _is_word,
}
"""What glibc's C.UTF-8 says of a character, compared for every one there is."""

_SHORTHANDS: Final = {"d": "digit", "w": "word", "s": "space"}
_CONTROLS: Final = {
    "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "B": "\\",
}  # fmt: skip
_HEXADECIMAL: Final = {"u": 4, "U": 8}
_PLACES: Final = frozenset("AZmMyY")


def read(pattern: str, *, any_case: bool = False, by_line: bool = False) -> tuple[Node, int]:
    """The tree, and how many groups keep what they match. Raises FunctionError 2201B and 0A000.

    `by_line`: ^ and $ also match beside a newline, which `.` and [^...] do not match."""
    if len(pattern) > LENGTH_MAX:
        raise _invalid("regular expression is too complex")
    reader = _Reader(pattern, any_case=any_case, by_line=by_line)
    return reader.whole(), reader.groups


class _Reader:
    def __init__(self, pattern: str, *, any_case: bool, by_line: bool) -> None:
        self._text = pattern
        self._at = 0
        self._any_case = any_case
        self._by_line = by_line
        self._depth = 0
        self.groups = 0

    def whole(self) -> Node:
        if self._text.startswith("***"):
            raise _refused("***")
        self._options()
        node = self._alternatives()
        if self._at < len(self._text):
            raise _invalid("parentheses () not balanced")
        return node

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        if self._text.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _options(self) -> None:
        """(?i) and its like, at the start alone."""
        if not (self._text.startswith("(?") and self._text[2:3].isalpha()):
            return
        end = self._text.find(")")
        if end < 0:
            raise _invalid("invalid embedded option")
        for letter in self._text[2:end]:
            if letter in "ic":
                self._any_case = letter == "i"
            elif letter in "nm":
                self._by_line = True
            elif letter == "s":
                self._by_line = False
            elif letter != "t":
                raise _refused(f"the option {letter}")
        self._at = end + 1

    def _alternatives(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise _invalid("regular expression is too complex")
        branches = [self._branch()]
        while self._take("|"):
            branches.append(self._branch())
        self._depth -= 1
        return branches[0] if len(branches) == 1 else Alternatives(tuple(branches))

    def _branch(self) -> Node:
        items: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            items.append(self._quantified())
        if self._peek() == ")" and self._depth == 1:
            raise _invalid("parentheses () not balanced")
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    # ---- atoms

    def _quantified(self) -> Node:
        atom = self._atom()
        start = self._at
        counts = self._quantifier()
        if counts is None:
            return atom
        if isinstance(atom, Assertion):
            raise _invalid("quantifier operand invalid")
        is_exact = counts[0] == counts[1] and "," not in self._text[start : self._at]
        is_greedy = not self._take("?")
        if self._peek() in ("*", "+", "?") and self._peek():
            raise _invalid("quantifier operand invalid")
        if self._is_bound():
            raise _invalid("quantifier operand invalid")
        return Repeat(atom, *counts, None if is_exact else is_greedy)

    def _is_bound(self) -> bool:
        return self._peek() == "{" and self._text[self._at + 1 : self._at + 2].isdigit()

    def _quantifier(self) -> tuple[int, int | None] | None:
        for mark, counts in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(mark):
                return counts
        if not self._is_bound():
            return None
        end = self._text.find("}", self._at)
        first, comma, second = self._text[self._at + 1 : max(end, 0)].partition(",")
        if end < 0 or not first.isdigit() or (second and not second.isdigit()):
            raise _invalid("braces {} not balanced" if end < 0 else "invalid repetition count(s)")
        least = int(first)
        most = least if not comma else int(second) if second else None
        if max(least, most or 0) > REPEAT_MAX or (most is not None and most < least):
            raise _invalid("invalid repetition count(s)")
        self._at = end + 1
        return least, most

    def _atom(self) -> Node:
        character = self._peek()
        if character in "*+?":
            raise _invalid("quantifier operand invalid")
        if self._is_bound():
            raise _invalid("quantifier operand invalid")
        self._at += 1
        match character:
            case "(":
                return self._group()
            case "[":
                return self._bracket()
            case ".":
                ranges = (("\n", "\n"),) if self._by_line else ()
                return Characters(ranges, is_negated=True)
            case "^" | "$":
                line = "line " if self._by_line else ""
                return Assertion(line + character)
            case "\\":
                return self._escape()
        return self._one(character)

    def _one(self, character: str) -> Characters:
        return Characters(((character, character),), any_case=self._any_case)

    def _group(self) -> Node:
        number = 0
        if self._take("?"):
            if not self._take(":"):
                if self._peek() in ("=", "!", "<"):
                    raise _refused("looking ahead or behind")
                raise _invalid("quantifier operand invalid")
        else:
            self.groups += 1
            number = self.groups
        node = self._alternatives()
        if not self._take(")"):
            raise _invalid("parentheses () not balanced")
        return Group(node, number) if number else node

    def _escape(self) -> Node:
        letter = self._peek()
        if not letter:
            raise _invalid("invalid escape \\ sequence")
        if letter in _PLACES:
            self._at += 1
            return Assertion(letter)
        if letter in "123456789":
            raise _refused("a back reference")
        found = self._escaped()
        return self._one(found) if isinstance(found, str) else found

    def _escaped(self) -> str | Characters:
        """What a backslash makes of what follows it: a character, or a class."""
        letter = self._peek()
        self._at += 1
        if letter.lower() in _SHORTHANDS and letter:
            test = _CLASSES[_SHORTHANDS[letter.lower()]]
            return Characters((), (test,), is_negated=letter.isupper())
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter in _HEXADECIMAL or letter == "x":
            width = _HEXADECIMAL.get(letter)
            digits = self._digits(width or 255)
            if (width is not None and len(digits) != width) or not digits:
                raise _invalid("invalid escape \\ sequence")
            code = int(digits, 16)
            if not 0 <= code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise _invalid("invalid escape \\ sequence")
            return chr(code)
        if letter == "0" and self._peek() not in tuple("01234567"):
            return "\0"
        if letter.isalnum() or not letter:
            raise _invalid("invalid escape \\ sequence")
        return letter

    def _digits(self, most: int) -> str:
        start = self._at
        while self._at - start < most and self._peek() and self._peek() in "0123456789abcdefABCDEF":
            self._at += 1
        return self._text[start : self._at]

    # ---- brackets

    def _bracket(self) -> Node:
        is_negated = self._take("^")
        ranges: list[tuple[str, str]] = []
        tests: list[Callable[[str], bool]] = []
        if is_negated and self._by_line:
            ranges.append(("\n", "\n"))
        start = self._at
        while True:
            if not self._peek():
                raise _invalid("brackets [] not balanced")
            if self._peek() == "]" and self._at > start:
                self._at += 1
                break
            low = self._bracket_item()
            if isinstance(low, str):
                high = low
                if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                    self._at += 1
                    end = self._bracket_item()
                    if not isinstance(end, str) or end < low:
                        raise _invalid("invalid character range")
                    high = end
                ranges.append((low, high))
            else:
                tests += self._tests_of(low)
        return Characters(tuple(ranges), tuple(tests), is_negated, self._any_case)

    def _tests_of(self, item: Characters) -> Iterator[Callable[[str], bool]]:
        if item.is_negated:
            raise _invalid("invalid escape \\ sequence")
        yield from item.tests

    def _bracket_item(self) -> str | Characters:
        if self._take("[:"):
            end = self._text.find(":]", self._at)
            name = self._text[self._at : max(end, 0)]
            if end < 0 or name not in _CLASSES:
                raise _invalid("invalid character class")
            self._at = end + 2
            if self._any_case and name in ("lower", "upper"):
                name = "alpha"  # letters without case too
            return Characters((), (_CLASSES[name],))
        if self._text.startswith(("[.", "[="), self._at):
            raise _refused("a collating element")
        if self._take("\\"):
            return self._escaped()
        self._at += 1
        return self._text[self._at - 1]
