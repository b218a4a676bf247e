"""SELECT nextval('s') and its relatives: what a statement asks of a sequence.

They stand alone in a SELECT without FROM, and nextval also among the values of an INSERT: elsewhere
a number would have to be drawn for each row, by the router, which does not know the rows.
"""

from __future__ import annotations

from typing import Final

from shardrouter import syntax, types
from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import fold
from shardrouter.planned import ResultColumn, SequenceCall

__all__ = ["sequence_call", "sequence_named"]

_ARGUMENTS: Final = {"nextval": (1,), "currval": (1,), "lastval": (0,), "setval": (2, 3)}


def sequence_call(node: syntax.Statement) -> SequenceCall | None:
    """The call that is all of a statement; None if it is something else."""
    if not isinstance(node, syntax.Select) or node.sources or len(node.items) != 1:
        return None
    (item,) = node.items
    if not isinstance(item, syntax.SelectItem) or not isinstance(item.expression, syntax.Call):
        return None
    call = item.expression
    if call.name not in _ARGUMENTS or len(call.arguments) not in _ARGUMENTS[call.name]:
        return None
    columns = (ResultColumn(item.alias or call.name, types.BIGINT.oid),)
    if call.name == "lastval":
        return SequenceCall(call.name, "", columns)
    name = sequence_named(call.arguments[0])
    if name is None:
        raise NotSupported(
            f"{call.name} of anything but a constant name is not supported",
            position=call.position,
            hint=f"Write {call.name}('name').",
        )
    if call.name != "setval":
        return SequenceCall(call.name, name, columns)
    value, *rest = call.arguments[1:]
    is_called = True
    if rest:
        if not isinstance(rest[0], syntax.BooleanLiteral):
            raise _constants_only(call)
        is_called = rest[0].value
    return SequenceCall(call.name, name, columns, _integer(value, call), is_called)


def _integer(node: syntax.Expression, call: syntax.Call) -> int:
    if isinstance(node, syntax.Negation):
        return -_integer(node.operand, call)
    if isinstance(node, syntax.NumberLiteral) and node.text.isdigit() and len(node.text) < 20:
        return int(node.text)
    raise _constants_only(call)


def _constants_only(call: syntax.Call) -> NotSupported:
    return NotSupported(
        "setval of anything but constants is not supported",
        position=call.position,
        hint="Compute the number first, and write it out.",
    )


def sequence_named(node: syntax.Expression) -> str | None:
    """The name of a sequence as regclass reads it: 's', '"S"', 'public.s', each also cast."""
    while isinstance(node, syntax.TypeCast):
        node = node.operand
    if not isinstance(node, syntax.StringLiteral):
        return None
    text = node.value.strip().removeprefix("public.")
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        return text[1:-1].replace('""', '"')
    if not text or "." in text or '"' in text:
        raise StatementError(
            f'invalid name syntax: "{node.value}"', sqlstate="42602", position=node.position
        )
    return fold(text)
