"""The two log formats that Porcupine's tests are written in.

The etcd log, one register; a failed compare-and-set is an answer (the value was another one):

    INFO  jepsen.util - 2	:invoke	:cas	[3 0]
    INFO  jepsen.util - 2	:fail	:cas	[3 0]

and the key-value text, one map to a line, with get, put and append of strings:

    {:process 4, :type :ok, :f :get, :key "1", :value "x 4 0 y"}

In both, `:info` and a missing end mean that it may have happened, or may yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from jepsen_like.history.columns import History
from jepsen_like.history.events import Flaw, Pairing
from jepsen_like.history.operation import HistoryError

__all__ = ["ETCD_LINE", "KV_LINE", "parse_etcd", "parse_kv"]

ETCD_LINE: Final = re.compile(
    r"INFO\s+jepsen\.util\s+-\s+(\d{1,18})\s+:(invoke|ok|fail|info)\s+:(read|write|cas)\s+(.*\S)\s*"
)
KV_LINE: Final = re.compile(
    r"\{:process (\d{1,18}), :type :(invoke|ok|fail|info), :f :(get|put|append), "
    r':key "((?:[^"\\]|\\.)*)", :value (?:nil|"((?:[^"\\]|\\.)*)")\}\s*'
)
_OTHER_LOG_LINE: Final = re.compile(
    r"(?:INFO|WARN|ERROR|DEBUG|TRACE)\s+(?!jepsen\.util\s)[\w.$-]+\s+-\s"
    r"|INFO\s+jepsen\.util\s+-\s+:nemesis\s"
)
_VALUE: Final = {
    "read": re.compile(r"nil|(-?\d+)"),
    "write": re.compile(r"(-?\d+)"),
    "cas": re.compile(r"\[(-?\d+)\s+(-?\d+)\]"),
}
_KEY: Final = "x"
DIGITS_MAX: Final = 4_000  # of a value; Python itself refuses somewhat larger ones
SHOWN_CHARACTERS: Final = 60


def parse_etcd(lines: Iterable[str]) -> tuple[History, list[Flaw]]:
    """Raises HistoryError, whose sentence begins with the line."""
    pairing = Pairing()
    for number, line in enumerate(lines, 1):
        match = ETCD_LINE.fullmatch(line)
        if match is None:
            if line.strip() and not _OTHER_LOG_LINE.match(line):
                raise _not_of_the_log(number, line, "an etcd log of Jepsen")
            continue
        process, kind, f, rest = int(match[1]), match[2], match[3], match[4]
        timed_out = rest == ":timed-out"
        value = None if timed_out and kind in ("info", "fail") else _value(number, line, f, rest)
        if kind == "invoke":
            pairing.invoke(number, process, f, _KEY, None if f == "read" else value)
        elif kind == "info":
            pairing.end(number, process, f, "info", error=rest.lstrip(":"))
        elif f == "cas":
            if timed_out:
                pairing.end(number, process, f, "fail", error="timed-out")
            else:
                pairing.end(number, process, f, "ok", kind == "ok")
        elif kind == "fail":
            pairing.end(number, process, f, "fail", error=rest.lstrip(":"))
        else:
            pairing.end(number, process, f, "ok", value if f == "read" else None)
    return pairing.finish(), pairing.flaws


def _value(number: int, line: str, f: str, text: str) -> Any:
    match = _VALUE[f].fullmatch(text)
    if match is None:
        raise _not_of_the_log(number, line, "an etcd log of Jepsen")
    if len(text) > DIGITS_MAX:
        raise HistoryError(f"{number}: an integer of {len(text)} digits is too large")
    numbers = tuple([int(group) for group in match.groups() if group is not None])
    return numbers if f == "cas" else numbers[0] if numbers else None


def parse_kv(lines: Iterable[str]) -> tuple[History, list[Flaw]]:
    """Raises HistoryError, whose sentence begins with the line."""
    pairing = Pairing()
    for number, line in enumerate(lines, 1):
        match = KV_LINE.fullmatch(line)
        if match is None:
            if line.strip():
                raise _not_of_the_log(number, line, "a key-value log")
            continue
        process, kind, f, key, value = int(match[1]), match[2], match[3], match[4], match[5]
        if value is not None and "\\" in value:
            value = value.replace('\\"', '"').replace("\\\\", "\\")
        if kind == "invoke":
            pairing.invoke(number, process, f, key, None if f == "get" else value)
        elif kind == "ok":
            pairing.end(number, process, f, "ok", value if f == "get" else None)
        else:
            pairing.end(number, process, f, "fail" if kind == "fail" else "info")
    return pairing.finish(), pairing.flaws


def _not_of_the_log(number: int, line: str, what: str) -> HistoryError:
    shown = line.strip()[:SHOWN_CHARACTERS]
    cut = "" if line.endswith("\n") else "; the file ends in the middle of it"
    return HistoryError(f"{number}: no line of {what}: {shown!r}{cut}")
