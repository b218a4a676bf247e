"""What was typed, cut into statements and backslash commands, line by line.

It finds where statements end as `shardrouter.lexer` would (a test compares the two), but reads
each line once, whatever came before it and however wrong it is: the lexer wants a whole text, and
refuses one that is not finished yet. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = ["Command", "Piece", "Splitter", "Statement"]


@dataclass(frozen=True)
class Statement:
    """Without its semicolon, and without what stands before it."""

    text: str


@dataclass(frozen=True)
class Command:
    """A backslash command, to the end of its line. Statements that were not finished before it
    stay with the splitter: `\\g` runs them."""

    text: str


Piece: TypeAlias = Statement | Command

_LETTER: Final = r"A-Za-z_\x80-\U0010ffff"
_NEXT: Final = re.compile(
    rf"""
      (?P<space>[ \t\n\r\f\v]+|--[^\n\r]*)
    | (?P<comment>/\*)
    | (?P<escaped>[eE]')
    | (?P<word>[{_LETTER}][{_LETTER}0-9$]*|\$?[0-9]+)
    | (?P<dollar>\$(?:[{_LETTER}][{_LETTER}0-9]*)?\$)
    | (?P<quote>['"])
    | (?P<end>;)
    | (?P<command>\\)
    | (?P<other>.)
    """,
    re.VERBOSE,
)
_ESCAPED_END: Final = re.compile(r"(?:[^'\\]|''|\\.)*+'", re.DOTALL)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")


class Splitter:
    """Feed lines, with their ends; what is not finished stays."""

    def __init__(self) -> None:
        self._parts: list[str] = []  # of the statement, from its first token on
        self._size = 0  # of the parts, in characters
        self._begun = False
        self._last = 0  # behind its last token
        self._within = ""  # what ends the quote; E for a string with escapes; * in a comment
        self._depth = 0  # of comments

    @property
    def pending(self) -> str:
        """The statement so far: from its first token to its last."""
        return "".join(self._parts)[: self._last]

    @property
    def sign(self) -> str:
        """For the prompt: `=` before a statement, `-` in it, else what quote or comment it is."""
        if self._within:
            return "'" if self._within == "E" else self._within[0]
        return "-" if self._begun else "="

    def take(self) -> str:
        """What is pending, and begin anew."""
        text = self.pending
        self._parts.clear()
        self._size = self._last = self._depth = 0
        self._begun = False
        self._within = ""
        return text

    def feed(self, line: str) -> list[Piece]:
        """What is complete with this line, in order."""
        pieces: list[Piece] = []
        at = begin = 0  # of what of the line belongs to the statement
        while at < len(line):
            if self._within:
                is_comment = self._within == "*"
                at = self._behind_quote(line, at)
                if not is_comment:
                    self._last = self._size + at - begin
                continue
            match = _NEXT.match(line, at)
            assert match is not None
            found, start, at = match.lastgroup, at, match.end()
            if found == "space":
                continue
            if found == "comment":
                self._within, self._depth = "*", 1
            elif found == "command":
                at = line.find("\n", start)
                at = len(line) if at < 0 else at
                pieces.append(Command(line[start:at].rstrip()))
                self._keep(line[begin:start])
                begin = at
            elif found == "end":
                self._keep(line[begin:at])
                if text := self.take():
                    pieces.append(Statement(text))
                begin = at
            else:
                if not self._begun:
                    self._begun, begin = True, start
                self._last = self._size + at - begin
                if found == "escaped":
                    self._within = "E"
                elif found in ("quote", "dollar"):
                    self._within = match.group()
        self._keep(line[begin:])
        return pieces

    def end(self) -> list[Piece]:
        """There is no more: what is pending is a statement, although nothing ends it."""
        text = self.take()
        return [Statement(text)] if text else []

    def _keep(self, part: str) -> None:
        if self._begun:
            self._parts.append(part)
            self._size += len(part)

    def _behind_quote(self, line: str, at: int) -> int:
        """Behind what the quote or comment encloses, or the end of the line."""
        if self._within == "*":
            while self._depth and (edge := _COMMENT_EDGE.search(line, at)) is not None:
                self._depth += 1 if edge.group() == "/*" else -1
                at = edge.end()
            if self._depth:
                return len(line)
        elif self._within == "E":
            match = _ESCAPED_END.match(line, at)
            if match is None:
                return len(line)
            at = match.end()
        else:
            found = line.find(self._within, at)
            if found < 0:
                return len(line)
            at = found + len(self._within)
        self._within = ""
        return at
