"""What a plan does, in words: which shards run what, and what is made of their rows here."""

from __future__ import annotations

import json
from collections.abc import Sequence

from nodes.protocol import Value
from nodes.values import slot_finder
from shardrouter.catalog import Catalog
from shardrouter.planned import (
    Answer,
    CatalogQuery,
    Constant,
    ExplainRoute,
    Fragment,
    Merge,
    OneShard,
    Operand,
    RowsWrite,
    Scatter,
)

__all__ = ["described", "operand_shown", "route", "written"]


def operand_shown(operand: Operand) -> str:
    return repr(operand.value) if isinstance(operand, Constant) else f"${operand.number}"


def route(
    explained: ExplainRoute, catalog: Catalog, level: str, *, snapshot: bool
) -> list[tuple[Value, ...]]:
    """The rows of EXPLAIN (ROUTE). `level` is that of the session, `snapshot` whether it reads
    several shards at one instant there."""
    state = "one snapshot" if snapshot and level == "linearizable" else f"each shard's own, {level}"
    if explained.is_json:
        parts = _parts(explained, catalog)
        if isinstance(explained.plan, Scatter):
            parts["state"] = state
        return [(json.dumps(parts, indent=2, ensure_ascii=False),)]
    plan = explained.plan
    if isinstance(plan, Scatter):
        return [(line,) for line in (*described(plan, catalog), f"state: {state}")]
    if isinstance(plan, OneShard):
        several = _several_of(plan, catalog)
        return [(several or f"one shard: {_home_of(plan, catalog)}",), (f"  {plan.sql}",)]
    if isinstance(plan, RowsWrite):
        return [(line,) for line in written(plan, catalog)]
    return [(_of_router(plan),)]


def _parts(explained: ExplainRoute, catalog: Catalog) -> dict[str, object]:
    plan = explained.plan
    if isinstance(plan, RowsWrite):
        read = _parts(ExplainRoute(plan.read), catalog)
        statements = [f"{w.head}...{w.tail}" for w in (plan.write, *plan.moves)]
        return {"read": read, "rows": plan.shaped.sql, "write": statements}
    if isinstance(plan, OneShard):
        several = _several_of(plan, catalog)
        where = {"shards": several} if several else {"shard": _home_of(plan, catalog)}
        return {**where, "sql": plan.sql}
    if not isinstance(plan, Scatter):
        return {"router": _of_router(plan)}
    parts = _of_shards(plan, catalog)
    if plan.broadcasts:
        parts["broadcasts"] = [
            {"small": _fragment_parts(each.small, catalog), **_of_shards(plan.by(each), catalog)}
            for each in plan.broadcasts
        ]
    return parts


def _of_shards(plan: Scatter, catalog: Catalog) -> dict[str, object]:
    fragments = [_fragment_parts(fragment, catalog) for fragment in plan.fragments]
    finish = plan.finish
    if isinstance(finish, Merge):
        return {"fragments": fragments, "merge": _merge(finish)}
    return {"fragments": fragments, "finish": finish.sql}


def _fragment_parts(fragment: Fragment, catalog: Catalog) -> dict[str, object]:
    return {
        "name": fragment.name,
        "on": _where(fragment, catalog),
        "why": fragment.why,
        "sql": fragment.sql,
    }


def _of_router(plan: Answer | CatalogQuery) -> str:
    if isinstance(plan, Answer):
        return "the router answers: nothing in it depends on a table"
    return f"the router answers, of its catalogs: {', '.join(plan.relations) or 'what it knows'}"


def _several_of(plan: OneShard, catalog: Catalog) -> str:
    """Of a write that may concern several shards: which; else empty."""
    if plan.spread:
        how = {"every": "each its own rows", "alike": "alike"}[plan.spread]
        return f"every shard, {how}: {', '.join(catalog.shards)}"
    if len(plan.keys) < 2:
        return ""
    keys = ", ".join(map(operand_shown, plan.keys))
    return f"the shards of {plan.key_type} {keys}{_known(plan, catalog)}"


def _home_of(plan: OneShard, catalog: Catalog | None) -> str:
    if not plan.keys:
        return "the home shard" if catalog is None else f"{catalog.home} (the home shard)"
    shown = f"{plan.key_type} {', '.join(map(operand_shown, plan.keys))}"
    return f"that of {shown}{_known(plan, catalog)}"


def written(plan: RowsWrite, catalog: Catalog | None = None) -> list[str]:
    """Of a write of rows: how they are read, what is made of them, and how they are written."""
    read = plan.read
    if isinstance(read, Scatter):
        lines = described(read, catalog)
    elif isinstance(read, OneShard):
        lines = [f"read on one shard: {_home_of(read, catalog)}", f"  {read.sql}"]
    else:
        lines = ["read here: nothing in it depends on a table"]
    where = {
        "": "the shards of their keys" if plan.write.key >= 0 else "the home shard",
        "alike": "every shard, alike",
        "every": "every shard",
    }[plan.write.spread]
    lines += [f"rows of them here: {plan.shaped.sql}", f"write on {where}"]
    lines.append(f"  {plan.write.head}...{plan.write.tail}")
    for moved in plan.moves:
        lines += ["write where the key changes", f"  {moved.head}...{moved.tail}"]
    return lines


def _known(plan: OneShard | Fragment, catalog: Catalog | None) -> str:
    """The shards' names, if the keys are in the statement."""
    values = [key.value for key in plan.keys if isinstance(key, Constant)]
    if catalog is None or len(values) < len(plan.keys):
        return ""
    find = slot_finder(plan.key_type)
    names = sorted({catalog.owner(find(value))[0] for value in values if value is not None})
    return f": {', '.join(names)}"


def described(plan: Scatter, catalog: Catalog | None = None) -> list[str]:
    """Of each fragment where it runs, its text and why; then the finish."""
    lines = [
        line
        for broadcast in plan.broadcasts
        for line in (
            "if at most shardrouter.broadcast_rows_max rows are",
            *_indented(_fragment(broadcast.small, catalog)),
            "they are broadcast:",
            *_indented(described(plan.by(broadcast), catalog)),
        )
    ]
    lines += ["else:"] * bool(lines)
    lines += [line for fragment in plan.fragments for line in _fragment(fragment, catalog)]
    finish = plan.finish
    if isinstance(finish, Merge):
        return [*lines, _merge(finish)]
    return [*lines, f"finish here: {_shown(finish.sql, finish.parameters)}"]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _where(fragment: Fragment, catalog: Catalog | None) -> str:
    if fragment.keys:
        keys = ", ".join(map(operand_shown, fragment.keys))
        return f"the shards of {fragment.key_type} {keys}{_known(fragment, catalog)}"
    where = {"shards": "all shards", "home": "the home shard", "any": "any shard"}[fragment.where]
    if catalog is None:
        return where
    names = ", ".join(catalog.shards) if fragment.where == "shards" else catalog.home
    return f"{where}: {names}"


def _fragment(fragment: Fragment, catalog: Catalog | None) -> list[str]:
    why = f" ({fragment.why})" if fragment.why else ""
    return [
        f"fragment {fragment.name} on {_where(fragment, catalog)}{why}",
        f"  {_shown(fragment.sql, fragment.parameters)}",
    ]


def _merge(merge: Merge) -> str:
    text = "merge: as the rows come"
    if merge.order:
        keys = [
            f"{key.index + 1}{' desc' if key.descending else ''}"
            f"{' nulls first' if key.nulls_first else ''}"
            for key in merge.order
        ]
        text = f"merge by columns {', '.join(keys)}"
    if merge.hidden:
        text += f"; {merge.hidden} hidden"
    for name, bound in (("limit", merge.limit), ("offset", merge.offset)):
        if bound is not None:
            text += f"; {name} {operand_shown(bound)}"
    return text


def _shown(sql: str, parameters: Sequence[int]) -> str:
    """The text; if its parameters have other numbers than the client's, also which they are."""
    if tuple(parameters) == tuple(range(1, len(parameters) + 1)):
        return sql
    return f"{sql} -- with {', '.join(f'?{i} = ${n}' for i, n in enumerate(parameters, 1))}"
