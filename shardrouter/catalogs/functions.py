"""What the functions of the catalogs answer, and the names of what is numbered.

Pure: `Answers` is made for one query, of the world it is asked in. NULL for an argument is NULL for
an answer, but where PostgreSQL says otherwise. An OID that is nothing's is NULL, or its digits
where it is shown as a name; a name that is nothing's is an error, but for to_regclass and its like.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from nodes.functions import FunctionError
from nodes.protocol import Value
from nodes.values import NAMED, stored_array
from shardrouter import types
from shardrouter.catalogs import deparse, own_types
from shardrouter.catalogs.builtin import TYPE_ROWS
from shardrouter.catalogs.objects import IndexKey, TableObject
from shardrouter.catalogs.quoting import quoted
from shardrouter.catalogs.texts import (
    constraint_text,
    element_text,
    index_text,
    relation_text,
    view_text,
)
from shardrouter.catalogs.world import World
from shardrouter.errors import StatementError
from shardrouter.lexer import Kind, tokenize
from shardrouter.settings import Settings
from shardrouter.tables import TEMPORARY

__all__ = ["Answers"]

_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB", "PB")
_ENCODINGS: Final = {0: "SQL_ASCII", 6: "UTF8", 8: "LATIN1"}


def _undefined(what: str, name: object, sqlstate: str) -> FunctionError:
    return FunctionError(sqlstate, f'{what} "{name}" does not exist')


def _is_digits(name: Value) -> bool:
    return isinstance(name, str) and name.isascii() and name.isdigit()


def parts_of(name: str) -> list[str]:
    """The parts of a name as it is written in SQL. Raises FunctionError."""
    try:
        tokens = tokenize(name)
    except StatementError:
        tokens = []
    words = tokens[::2]
    is_list = all(token.is_mark(".") for token in tokens[1::2]) and len(tokens) % 2
    if not is_list or not all(token.kind in (Kind.WORD, Kind.NAME) for token in words):
        raise FunctionError("42602", "invalid name syntax")
    return [token.text for token in words]


class Answers:
    """`settings` are the session's; `set_config` changes them here, and says so in `changes`."""

    def __init__(self, world: World, settings: Settings) -> None:
        self._world = world
        self._objects = world.objects
        self.settings = settings
        self.changes: list[tuple[str, str, bool]] = []
        """(name, value, whether for the transaction only), as set_config was told."""
        self._named: Mapping[str, tuple[Callable[[int], str | None], Callable[[str], int]]] = {
            "regclass": (self._relation_name, self._relation),
            "regtype": (self._type_name, self._type),
            "regnamespace": (self._schema_name, self._schema),
            "regrole": (self._role_name, self._role),
            "regproc": (self._function_name, self._function),
            "regcollation": (self._collation_name, self._collation),
        }
        self._calls: Mapping[str, Callable[..., Value]] = {
            "pg_get_expr": self._expression,
            "pg_get_constraintdef": self._constraint,
            "pg_get_indexdef": self._index_text,
            "pg_get_serial_sequence": self._serial_sequence,
            "pg_get_viewdef": self._view,
            "pg_my_temp_schema": self._own_temporary,
            "pg_is_other_temp_schema": self._is_other_temporary,
            "pg_get_userbyid": self._user,
            "pg_table_is_visible": self._is_visible,
            "obj_description": self._comment,
            "col_description": self._column_comment,
            "to_regclass": partial(self._to_number, "regclass"),
            "to_regtype": partial(self._to_number, "regtype"),
            "to_regnamespace": partial(self._to_number, "regnamespace"),
            "to_regrole": partial(self._to_number, "regrole"),
            "to_regproc": partial(self._to_number, "regproc"),
            "current_schema": lambda: next(iter(self._path()), None),
            "current_schemas": self._schemas,
            "current_setting": self._current_setting,
            "pg_size_pretty": self._pretty_size,
            "pg_encoding_to_char": self._encoding,
            "pg_char_to_encoding": self._encoding_number,
            "getdatabaseencoding": lambda: "UTF8",
            "pg_client_encoding": lambda: "UTF8",
            "pg_tablespace_location": lambda _oid: "",
            "pg_backend_pid": lambda: world.backend,
            "pg_blocking_pids": lambda _pid: "[]",
        }

    def call(self, name: str, arguments: tuple[Value, ...]) -> Value:
        """The function `name`, without `pgc_`. Raises FunctionError."""
        if name == "format_type":
            return self._format_type(*arguments)
        if name == "set_config":
            return self._set_config(*arguments)
        if None in arguments:
            return None
        if name.startswith("text_"):
            return self.name_of(name.removeprefix("text_"), arguments[0])
        if name.startswith("texts_"):
            kind = name.removeprefix("texts_")
            return self.names_of(kind, arguments[0])
        if name in NAMED:
            return self._number(name, arguments[0])
        if name.startswith("has_") or name in _YES:
            return True
        if name in _NO:
            return False
        if name in _NOTHING:
            return None
        if name in _ZERO:
            return 0
        return self._calls[name](*arguments)

    # ---- what is numbered

    def name_of(self, kind: str, value: Value) -> str:
        """An OID as its kind shows it."""
        if not isinstance(value, int):
            return str(value)
        if value == 0:
            return "-"
        if kind not in self._named:
            return str(value)
        return self._named[kind][0](value) or str(value)

    def names_of(self, kind: str, value: Value) -> str:
        found = [None if o is None else self.name_of(kind, o) for o in _elements(value)]
        return stored_array(found)

    def _number(self, kind: str, name: Value) -> int:
        """The OID of a name, or of its digits."""
        if isinstance(name, int):
            return name
        assert isinstance(name, str)
        if _is_digits(name):
            return int(name)
        if name == "-":
            return 0
        if kind not in self._named:
            raise FunctionError("0A000", f"{kind} of a name is not supported")
        return self._named[kind][1](name)

    def _relation_name(self, oid: int) -> str | None:
        return relation_text(self._objects, oid)

    def _relation(self, name: str) -> int:
        parts = parts_of(name)
        if len(parts) == 3 and parts[0] == self._world.database:
            parts = parts[1:]
        found = self._objects.find(parts[-1], parts[0] if len(parts) == 2 else "")
        if not found or len(parts) > 2:
            raise _undefined("relation", ".".join(parts), "42P01")
        return found

    def _type_name(self, oid: int) -> str | None:
        return self._format_type(oid, None)

    def _type(self, name: str) -> int:
        text = name.strip()
        is_array = text.endswith("[]")
        base = text.removesuffix("[]").strip()
        if base.startswith("pg_catalog."):
            base = base.removeprefix("pg_catalog.")
        base, _, modifiers = base.partition("(")
        found = _types_by_name().get(base.strip().strip('"') if modifiers else base)
        if found is None:
            found = _types_by_name().get(base.lower().replace('"', ""))
        if found is not None and is_array:
            array = TYPE_ROWS[found]["typarray"]
            found = array if isinstance(array, int) and array else None
        if found is None:
            *schema, last = parts_of(base)
            kind = self._world.catalog.enumeration(last, schema[-1] if schema else "")
            if kind is not None:
                return kind[1].oid + is_array
            table = self._objects.find(base)
            if table in self._objects.tables and not is_array:
                return self._objects.tables[table].type
            raise _undefined("type", name, "42704")
        return found

    def _schema_name(self, oid: int) -> str | None:
        name = self._objects.schema_names.get(oid)
        return None if name is None else quoted(name)

    def _schema(self, name: str) -> int:
        (part, *others) = parts_of(name)
        found = self._objects.schemas.get(part)
        if found is None or others:
            raise _undefined("schema", part, "3F000")
        return found

    def _role_name(self, oid: int) -> str | None:
        return next((quoted(n) for n, o in self._world.role_oids.items() if o == oid), None)

    def _role(self, name: str) -> int:
        (part, *_) = parts_of(name)
        if part not in self._world.role_oids:
            raise _undefined("role", part, "42704")
        return self._world.role_oids[part]

    def _function_name(self, oid: int) -> str | None:
        return {v: k for k, v in _PROCEDURES.items()}.get(oid)

    def _function(self, name: str) -> int:
        part = parts_of(name)[-1]
        if part not in _PROCEDURES:
            raise _undefined("function", part, "42883")
        return _PROCEDURES[part]

    def _collation_name(self, oid: int) -> str | None:
        return {100: '"default"', 950: '"C"', 951: '"POSIX"'}.get(oid)

    def _collation(self, name: str) -> int:
        part = parts_of(name)[-1]
        numbers = {"default": 100, "C": 950, "POSIX": 951}
        if part not in numbers:
            raise _undefined("collation", part, "42704")
        return numbers[part]

    # ---- definitions

    def _format_type(self, oid: Value, modifier: Value) -> str | None:
        if oid is None:
            return None
        assert isinstance(oid, int)
        if oid == 0:
            return "-"
        if oid in TYPE_ROWS:
            try:
                kind = types.by_oid(oid)
            except KeyError:
                row = TYPE_ROWS[oid]
                name = str(row["typname"])
                element = row["typelem"]
                if name.startswith("_") and isinstance(element, int) and element:
                    return f"{self._format_type(element, None)}[]"
                return _LONG_NAMES.get(name, f'"{name}"' if name == "any" else name)
            shown = types.shown(kind, modifier if isinstance(modifier, int) else -1)
            base = kind.element or kind
            if base is types.BPCHAR and modifier == -1:
                # A character of no length that was said is not character(1).
                return shown.replace("character", "bpchar")
            return shown
        own = own_types.named(self._world, oid)
        if own is not None:
            return own
        table = next((t for t in self._objects.tables.values() if t.type == oid), None)
        if table is None:
            return "???"
        return self._relation_name(table.oid)

    def _constraint(self, oid: Value, pretty: Value = None) -> str | None:
        for table in self._objects.tables.values():
            for constraint in table.constraints:
                if constraint.oid == oid:
                    return constraint_text(constraint, self._objects, pretty=bool(pretty))
        return None

    def _index(self, oid: Value) -> tuple[IndexKey, TableObject] | None:
        for table in self._objects.tables.values():
            for index in table.indexes:
                if index.oid == oid:
                    return index, table
        return None

    def _index_text(self, oid: Value, column: Value = 0, pretty: Value = None) -> str | None:
        found = self._index(oid)
        assert isinstance(column, int)
        if found is None:
            return None
        index, table = found
        if column == 0:
            return index_text(index, table, pretty=bool(pretty))
        if not 1 <= column <= len(index.keys):
            return ""
        return element_text(index, table, column - 1, pretty=bool(pretty))

    def _serial_sequence(self, table: Value, column: Value) -> str | None:
        assert isinstance(table, str)
        found = self._objects.tables.get(self._relation(table))
        if found is None:
            return None
        if not found.number(str(column)):
            raise FunctionError(
                "42703",
                f'column "{column!s}" of relation "{found.name}" does not exist',
            )
        for oid, sequence in self._objects.sequences.items():
            if sequence.owner == (found.table.name, column):
                relation = self._objects.relations[oid]
                return f"{quoted(relation.schema)}.{quoted(relation.name)}"
        return None

    def _view(self, relation: Value, _pretty: Value = None) -> str | None:
        oid = self._relation(relation) if isinstance(relation, str) else relation
        table = self._objects.tables.get(oid) if isinstance(oid, int) else None
        return None if table is None or table.table.view is None else view_text(table.table.view)

    def _user(self, oid: Value) -> str:
        found = next((n for n, o in self._world.role_oids.items() if o == oid), None)
        return found or f"unknown (OID={oid!s})"

    def _is_visible(self, oid: Value) -> bool | None:
        assert isinstance(oid, int)
        return self._objects.is_visible(oid) if oid in self._objects.relations else None

    def _expression(self, value: Value, relation: Value, pretty: Value = False) -> Value:
        """Of a default, or a condition, which has parentheses that the pretty form leaves out."""
        table = self._objects.tables.get(relation) if isinstance(relation, int) else None
        if not pretty or table is None or not str(value).startswith("("):
            return value
        return deparse.condition(str(value), table.table, pretty=True) or value

    def _comment(self, oid: Value, catalog: Value = None) -> str | None:
        return self._objects.comments.get((oid, 0)) if isinstance(oid, int) else None

    def _column_comment(self, oid: Value, column: Value) -> str | None:
        assert isinstance(oid, int)
        assert isinstance(column, int)
        return self._objects.comments.get((oid, column))

    def _to_number(self, kind: str, name: Value) -> int | None:
        assert isinstance(name, str)
        if _is_digits(name):
            return None
        try:
            return self._number(kind, name)
        except FunctionError as exc:
            if exc.sqlstate in ("42602", "0A000"):
                raise
            return None

    # ---- of the session

    def _current_setting(self, name: Value, missing_ok: Value = False) -> str | None:
        try:
            return self.settings.get(str(name))
        except StatementError as exc:
            if missing_ok:
                return None
            raise FunctionError(exc.sqlstate, exc.message, hint=exc.hint) from exc

    def _set_config(self, name: Value, value: Value, is_local: Value) -> str | None:
        if name is None:
            raise FunctionError("22004", "SET requires parameter name")
        try:
            changed = self.settings.with_value(str(name), None if value is None else str(value))
        except StatementError as exc:
            raise FunctionError(exc.sqlstate, exc.message, hint=exc.hint) from exc
        self.settings = changed
        self.changes.append((str(name), changed.get(str(name)), bool(is_local)))
        return changed.get(str(name))

    def _own_temporary(self) -> int:
        own = [name for name in self._objects.path if name.startswith(TEMPORARY)]
        return self._objects.schemas[own[0]] if own else 0

    def _is_other_temporary(self, schema: Value) -> int:
        return int(schema in self._objects.temporary_schemas and schema != self._own_temporary())

    def _schemas(self, with_system: Value) -> str:
        own = [name for name in self._objects.path if name.startswith(TEMPORARY)]
        return stored_array(([*own, "pg_catalog"] if with_system else []) + self._path())

    def _path(self) -> list[str]:
        return [name for name in self._objects.path if not name.startswith(TEMPORARY)]

    def _pretty_size(self, size: Value) -> str:
        """pg_size_pretty: in a unit of which there are fewer than 10240, halves rounded up."""
        number = int(size) if isinstance(size, int) else round(float(str(size)))
        sign, number = ("-" if number < 0 else ""), abs(number)
        unit = 0
        if number < 10 * 1024:
            return f"{sign}{number} bytes"
        number //= 512
        unit = 1
        while number >= 2 * 10 * 1024 - 1 and unit < len(_UNITS) - 1:
            number //= 1024
            unit += 1
        return f"{sign}{(number + 1) // 2} {_UNITS[unit]}"

    def _encoding(self, number: Value) -> str:
        assert isinstance(number, int)
        return _ENCODINGS.get(number, "")

    def _encoding_number(self, name: Value) -> int:
        wanted = str(name).lower().replace("-", "").replace("_", "")
        found = {v.lower().replace("_", ""): k for k, v in _ENCODINGS.items()}
        return found.get(wanted, -1)


def _elements(value: Value) -> list[Any]:
    found: list[Any] = json.loads(str(value))
    return found


_PROCEDURES: Final[Mapping[str, int]] = {
    "array_in": 750,
    "array_out": 751,
    "array_recv": 2400,
    "array_send": 2401,
    "enum_in": 3506,
    "domain_in": 2597,
    "record_in": 2290,
    "range_in": 3834,
}
"""PostgreSQL's functions that clients look for among the inputs of types."""

_LONG_NAMES: Final = {
    "timetz": "time with time zone",
    "bit": "bit",
    "varbit": "bit varying",
}

_SPELLED: Final = {
    "int": "int4",
    "integer": "int4",
    "bigint": "int8",
    "smallint": "int2",
    "real": "float4",
    "float": "float8",
    "double precision": "float8",
    "boolean": "bool",
    "decimal": "numeric",
    "character varying": "varchar",
    "character": "bpchar",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "time without time zone": "time",
    "time with time zone": "timetz",
    "bit varying": "varbit",
}


def _types_by_name() -> Mapping[str, int]:
    if not _TYPES_BY_NAME:
        for oid, row in TYPE_ROWS.items():
            _TYPES_BY_NAME[str(row["typname"])] = oid
        for spelled, short in _SPELLED.items():
            _TYPES_BY_NAME[spelled] = _TYPES_BY_NAME[short]
    return _TYPES_BY_NAME


_TYPES_BY_NAME: dict[str, int] = {}

_YES: Final = frozenset(
    """
    pg_type_is_visible pg_function_is_visible pg_operator_is_visible pg_collation_is_visible
    pg_opclass_is_visible pg_opfamily_is_visible pg_conversion_is_visible
    pg_statistics_obj_is_visible
    pg_ts_config_is_visible pg_ts_dict_is_visible pg_ts_parser_is_visible
    pg_ts_template_is_visible pg_has_role pg_column_is_updatable pg_relation_is_publishable
    """.split()  # noqa: SIM905 -- a list of names
)
_NO: Final = frozenset(
    """
    row_security_active pg_is_in_recovery pg_is_wal_replay_paused pg_jit_available
    """.split()  # noqa: SIM905 -- a list of names
)
_NOTHING: Final = frozenset(
    """
    pg_get_triggerdef pg_get_ruledef pg_get_partkeydef pg_get_statisticsobjdef_columns
    pg_get_functiondef pg_get_function_sqlbody shobj_description
    inet_client_addr inet_server_addr inet_client_port inet_server_port
    txid_current_if_assigned pg_partition_ancestors pg_get_function_result
    pg_get_function_arguments pg_get_function_identity_arguments pg_sequence_parameters
    """.split()  # noqa: SIM905 -- a list of names
)
_ZERO: Final = frozenset(
    """
    pg_relation_size pg_total_relation_size pg_table_size pg_indexes_size pg_database_size
    pg_tablespace_size pg_relation_is_updatable pg_relation_filenode
    """.split()  # noqa: SIM905 -- a list of names
)
