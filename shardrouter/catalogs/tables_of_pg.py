"""pg_class and what hangs on it: attributes, defaults, indexes, constraints, types, sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from nodes.values import stored_array
from shardrouter import types
from shardrouter.catalogs import own_types
from shardrouter.catalogs.builtin import BUILTIN_TYPES, RELATIONS, TYPE_ROWS, Row
from shardrouter.catalogs.objects import Constraint, IndexKey, Objects, TableObject
from shardrouter.catalogs.texts import check_text, default_text, index_text, view_text
from shardrouter.catalogs.world import World
from shardrouter.tables import Column

__all__ = ["BUILTIN_ROWS", "ROWS"]

HEAP: Final = 2
BTREE: Final = 403
DEFAULT_COLLATION: Final = 100
C_COLLATION: Final = 950
CLASSES: Final = {
    "pg_class": 1259,
    "pg_type": 1247,
    "pg_constraint": 2606,
    "pg_attrdef": 2604,
    "pg_namespace": 2615,
}
_ACTIONS: Final = {
    "NO ACTION": "a", "RESTRICT": "r", "CASCADE": "c", "SET NULL": "n", "SET DEFAULT": "d",
}  # fmt: skip


def _array(values: Sequence[Any]) -> str:
    return stored_array(list(values))


def collation_of(kind: types.Type) -> int:
    """The OID of its collation: texts have the database's, names have C."""
    kind = kind.element or kind
    if kind is types.NAME:
        return C_COLLATION
    return DEFAULT_COLLATION if kind.category == "S" else 0


def _class(
    world: World, oid: int, name: str, schema: int, kind: str, columns: int, **more: Any
) -> Row:
    return {
        "oid": oid,
        "relname": name,
        "relnamespace": schema,
        "relowner": world.owner,
        "relkind": kind,
        "relpersistence": "t" if schema in world.objects.temporary_schemas else "p",
        "relnatts": columns,
        "relreplident": "d" if kind == "r" else "n",
        "relispopulated": True,
        "reltuples": -1.0 if kind == "r" else 0.0,
        "relam": {"r": HEAP, "i": BTREE}.get(kind, 0),
        "relfilenode": oid if kind in "riS" else 0,
        **more,
    }


def _builtin_classes(world: World) -> Iterator[Row]:
    objects = world.objects
    for relation in RELATIONS.values():
        schema = objects.schemas[relation.schema]
        yield _class(
            world, relation.oid, relation.name, schema, relation.kind, len(relation.columns),
            relhasrules=relation.kind == "v",
        )  # fmt: skip


def pg_class(world: World) -> Iterator[Row]:
    objects = world.objects
    for table in objects.tables.values():
        schema = objects.schemas[table.schema]
        kinds = [constraint.kind for constraint in table.constraints]
        yield _class(
            world,
            table.oid,
            table.name,
            schema,
            table.kind,
            len(table.columns),
            relhasrules=table.kind == "v",
            reltype=table.type,
            relhasindex=bool(table.indexes),
            relchecks=kinds.count("c"),
            relhastriggers="f" in kinds or bool(table.table.referenced_by),
        )
        for index in table.indexes:
            yield _class(world, index.oid, index.name, schema, "i", len(index.keys))
    for oid, sequence in objects.sequences.items():
        yield _class(world, oid, sequence.relname, objects.schemas[sequence.schema], "S", 3)


def _attribute(
    relation: int, number: int, name: str, kind: types.Type, modifier: int
) -> dict[str, Any]:
    row = own_types.storage(kind) if kind.is_own else TYPE_ROWS[kind.oid]
    return {
        "attrelid": relation,
        "attname": name,
        "atttypid": kind.oid,
        "attstattarget": -1,
        "attlen": row["typlen"],
        "attnum": number,
        "attndims": int(kind.element is not None),
        "attcacheoff": -1,
        "atttypmod": modifier,
        "attbyval": row["typbyval"],
        "attalign": row["typalign"],
        "attstorage": row["typstorage"],
        "attcompression": "",
        "attidentity": "",
        "attgenerated": "",
        "attislocal": True,
        "attcollation": row["typcollation"],
    }


_SEQUENCE_COLUMNS: Final = (
    ("last_value", types.BIGINT),
    ("log_cnt", types.BIGINT),
    ("is_called", types.BOOLEAN),
)
_IDENTITY: Final[Mapping[str, str]] = {"": "", "always": "a", "by default": "d"}


_SYSTEM_COLUMNS: Final = (
    ("tableoid", -6, types.OID),
    ("cmax", -5, types.by_short("cid")),
    ("xmax", -4, types.by_short("xid")),
    ("cmin", -3, types.by_short("cid")),
    ("xmin", -2, types.by_short("xid")),
    ("ctid", -1, types.by_short("tid")),
)


def _system_columns(relation: int) -> Iterator[Row]:
    """The columns that every relation with rows of its own has in PostgreSQL."""
    for name, number, kind in _SYSTEM_COLUMNS:
        yield {**_attribute(relation, number, name, kind, -1), "attnotnull": True}


def _builtin_attributes(_: World) -> Iterator[Row]:
    for relation in RELATIONS.values():
        if relation.kind == "r":
            yield from _system_columns(relation.oid)
        for number, column in enumerate(relation.columns, 1):
            kind = types.of_column(column.type)
            yield _attribute(relation.oid, number, column.name, kind, column.modifier)


def pg_attribute(world: World) -> Iterator[Row]:
    objects = world.objects
    for table in objects.tables.values():
        if table.kind == "r":
            yield from _system_columns(table.oid)
        for number, column in enumerate(table.columns, 1):
            row = _attribute(
                table.oid, number, column.name, types.of_column(column.type), column.modifier
            )
            row["attnotnull"] = column.not_null
            row["atthasdef"] = has_default(column)
            row["attidentity"] = _IDENTITY[column.identity]
            row["attgenerated"] = "s" if column.is_generated else ""
            yield row
        for index in table.indexes:
            for number, (key, element) in enumerate(
                zip(index.keys, index.elements, strict=True), 1
            ):
                found = table.columns[key - 1] if key else None
                kind = types.TEXT if found is None else types.of_column(found.type)
                name = element_name(element) if found is None else found.name
                modifier = -1 if found is None else found.modifier
                yield _attribute(index.oid, number, name, kind, modifier)
    for oid in objects.sequences:
        yield from _system_columns(oid)
        for number, (name, kind) in enumerate(_SEQUENCE_COLUMNS, 1):
            row = _attribute(oid, number, name, kind, -1)
            row["attnotnull"] = True
            yield row


def element_name(element: str) -> str:
    """What PostgreSQL calls a column of an index that is an expression."""
    word = element.partition("(")[0].strip()
    return word.lower() if word.isidentifier() else "expr"


def has_default(column: Column) -> bool:
    return column.default is not None and not column.identity


def _default_oid(table: TableObject, number: int) -> int:
    return (1 << 31) - 1 - (table.oid * 1600 + number) % (1 << 29)


def pg_attrdef(world: World) -> Iterator[Row]:
    for table in world.objects.tables.values():
        for number, column in enumerate(table.columns, 1):
            if has_default(column):
                yield {
                    "oid": _default_oid(table, number),
                    "adrelid": table.oid,
                    "adnum": number,
                    "adbin": default_text(column, table.table),
                }


def _index_row(index: IndexKey, table: TableObject) -> Row:
    expressions = [e for k, e in zip(index.keys, index.elements, strict=True) if not k]
    collations = [
        collation_of(types.of_column(table.columns[key - 1].type)) if key else DEFAULT_COLLATION
        for key in index.keys
    ]
    return {
        "indexrelid": index.oid,
        "indrelid": index.table,
        "indnatts": len(index.keys),
        "indnkeyatts": len(index.keys),
        "indisunique": index.unique,
        "indisprimary": index.primary,
        "indimmediate": True,
        "indisvalid": True,
        "indisready": True,
        "indislive": True,
        "indkey": _array(index.keys),
        "indcollation": _array(collations),
        "indclass": _array([0] * len(index.keys)),
        "indoption": _array(index.options),
        "indexprs": ", ".join(expressions) or None,
        "indpred": check_text(index.where, table.table) if index.where else None,
    }


def pg_index(world: World) -> Iterator[Row]:
    for table in world.objects.tables.values():
        for index in table.indexes:
            yield _index_row(index, table)


def _constraint_row(constraint: Constraint, table: TableObject, objects: Objects) -> dict[str, Any]:
    row: dict[str, Any] = {
        "oid": constraint.oid,
        "conname": constraint.name,
        "connamespace": objects.schemas[table.schema],
        "contype": constraint.kind,
        "convalidated": True,
        "conrelid": constraint.table,
        "conindid": constraint.index,
        "confrelid": constraint.referred,
        "confupdtype": " ",
        "confdeltype": " ",
        "confmatchtype": " ",
        "conislocal": True,
        "connoinherit": constraint.kind != "c",
        "conkey": _array(constraint.keys),
    }
    if constraint.kind == "f":
        row["conindid"] = objects.referred_index(constraint)
        row["confkey"] = _array(constraint.referred_keys)
        row["confupdtype"] = _ACTIONS[constraint.on_update]
        row["confdeltype"] = _ACTIONS[constraint.on_delete]
        row["confmatchtype"] = "s"
        row["condeferrable"] = bool(constraint.deferral)
        row["condeferred"] = constraint.deferral == "deferred"
    elif constraint.kind == "c":
        row["conbin"] = check_text(constraint.source, table.table)
    return row


def pg_constraint(world: World) -> Iterator[Row]:
    objects = world.objects
    for table in objects.tables.values():
        for constraint in table.constraints:
            yield _constraint_row(constraint, table, objects)


def _array_type(table: TableObject) -> Row:
    """The array of a table's rows."""
    return {
        "oid": table.array_type,
        "typname": f"_{table.name}"[:63],
        "typlen": -1,
        "typtype": "b",
        "typcategory": "A",
        "typisdefined": True,
        "typdelim": ",",
        "typelem": table.type,
        "typinput": 750,
        "typoutput": 751,
        "typreceive": 2400,
        "typsend": 2401,
        "typsubscript": 6179,
        "typalign": "d",
        "typstorage": "x",
        "typtypmod": -1,
    }


def pg_type(world: World) -> Iterator[Row]:
    yield from own_types.pg_type(world)
    objects = world.objects
    for table in objects.tables.values():
        yield {
            **_array_type(table),
            "typnamespace": objects.schemas[table.schema],
            "typowner": world.owner,
        }
        yield {
            "oid": table.type,
            "typarray": table.array_type,
            "typname": table.name,
            "typnamespace": objects.schemas[table.schema],
            "typowner": world.owner,
            "typlen": -1,
            "typtype": "c",
            "typcategory": "C",
            "typisdefined": True,
            "typdelim": ",",
            "typrelid": table.oid,
            "typalign": "d",
            "typstorage": "x",
            "typtypmod": -1,
        }


def pg_sequence(world: World) -> Iterator[Row]:
    for oid, sequence in world.objects.sequences.items():
        yield {
            "seqrelid": oid,
            "seqtypid": types.of_column(sequence.type).oid,
            "seqstart": sequence.start,
            "seqincrement": sequence.increment,
            "seqmax": sequence.maximum,
            "seqmin": sequence.minimum,
            "seqcache": 1,
            "seqcycle": sequence.cycle,
        }


def pg_depend(world: World) -> Iterator[Row]:
    """What sequences go with: a column's own (`i` of identity, `a` of serial)."""
    objects = world.objects
    for oid, sequence in objects.sequences.items():
        if sequence.owner is None:
            continue
        table_name, column_name = sequence.owner
        table = next((t for t in objects.tables.values() if t.table.name == table_name), None)
        column = None if table is None else table.table.column(column_name)
        if table is None or column is None:
            continue
        yield {
            "classid": CLASSES["pg_class"],
            "objid": oid,
            "refclassid": CLASSES["pg_class"],
            "refobjid": table.oid,
            "refobjsubid": table.number(column_name),
            "deptype": "i" if column.identity else "a",
        }


def pg_tables(world: World) -> Iterator[Row]:
    owner = world.user
    for relation in RELATIONS.values():
        if relation.kind == "r":
            yield {"schemaname": relation.schema, "tablename": relation.name, "tableowner": owner}
    for table in world.objects.tables.values():
        if table.kind != "r":
            continue
        kinds = [constraint.kind for constraint in table.constraints]
        yield {
            "schemaname": table.schema,
            "tablename": table.name,
            "tableowner": owner,
            "hasindexes": bool(table.indexes),
            "hastriggers": "f" in kinds or bool(table.table.referenced_by),
        }


def pg_indexes(world: World) -> Iterator[Row]:
    for table in world.objects.tables.values():
        for index in table.indexes:
            yield {
                "schemaname": table.schema,
                "tablename": table.name,
                "indexname": index.name,
                "indexdef": index_text(index, table),
            }


def pg_sequences(world: World) -> Iterator[Row]:
    for sequence in world.objects.sequences.values():
        yield {
            "schemaname": sequence.schema,
            "sequencename": sequence.relname,
            "sequenceowner": world.user,
            "data_type": types.of_column(sequence.type).oid,
            "start_value": sequence.start,
            "min_value": sequence.minimum,
            "max_value": sequence.maximum,
            "increment_by": sequence.increment,
            "cycle": sequence.cycle,
            "cache_size": 1,
        }


def pg_views(world: World) -> Iterator[Row]:
    for table in world.objects.tables.values():
        if table.table.view is not None:
            yield {
                "schemaname": table.schema,
                "viewname": table.name,
                "viewowner": world.user,
                "definition": view_text(table.table.view),
            }


def pg_description(world: World) -> Iterator[Row]:
    objects = world.objects
    for (oid, column), text in objects.comments.items():
        if oid in objects.relations:
            catalog = "pg_class"
        else:
            catalog = "pg_namespace" if oid in objects.schema_names else "pg_constraint"
        yield {
            "objoid": oid,
            "classoid": CLASSES[catalog],
            "objsubid": column,
            "description": text,
        }


def pg_stat_tables(world: World) -> Iterator[Row]:
    for table in world.objects.tables.values():
        if table.kind == "r":
            yield {"relid": table.oid, "schemaname": table.schema, "relname": table.name}


def pg_namespace(world: World) -> Iterator[Row]:
    for name, oid in world.objects.schemas.items():
        yield {"oid": oid, "nspname": name, "nspowner": world.owner}


BUILTIN_ROWS: Final[Mapping[str, Callable[[World], Iterable[Row]]]] = {
    "pg_class": _builtin_classes,
    "pg_attribute": _builtin_attributes,
    "pg_type": lambda _: BUILTIN_TYPES,
}
"""What is the same in every world: PostgreSQL's own relations, their columns, its types."""

ROWS: Final = {
    "pg_class": pg_class,
    "pg_attribute": pg_attribute,
    "pg_attrdef": pg_attrdef,
    "pg_index": pg_index,
    "pg_constraint": pg_constraint,
    "pg_enum": own_types.pg_enum,
    "pg_type": pg_type,
    "pg_sequence": pg_sequence,
    "pg_depend": pg_depend,
    "pg_namespace": pg_namespace,
    "pg_tables": pg_tables,
    "pg_views": pg_views,
    "pg_description": pg_description,
    "pg_indexes": pg_indexes,
    "pg_sequences": pg_sequences,
    "pg_stat_user_tables": pg_stat_tables,
    "pg_stat_all_tables": pg_stat_tables,
}
