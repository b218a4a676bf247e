"""What a statement would change in a catalog: every rule of the schema that needs the others of its
tables. Pure; `shardrouter.schema_change` says how a change is carried out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from shardrouter import types
from shardrouter.catalog import Catalog
from shardrouter.ddl import (
    add_constraint,
    check_relation_name,
    create_index,
    create_table,
)
from shardrouter.definitions import (
    AddConstraint,
    CreateIndex,
    CreateSequence,
    CreateTable,
    Definition,
    DropIndex,
    DropSequence,
    DropTable,
    Truncate,
)
from shardrouter.errors import NotSupported, StatementError
from shardrouter.execution import Notice
from shardrouter.serial import make_sequence
from shardrouter.sqlite_schema import creation, rebuilding, removal
from shardrouter.syntax import Name
from shardrouter.tables import Change, Placement, SqlSequence, Table, TableChange
from shardrouter.typed import quote

__all__ = ["Begun", "begin"]


@dataclass(frozen=True)
class Begun:
    """`change` is None if there is nothing to do."""

    change: Change | None
    notices: tuple[Notice, ...] = ()


def begin(catalog: Catalog, node: Definition, default: Placement = "sharded") -> Begun:
    """What `node` changes in a catalog in which nothing pends. `default` is the placement of a
    table that says nothing. Raises StatementError and NotSupported."""
    match node:
        case CreateTable():
            return _create_table(catalog, node, default)
        case AddConstraint():
            return _add_constraint(catalog, node)
        case DropTable():
            return _drop_tables(catalog, node)
        case CreateIndex():
            return _create_index(catalog, node)
        case DropIndex():
            return _drop_indexes(catalog, node)
        case Truncate():
            return _truncate(catalog, node)
        case CreateSequence():
            return _create_sequence(catalog, node)
        case DropSequence():
            return _drop_sequences(catalog, node)
        case _:
            raise AssertionError(node)


# --------------------------------------------------------------------------- the names there are


def _relations(catalog: Catalog) -> set[str]:
    """Tables, indexes, those of constraints among them, and sequences: one name space."""
    names = {*catalog.tables, *catalog.sequences}
    for table in catalog.tables.values():
        names.update(key.name for key in table.keys)
        names.update(index.name for index in table.indexes)
        names.add(table.primary)
    return names


def _is_new(catalog: Catalog, name: Name, *, if_not_exists: bool) -> bool:
    """Whether a relation may have this name; False if there is one and that is no error."""
    taken = _relations(catalog)
    if name.text in taken:
        if if_not_exists:
            return False
        raise StatementError(f'relation "{name.text}" already exists', sqlstate="42P07")
    for other in taken:
        if other.lower() == name.text.lower():
            raise NotSupported(
                f'relations "{other}" and "{name.text}" differ only by case',
                position=name.position,
                hint="Give them names that differ in letters.",
            )
    return True


def _skipped(name: Name) -> Begun:
    said = f'relation "{name.text}" already exists, skipping'
    return Begun(None, (Notice(said, sqlstate="42P07"),))


def _table(catalog: Catalog, name: Name) -> Table:
    table = catalog.tables.get(name.text)
    if table is None:
        raise StatementError(
            f'relation "{name.text}" does not exist', sqlstate="42P01", position=name.position
        )
    return table


def _moved(
    catalog: Catalog,
    before: Table | None,
    after: Table | None,
    sqlite: Sequence[str],
    undo: Sequence[str] = (),
) -> TableChange:
    table = after or before
    assert table is not None
    return TableChange(
        table.name,
        catalog.dropped.get(table.name, 0) if before is None else before.version,
        catalog.elsewhere.get(table.name, 0),
        tuple(sqlite),
        tuple(undo),
        before,
        after,
    )


def _change(
    catalog: Catalog,
    tables: Iterable[TableChange],
    made: Iterable[SqlSequence] = (),
    dropped: Iterable[str] = (),
) -> Change:
    version = catalog.version + 1
    return Change(
        version,
        tuple(tables),
        tuple(replace(sequence, version=version) for sequence in made),
        tuple(dropped),
    )


# --------------------------------------------------------------------------- tables


def _create_table(catalog: Catalog, node: CreateTable, default: Placement) -> Begun:
    if not _is_new(catalog, node.table, if_not_exists=node.if_not_exists):
        return _skipped(node.table)
    made = create_table(node, catalog.tables, _relations(catalog), default)
    table = made.table
    for column in table.columns:
        drawn = column.default.sequence if column.default is not None else ""
        if drawn and drawn not in {*catalog.sequences, *(s.name for s in made.sequences)}:
            raise StatementError(f'relation "{drawn}" does not exist', sqlstate="42P01")
    moves = [_moved(catalog, None, table, creation(table), removal(table))]
    moves += _referring(catalog, table, (key.table for key in table.foreign_keys))
    return Begun(_change(catalog, moves, made.sequences))


def _referring(catalog: Catalog, table: Table, parents: Iterable[str]) -> list[TableChange]:
    """The tables that `table` refers to from now on: they know it."""
    moves = []
    for name in dict.fromkeys(parents):
        parent = catalog.tables.get(name)
        if name != table.name and parent is not None and table.name not in parent.referenced_by:
            after = replace(parent, referenced_by=(*parent.referenced_by, table.name))
            moves.append(_moved(catalog, parent, after, ()))
    return moves


def _add_constraint(catalog: Catalog, node: AddConstraint) -> Begun:
    before = _table(catalog, node.table)
    after = add_constraint(before, node.constraint, catalog.tables, _relations(catalog))
    moves = [_moved(catalog, before, after, rebuilding(before, after), rebuilding(after, before))]
    moves += _referring(catalog, after, (key.table for key in after.foreign_keys))
    return Begun(_change(catalog, moves))


def _drop_tables(catalog: Catalog, node: DropTable) -> Begun:
    missing = [name for name in node.tables if name.text not in catalog.tables]
    if missing and not node.if_exists:
        name = missing[0].text
        if name in _relations(catalog):
            raise StatementError(
                f'"{name}" is not a table', sqlstate="42809", hint=_how_to_drop(catalog, name)
            )
        raise StatementError(f'table "{name}" does not exist', sqlstate="42P01")
    notices = [f'table "{name.text}" does not exist, skipping' for name in missing]
    gone = {name.text: catalog.tables[name.text] for name in node.tables if name not in missing}
    if not gone:
        return Begun(None, tuple(map(Notice, notices)))
    after: dict[str, Table] = {}  # those that lose a foreign key, or one that refers to them
    for table in gone.values():
        for name in table.referenced_by:
            if name in gone:
                continue
            child = after.get(name) or catalog.tables[name]
            lost = [key for key in child.foreign_keys if key.table == table.name]
            if not node.cascade:
                _refuse_dependents(catalog, gone, table)
            notices += [
                f"drop cascades to constraint {key.name} on table {child.name}" for key in lost
            ]
            kept = tuple(key for key in child.foreign_keys if key.table != table.name)
            after[name] = replace(child, foreign_keys=kept)
        for key in table.foreign_keys:
            if key.table not in gone and key.table in catalog.tables:
                parent = after.get(key.table) or catalog.tables[key.table]
                names = tuple(name for name in parent.referenced_by if name != table.name)
                after[key.table] = replace(parent, referenced_by=names)
    moves = []
    for name, table in after.items():
        before = catalog.tables[name]
        changed = before.foreign_keys != table.foreign_keys
        moves.append(_moved(catalog, before, table, rebuilding(before, table) if changed else ()))
    moves += [_moved(catalog, table, None, removal(table)) for table in gone.values()]
    owned = [s.name for s in catalog.sequences.values() if s.owner and s.owner[0] in gone]
    return Begun(_change(catalog, moves, (), owned), tuple(map(Notice, notices)))


def _refuse_dependents(catalog: Catalog, gone: dict[str, Table], table: Table) -> None:
    listed = [
        f"constraint {key.name} on table {name} depends on table {table.name}"
        for name in table.referenced_by
        if name not in gone
        for key in catalog.tables[name].foreign_keys
        if key.table == table.name
    ]
    raise StatementError(
        f"cannot drop table {table.name} because other objects depend on it",
        sqlstate="2BP01",
        detail="\n".join(listed),
        hint="Use DROP ... CASCADE to drop the dependent objects too.",
    )


def _how_to_drop(catalog: Catalog, name: str) -> str:
    kind = "SEQUENCE" if name in catalog.sequences else "INDEX"
    return f"Use DROP {kind} to remove {'a sequence' if kind == 'SEQUENCE' else 'an index'}."


def _truncate(catalog: Catalog, node: Truncate) -> Begun:
    tables = {name.text: _table(catalog, name) for name in node.tables}
    notices: list[str] = []
    found = list(tables.values())
    for table in found:  # grows
        for name in table.referenced_by:
            if name in tables:
                continue
            if not node.cascade:
                raise StatementError(
                    "cannot truncate a table referenced in a foreign key constraint",
                    sqlstate="0A000",
                    detail=f'Table "{name}" references "{table.name}".',
                    hint=f'Truncate table "{name}" at the same time, or use TRUNCATE ... CASCADE.',
                )
            notices.append(f'truncate cascades to table "{name}"')
            tables[name] = catalog.tables[name]
            found.append(tables[name])
    if node.restart_identity and any(
        sequence.owner and sequence.owner[0] in tables for sequence in catalog.sequences.values()
    ):
        raise NotSupported(
            "RESTART IDENTITY is not supported", hint="Set the sequence with setval() afterwards."
        )
    moves = [
        _moved(catalog, table, table, (f"DELETE FROM {quote(table.name)}",))  # noqa: S608 -- quoted names
        for table in tables.values()
    ]
    return Begun(_change(catalog, moves), tuple(map(Notice, notices)))


# --------------------------------------------------------------------------- indexes


def _create_index(catalog: Catalog, node: CreateIndex) -> Begun:
    before = _table(catalog, node.table)
    if node.name is not None and not _is_new(catalog, node.name, if_not_exists=node.if_not_exists):
        return _skipped(node.name)
    after = create_index(before, node, _relations(catalog))
    index = after.indexes[-1]
    undo = (f"DROP INDEX {quote(index.name)}",)
    return Begun(_change(catalog, [_moved(catalog, before, after, (index.sqlite,), undo)]))


def _drop_indexes(catalog: Catalog, node: DropIndex) -> Begun:
    notices: list[str] = []
    after: dict[str, Table] = {}
    texts: dict[str, list[str]] = {}
    undo: dict[str, list[str]] = {}
    for name in node.names:
        owner = _owner_of(catalog, name)
        if owner is None:
            if not node.if_exists:
                raise StatementError(f'index "{name.text}" does not exist', sqlstate="42704")
            notices.append(f'index "{name.text}" does not exist, skipping')
            continue
        table = after.get(owner) or catalog.tables[owner]
        index = next((index for index in table.indexes if index.name == name.text), None)
        if index is None:
            continue  # named twice
        after[owner] = replace(table, indexes=tuple(i for i in table.indexes if i is not index))
        if index.unique and index.columns:
            _check_not_referred_to(catalog, after[owner], index.name)
        texts.setdefault(owner, []).append(f"DROP INDEX {quote(index.name)}")
        undo.setdefault(owner, []).append(index.sqlite)
    moves = [
        _moved(catalog, catalog.tables[name], table, texts[name], undo[name])
        for name, table in after.items()
    ]
    return Begun(_change(catalog, moves) if moves else None, tuple(map(Notice, notices)))


def _owner_of(catalog: Catalog, name: Name) -> str | None:
    """The table that has this index. Raises 2BP01 for the index of a constraint."""
    for table in catalog.tables.values():
        if any(index.name == name.text for index in table.indexes):
            return table.name
        if name.text in (table.primary, *(key.name for key in table.keys)):
            raise StatementError(
                f"cannot drop index {name.text} because constraint {name.text} on table "
                f"{table.name} requires it",
                sqlstate="2BP01",
                hint="Drop the table instead.",
            )
    if name.text in catalog.tables or name.text in catalog.sequences:
        what = "table" if name.text in catalog.tables else "sequence"
        raise StatementError(
            f'"{name.text}" is not an index',
            sqlstate="42809",
            hint=f"Use DROP {what.upper()} to remove a {what}.",
        )
    return None


def _check_not_referred_to(catalog: Catalog, table: Table, index: str) -> None:
    """A unique index may be what makes a foreign key possible."""
    keys = [set(table.primary_key), *(set(unique) for unique in table.unique)]
    for name in table.referenced_by:
        for key in catalog.tables[name].foreign_keys:
            if key.table == table.name and set(key.references) not in keys:
                raise StatementError(
                    f"cannot drop index {index} because other objects depend on it",
                    sqlstate="2BP01",
                    detail=f"constraint {key.name} on table {name} depends on index {index}",
                    hint="Use DROP ... CASCADE to drop the dependent objects too.",
                )


# --------------------------------------------------------------------------- sequences


def _create_sequence(catalog: Catalog, node: CreateSequence) -> Begun:
    check_relation_name(node.name, "sequence")
    if not _is_new(catalog, node.name, if_not_exists=node.if_not_exists):
        return _skipped(node.name)
    sequence = make_sequence(node.name.text, node.options, types.BIGINT)
    return Begun(_change(catalog, (), (sequence,)))


def _drop_sequences(catalog: Catalog, node: DropSequence) -> Begun:
    notices: list[str] = []
    dropped: list[str] = []
    for name in node.names:
        if name.text not in catalog.sequences:
            if not node.if_exists:
                raise StatementError(f'sequence "{name.text}" does not exist', sqlstate="42P01")
            notices.append(f'sequence "{name.text}" does not exist, skipping')
            continue
        listed = [
            f"default value for column {column.name} of table {table.name} "
            f"depends on sequence {name.text}"
            for table in catalog.tables.values()
            for column in table.columns
            if column.default is not None and column.default.sequence == name.text
        ]
        if listed:
            raise StatementError(
                f"cannot drop sequence {name.text} because other objects depend on it",
                sqlstate="2BP01",
                detail="\n".join(listed),
                hint="Use DROP ... CASCADE to drop the dependent objects too.",
            )
        dropped.append(name.text)
    change = _change(catalog, (), (), dropped) if dropped else None
    return Begun(change, tuple(map(Notice, notices)))
