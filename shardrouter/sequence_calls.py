"""SELECT nextval('s') and its relatives: what a statement asks of a sequence.

They stand alone in a SELECT without FROM, and nextval also among the values of an INSERT: elsewhere
a number would have to be drawn for each row, by the router, which does not know the rows. There are
also unique_id() and uuidv7(), which the router makes up (`shardrouter.made_keys`), and which may
stand elsewhere too.
"""

from __future__ import annotations

import re
from typing import Final

from shardrouter import syntax
from shardrouter.catalog import Catalog
from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import fold
from shardrouter.made_keys import made_by, type_of_drawn
from shardrouter.namespaces import missing_schema
from shardrouter.planned import ResultColumn, SequenceCall
from shardrouter.relations import UnknownTable

__all__ = ["sequence_call", "sequence_named", "stored_sequence"]

_PART: Final = re.compile(r'"(?:[^"]|"")+"|[^".\s]+')
_NAME: Final = re.compile(rf"(?:{_PART.pattern})(?:\s*\.\s*(?:{_PART.pattern}))*")
_ARGUMENTS: Final = {
    "nextval": (1,),
    "currval": (1,),
    "lastval": (0,),
    "setval": (2, 3),
    "unique_id": (0,),
    "uuidv7": (0,),
}


def sequence_call(node: syntax.Statement, catalog: Catalog) -> SequenceCall | None:
    """The call that is all of a statement; None if it is something else."""
    if not isinstance(node, syntax.Select) or node.sources or len(node.items) != 1:
        return None
    (item,) = node.items
    if not isinstance(item, syntax.SelectItem) or not isinstance(item.expression, syntax.Call):
        return None
    call = item.expression
    if call.name not in _ARGUMENTS or len(call.arguments) not in _ARGUMENTS[call.name]:
        return None
    drawn = made_by(call.name)
    columns = (ResultColumn(item.alias or call.name, type_of_drawn(drawn).oid),)
    if drawn:
        return SequenceCall(call.name, drawn, columns)
    if call.name == "lastval":
        return SequenceCall(call.name, "", columns)
    name = sequence_named(call.arguments[0])
    if name is None:
        raise NotSupported(
            f"{call.name} of anything but a constant name is not supported",
            position=call.position,
            hint=f"Write {call.name}('name').",
        )
    stored = stored_sequence(name, catalog)
    if call.name != "setval":
        return SequenceCall(call.name, stored, columns)
    value, *rest = call.arguments[1:]
    is_called = True
    if rest:
        if not isinstance(rest[0], syntax.BooleanLiteral):
            raise _constants_only(call)
        is_called = rest[0].value
    return SequenceCall(call.name, stored, columns, _integer(value, call), is_called)


def stored_sequence(name: syntax.Name, catalog: Catalog) -> str:
    """The sequence, by what it is known by."""
    if name.schema and not catalog.has_schema(name.schema):
        raise missing_schema(name.schema)
    sequence = catalog.sequence(name.text, name.schema)
    if sequence is None:
        raise UnknownTable(name.text, schema=name.schema)
    return sequence.name


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


def sequence_named(node: syntax.Expression) -> syntax.Name | None:
    """The name of a sequence as regclass reads it: 's', '"S"', 'public.s', each also cast."""
    while isinstance(node, syntax.TypeCast):
        node = node.operand
    if not isinstance(node, syntax.StringLiteral):
        return None
    parts = _PART.findall(node.value.strip())
    if not 1 <= len(parts) <= 2 or _NAME.fullmatch(node.value.strip()) is None:
        raise StatementError(
            f'invalid name syntax: "{node.value}"', sqlstate="42602", position=node.position
        )
    *schema, name = [
        part[1:-1].replace('""', '"') if part.startswith('"') else fold(part) for part in parts
    ]
    return syntax.Name(name, node.position, schema[0] if schema else "")
