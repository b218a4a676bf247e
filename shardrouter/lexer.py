"""PostgreSQL's lexical rules: from a text to tokens, and from a simple query to statements.

Its own module, and not a library's, because here lies what is easily read differently: what
ends a string, a comment or an operator decides what the rest of the text means. It follows
`scan.l` of PostgreSQL with standard_conforming_strings on. Knows no grammar.
"""

from __future__ import annotations

import enum
import re
from typing import Final

import msgspec

from shardrouter.errors import NotSupported, StatementError
from shardrouter.quick_enums import quick

__all__ = [
    "NAME_BYTES_MAX",
    "Kind",
    "Token",
    "cut_names",
    "fold",
    "is_utf8",
    "split",
    "syntax_error",
    "tokenize",
]


@quick
class Kind(enum.Enum):
    WORD = "word"  # unquoted; text is folded to lower case
    NAME = "name"  # "quoted"; text is what the quotes enclose
    STRING = "string"  # text is the value
    NUMBER = "number"
    PARAMETER = "parameter"  # text is the digits of $n
    OPERATOR = "operator"
    MARK = "mark"  # ( ) [ ] , ; . : ::


_WORD, _MARK = Kind.WORD, Kind.MARK


class Token(msgspec.Struct, frozen=True, gc=False):
    kind: Kind
    text: str
    start: int  # 0-based offset in characters
    end: int  # offset after the last character
    source: str  # as it was written

    def is_mark(self, text: str) -> bool:
        return self.kind is _MARK and self.text == text

    def is_word(self, *texts: str) -> bool:
        return self.kind is _WORD and self.text in texts


NAME_BYTES_MAX: Final = 63
"""Of an identifier; what is longer is cut, and a notice says so."""

_SHORT: Final = NAME_BYTES_MAX // 4
"""Characters of a name that cannot be too long, whatever they are."""

_MAY_BE_LONG: Final = re.compile(rf'[\w$]{{{_SHORT + 1}}}|"[^"]{{{_SHORT + 1}}}')
"""What every text has that has a name to be cut; so have others."""

TOKENS_MAX: Final = 200_000
"""Of a text: so many are read in half a second."""

_SPACES: Final = " \t\n\r\f\v"
_TOKEN: Final = re.compile(
    r"""
    [ \t\n\r\f\v]*(?:
      (?P<line>--[^\n\r]*)
    | (?P<comment>/\*)
    | (?P<prefixed>[eE]'|[bBxXnN]'|[uU]&['"])
    | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
    | (?P<number>(?:[0-9]+(?:\.(?!\.)[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<parameter>\$[0-9]+)
    | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$)
    | (?P<string>')
    | (?P<name>")
    | (?P<mark>::|[()\[\],;.:])
    | (?P<operator>[-+*/<>=~!@#%^&|`?]+)
    )""",
    re.VERBOSE,
)
_JUNK: Final = re.compile(r"[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*")
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_STRING_END: Final = re.compile(r"[^']*(?:''[^']*)*'")
_ESCAPED_END: Final = re.compile(r"(?:[^'\\]|''|\\.)*'", re.DOTALL)
_NAME_END: Final = re.compile(r'[^"]*(?:""[^"]*)*"')
_ESCAPE: Final = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))|''|[^\\']+",
    re.DOTALL,
)
_SIMPLE_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ENDS_IN_SIGN: Final = frozenset("~!@#%^&|`?")
_UPPER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def fold(name: str) -> str:
    """An unquoted identifier in lower case: ASCII only, as PostgreSQL does in UTF8."""
    return name.lower() if name.isascii() else name.translate(_UPPER)


def syntax_error(near: str, start: int) -> StatementError:
    """42601 as PostgreSQL words it; an empty `near` is the end of the input."""
    where = f'at or near "{near}"' if near else "at end of input"
    return StatementError(f"syntax error {where}", sqlstate="42601", position=start + 1)


def is_utf8(text: str) -> bool:
    """Whether the text has an encoding at all: a Python string may hold half a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def tokenize(sql: str) -> list[Token]:
    """All tokens but spaces and comments. Raises StatementError (42601, 22021, 22025)."""
    if not is_utf8(sql):
        raise StatementError("the statement cannot be encoded in UTF8", sqlstate="22021")
    if (zero := sql.find("\0")) >= 0:
        raise StatementError(
            'invalid byte sequence for encoding "UTF8": 0x00', sqlstate="22021", position=zero + 1
        )
    tokens: list[Token] = []
    at, size = 0, len(sql.rstrip(_SPACES))
    folded = str.lower if sql.isascii() else fold
    while at < size:
        if len(tokens) > TOKENS_MAX:
            raise StatementError(
                f"the statement has more than {TOKENS_MAX} words, numbers and signs",
                sqlstate="54000",
                hint="Send several statements, pass lists as an array (= ANY($1)), or use COPY.",
            )
        match = _TOKEN.match(sql, at)
        if match is None:
            at = size - len(sql[at:size].lstrip(_SPACES))
            raise syntax_error(sql[at], at)
        found = match.lastgroup
        start, at = match.span(found)  # type: ignore[arg-type]  # one of them matched
        text = sql[start:at]
        if found == "word":
            name = folded(text) if at - start <= _SHORT else _cut(folded(text))
            tokens.append(Token(_WORD, name, start, at, text))
        elif found == "mark":
            tokens.append(Token(_MARK, text, start, at, text))
        elif found == "line":
            continue
        elif found == "comment":
            at = _skip_comment(sql, start)
        elif found == "number" or found == "parameter":
            if junk := _JUNK.match(sql, at):
                what = "numeric literal" if found == "number" else "parameter"
                raise StatementError(
                    f'trailing junk after {what} at or near "{sql[start : junk.end()]}"',
                    sqlstate="42601",
                    position=start + 1,
                )
            kind = Kind.NUMBER if found == "number" else Kind.PARAMETER
            tokens.append(Token(kind, text.removeprefix("$"), start, at, text))
        elif found == "operator":
            text = _operator(text)
            at = start + len(text)
            tokens.append(Token(Kind.OPERATOR, text, start, at, text))
        elif found == "name":
            at = _end(_NAME_END, sql, start, at, "quoted identifier")
            name = sql[start + 1 : at - 1].replace('""', '"')
            if not name:
                raise StatementError(
                    'zero-length delimited identifier at or near """"',
                    sqlstate="42601",
                    position=start + 1,
                )
            name = name if at - start <= _SHORT else _cut(name)
            tokens.append(Token(Kind.NAME, name, start, at, sql[start:at]))
        else:
            value, at = _string(sql, str(found), text, start, at)
            _append_string(tokens, Token(Kind.STRING, value, start, at, sql[start:at]), sql)
    return tokens


def _cut(name: str) -> str:
    """As much of it as a name may have, in whole characters."""
    data = name.encode()
    return name if len(data) <= NAME_BYTES_MAX else data[:NAME_BYTES_MAX].decode(errors="ignore")


def cut_names(sql: str) -> tuple[tuple[str, str], ...]:
    """Its names that are too long, as they are written, and what is left of them."""
    if len(sql) <= _SHORT or not _MAY_BE_LONG.search(sql):
        return ()
    found = []
    for token in tokenize(sql):
        if token.kind is _WORD or token.kind is Kind.NAME:
            whole = token.source
            whole = whole[1:-1].replace('""', '"') if token.kind is Kind.NAME else fold(whole)
            if whole != token.text:
                found.append((whole, token.text))
    return tuple(found)


def _skip_comment(sql: str, start: int) -> int:
    """The offset after a comment; comments nest."""
    depth, at = 1, start + 2
    while depth:
        edge = _COMMENT_EDGE.search(sql, at)
        if edge is None:
            raise StatementError(
                f'unterminated /* comment at or near "{sql[start : start + 20]}"',
                sqlstate="42601",
                position=start + 1,
            )
        depth += 1 if edge.group() == "/*" else -1
        at = edge.end()
    return at


def _operator(text: str) -> str:
    """The operator at the start of a run of operator characters: it ends where a comment
    begins, and may end in + or - only if it has a character no SQL operator has (`a=-1`)."""
    for comment in ("--", "/*"):
        if (cut := text.find(comment)) > 0:
            text = text[:cut]
    if len(text) > 1 and not _ENDS_IN_SIGN.intersection(text):
        text = text[0] + text[1:].rstrip("+-")
    return text


def _end(pattern: re.Pattern[str], sql: str, start: int, at: int, what: str) -> int:
    match = pattern.match(sql, at)
    if match is None:
        raise StatementError(
            f'unterminated {what} at or near "{sql[start : start + 40]}"',
            sqlstate="42601",
            position=start + 1,
        )
    return match.end()


def _string(sql: str, found: str, opening: str, start: int, at: int) -> tuple[str, int]:
    if found == "string":
        end = _end(_STRING_END, sql, start, at, "quoted string")
        return sql[at : end - 1].replace("''", "'"), end
    if found == "dollar":
        close = sql.find(opening, at)
        if close < 0:
            raise StatementError(
                f'unterminated dollar-quoted string at or near "{sql[start : start + 40]}"',
                sqlstate="42601",
                position=start + 1,
            )
        return sql[at:close], close + len(opening)
    if opening in ("e'", "E'"):
        end = _end(_ESCAPED_END, sql, start, at, "quoted string")
        return _unescape(sql[at : end - 1], start), end
    raise NotSupported(
        f"the literal {opening}... is not supported",
        position=start + 1,
        hint="Write it as a plain 'string' or as a parameter.",
    )


def _unescape(body: str, start: int) -> str:
    """The value of an E'...' string; \\ooo and \\xhh are bytes, so that UTF-8 can be spelled."""
    out = bytearray()
    for match in _ESCAPE.finditer(body):
        octal, byte, short, long, other = match.groups()
        if octal or byte:
            out.append((int(octal, 8) if octal else int(byte, 16)) & 0xFF)
        elif short or long:
            code = int(short or long, 16)
            if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise StatementError(
                    "invalid Unicode escape value", sqlstate="42601", position=start + 1
                )
            out += chr(code).encode()
        elif other:
            if other in "uU":
                raise StatementError(
                    "invalid Unicode escape",
                    sqlstate="22025",
                    position=start + 1,
                    hint="Unicode escapes must be \\uXXXX or \\UXXXXXXXX.",
                )
            out += _SIMPLE_ESCAPES.get(other, other).encode()
        else:
            out += match.group().replace("''", "'").encode()
    try:
        text = out.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise StatementError(
            'invalid byte sequence for encoding "UTF8" in a string',
            sqlstate="22021",
            position=start + 1,
        ) from None
    return text


def _append_string(tokens: list[Token], token: Token, sql: str) -> None:
    """Strings that only white space with a newline separates are one string; on one line
    they are an error, not two."""
    last = tokens[-1] if tokens else None
    if last is None or last.kind is not Kind.STRING:
        tokens.append(token)
    elif "\n" in sql[last.end : token.start] and sql[token.start] == "'":
        tokens[-1] = Token(
            Kind.STRING, last.text + token.text, last.start, token.end, sql[last.start : token.end]
        )
    else:
        raise syntax_error(sql[token.start : token.end], token.start)


_HINT: Final = re.compile(r"\s*(/\*\+)")


def split(sql: str) -> list[str]:
    """The statements of a simple query, without their semicolons, but with the hints before them;
    empty ones are dropped."""
    statements: list[str] = []
    start: int | None = None
    end = 0  # of the last token
    for token in tokenize(sql):
        if token.is_mark(";"):
            if start is not None:
                statements.append(sql[start:end])
            start = None
        elif start is None:
            hint = _HINT.match(sql, end, token.start)
            start = token.start if hint is None else hint.start(1)
        end = token.end
    if start is not None:
        statements.append(sql[start:end])
    return statements
