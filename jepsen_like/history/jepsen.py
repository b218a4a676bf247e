"""Histories of Jepsen, as EDN: maps with :process, :type, :f, :value and perhaps :time, :error.

What Jepsen means by them, and we must not guess otherwise:
- :fail means that it did not happen. A compare-and-set that did not match is logged so too; it
  says nothing then (`failed_cas` of `read` makes it an answer, for logs that mean one).
- A read that came back as nil has a value that was not recorded: Knossos' models accept it at
  any state. It is kept as `fail`, which no checker looks at. `:absent true`, which we write,
  says that nil is what was read.
- Processes that are keywords (:nemesis) are no clients; what they broke is `faults`.
- With `independent`, values are [key value], as jepsen.independent wraps them; else an event may
  carry :key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, cast

from jepsen_like.history.columns import History, faults_of
from jepsen_like.history.edn import Keyword, forms, text_of
from jepsen_like.history.events import Flaw, Pairing
from jepsen_like.history.nemesis import Nemesis, events_of
from jepsen_like.history.operation import HistoryError, Operation, Outcome, hashable

__all__ = ["NO_MATCH", "parse_edn", "write_edn"]

NO_MATCH: Final = "did-not-match"
"""The :error of a compare-and-set that answered: the value was another one."""

_OF_NEMESIS: Final = 2  # of events at one moment these come last
NOT_RECORDED: Final = "its value was not recorded"
ANSWERS: Final = frozenset({"read", "get", "txn", "dequeue", "generate", "drain", "pop"})
"""What is asked for a value: the :value of the completion is the answer."""


def parse_edn(text: str, *, independent: bool = False) -> tuple[History, list[Flaw]]:
    """Raises HistoryError, whose sentence begins with the line, for text that is no history."""
    pairing = Pairing()
    nemeses: dict[str, Nemesis] = {}
    for line, event in forms(text, inside=True):
        if not isinstance(event, dict):
            raise HistoryError(f"{line}: an event is a map, not {str(event)[:40]!r}")
        process, kind, f = event.get("process"), event.get("type"), event.get("f")
        if isinstance(process, str) and isinstance(f, str):
            _broken(nemeses.setdefault(process, Nemesis()), pairing, line, event)
            continue
        if type(process) is not int or not isinstance(f, str):
            raise HistoryError(f"{line}: an event needs :process and :f")
        key, value = _key_and_value(line, event, independent=independent)
        at = _time(line, event)
        f = str(f)
        if kind == "invoke":
            node = str(event.get("node") or "")
            asked = None if f in ANSWERS and f != "txn" else value
            pairing.invoke(line, process, f, key, asked, at_ns=at, node=node)
        elif kind in ("ok", "fail", "info"):
            opened = pairing.opened(process)
            outcome, output, error = _answer(kind, f, value, opened, event)
            pairing.end(line, process, f, outcome, output, at_ns=at, error=error)
        else:
            raise HistoryError(f"{line}: :type is :invoke, :ok, :fail or :info, not {kind!r}")
    history = pairing.finish()
    history.faults = [fault for nemesis in nemeses.values() for fault in nemesis.faults()]
    return history, pairing.flaws


def _time(line: int, event: dict[Any, Any]) -> int | None:
    at = event.get("time")
    if at is not None and type(at) is not int:
        raise HistoryError(f"{line}: :time is a whole number of nanoseconds, not {at!r}")
    return at


def _broken(nemesis: Nemesis, pairing: Pairing, line: int, event: dict[Any, Any]) -> None:
    value, verified = event.get("value"), event.get("verified")
    about = "" if value is None else value if isinstance(value, str) else text_of(hashable(value))
    at = pairing.moment(line, _time(line, event))
    verified = verified if isinstance(verified, bool) else None
    nemesis.event(line, str(event["f"]), str(about), at, verified=verified)


def _key_and_value(line: int, event: dict[Any, Any], *, independent: bool) -> tuple[int | str, Any]:
    value = event.get("value")
    key = event.get("key", "")
    if independent:
        if not isinstance(value, tuple) or len(value) != 2:
            raise HistoryError(f"{line}: the value is no [key value]: {str(value)[:40]}")
        key, value = value
    if type(key) is not int and not isinstance(key, str):
        key = text_of(hashable(key))
    return key, _plain(value)


def _plain(value: Any) -> Any:
    """Keywords as plain strings, sets as sorted tuples: values that JSON holds as well."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (tuple, frozenset)):
        return hashable(tuple([_plain(v) for v in value]) if isinstance(value, tuple) else value)
    if isinstance(value, dict):
        return {_plain(k): _plain(v) for k, v in value.items()}
    return value


def _answer(
    kind: str, f: str, value: Any, opened: tuple[str, Any] | None, event: dict[Any, Any]
) -> tuple[Outcome, Any, str]:
    error = event.get("error")
    reason = "" if error is None else error if isinstance(error, str) else text_of(error)
    if kind != "ok":
        if f == "cas" and kind == "fail" and reason == NO_MATCH:
            return "ok", False, ""
        return cast("Outcome", str(kind)), None, str(reason)
    if f == "cas":
        return "ok", True, ""
    if f in ANSWERS:
        if value is None and f in ("read", "get") and event.get("absent") is not True:
            return "fail", None, NOT_RECORDED
        return "ok", value, ""
    return "ok", None if opened is None or value == opened[1] else value, ""


def write_edn(path: Path, operations: Iterable[Operation]) -> None:
    """Write the events in the order of their times, a map to a line; faults as a nemesis would.

    Raises HistoryError for a value that EDN cannot hold.
    """
    history = list(operations)
    broken = [event for fault in faults_of(operations) for event in events_of(fault)]
    moments = [(o.sent_ns, 0, i) for i, o in enumerate(history)]
    moments += [(o.returned_ns, 1, i) for i, o in enumerate(history)]
    moments += [(at, _OF_NEMESIS, i) for i, (at, _) in enumerate(broken)]
    moments.sort()
    with path.open("w", encoding="utf-8") as file:
        for at, completes, i in moments:
            if completes == _OF_NEMESIS:
                file.write(text_of(dict(broken[i][1])) + "\n")
                continue
            try:
                file.write(text_of(dict(_event(history[i], at, bool(completes)))) + "\n")
            except TypeError as exc:
                raise HistoryError(f"{path}: cannot write {history[i]}: {exc}") from exc


def _event(operation: Operation, at: int, completes: bool) -> Iterator[tuple[Keyword, Any]]:
    kind, value, error = "invoke", operation.value, operation.error
    if completes:
        kind = operation.outcome
        if operation.f == "cas" and kind == "ok" and operation.output is False:
            kind, error = "fail", NO_MATCH
        elif kind == "ok" and operation.f != "cas" and operation.output is not None:
            value = operation.output
    yield Keyword("process"), operation.process
    yield Keyword("type"), Keyword(kind)
    yield Keyword("f"), Keyword(operation.f)
    if operation.key != "":
        yield Keyword("key"), operation.key
    yield Keyword("value"), _keywords(value) if operation.f == "txn" else value
    yield Keyword("time"), at
    if operation.node:
        yield Keyword("node"), operation.node
    if completes and kind != "ok" and error:
        yield Keyword("error"), Keyword(error) if error == NO_MATCH else error
    if completes and kind == "ok" and value is None and operation.f in ("read", "get"):
        yield Keyword("absent"), True


def _keywords(transaction: Any) -> Any:
    """[[:append 3 1] [:r 3 nil]]: what is done in a transaction is named by keywords."""
    if not isinstance(transaction, tuple):
        return transaction
    return tuple(
        [
            (Keyword(step[0]), *step[1:])
            if isinstance(step, tuple) and step and isinstance(step[0], str)
            else step
            for step in transaction
        ]
    )
