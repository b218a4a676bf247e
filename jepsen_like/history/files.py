"""Any history file: which format it is, and its operations.

The format is told by the first line that says something, never by the file's name: a renamed
file is the same history.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from jepsen_like.history.columns import History
from jepsen_like.history.events import Flaw
from jepsen_like.history.jepsen import parse_edn
from jepsen_like.history.jsonl import parse_jsonl
from jepsen_like.history.operation import HistoryError
from jepsen_like.history.porcupine import ETCD_LINE, KV_LINE, parse_etcd, parse_kv

__all__ = ["Format", "FORMATS", "Loaded", "load", "parse", "read"]

Format: TypeAlias = Literal["jsonl", "edn", "etcd", "kv"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
LINES_LOOKED_AT: Final = 1_000


@dataclass(frozen=True)
class Loaded:
    name: str
    format: Format
    history: History
    flaws: tuple[Flaw, ...]  # of the file; those of the operations are `lint`'s


def read(path: str | Path, format: Format | None = None, *, independent: bool = False) -> History:
    """The operations of a history file.

    Raises HistoryError, a sentence with file and line, for a file that is no sound history, and
    OSError for one that cannot be opened. `independent`: see `history.jepsen`.
    """
    loaded = load(path, format, independent=independent)
    for flaw in loaded.flaws:
        if flaw.fatal:
            raise HistoryError(f"{loaded.name}:{flaw.line}: {flaw.text}")
    return loaded.history


def load(path: str | Path, format: Format | None = None, *, independent: bool = False) -> Loaded:
    """Like `read`, with the flaws of the log as a list instead of an exception."""
    name = str(path)
    try:
        # not universal newlines in the middle: a lone \r is part of a value
        text = Path(path).read_bytes().decode("utf-8-sig")  # some editors put a mark in front
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        raise HistoryError(f"{name}:{line}: not UTF-8 text") from exc
    format = format or _format_of(name, text)
    try:
        history, flaws = parse(name, text, format, independent=independent)
    except HistoryError as exc:
        sentence = str(exc)
        raise HistoryError(sentence if sentence.startswith(name) else f"{name}:{sentence}") from exc
    return Loaded(name, format, history, tuple(flaws))


def parse(name: str, text: str, format: Format, *, independent: bool) -> tuple[History, list[Flaw]]:
    """Raises HistoryError, whose sentence begins with the line, or with name and line."""
    if format == "jsonl":
        return parse_jsonl(name, StringIO(text)), []  # its lines end with \n alone
    if format == "edn":
        return parse_edn(text, independent=independent)
    lines = text.splitlines(keepends=True)
    return parse_etcd(lines) if format == "etcd" else parse_kv(lines)


def _format_of(name: str, text: str) -> Format:
    position = 0
    for number in range(1, LINES_LOOKED_AT):
        end = text.find("\n", position)
        line = text[position : end if end >= 0 else len(text)].strip()
        if line.startswith('{"'):
            return "jsonl"
        if ETCD_LINE.fullmatch(line):
            return "etcd"
        if KV_LINE.fullmatch(line):
            return "kv"
        if line and line[0] in "[({#;":
            return "edn"
        if line and not line.startswith(("INFO", "WARN", "ERROR", "DEBUG", "TRACE")):
            raise HistoryError(
                f"{name}:{number}: no history of a known format ({', '.join(FORMATS)}): "
                f"{line[:60]!r}"
            )
        if end < 0:
            break
        position = end + 1
    raise HistoryError(f"{name}:1: an empty file is no history; an empty one has a header")
