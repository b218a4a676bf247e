"""What a plan does, in words: which shards run what, and what is made of their rows here."""

from __future__ import annotations

from collections.abc import Sequence

from shardrouter.planned import Constant, Fragment, Merge, Operand, Scatter

__all__ = ["described", "operand_shown"]


def operand_shown(operand: Operand) -> str:
    return repr(operand.value) if isinstance(operand, Constant) else f"${operand.number}"


def described(plan: Scatter) -> list[str]:
    """Of each fragment where it runs, its text and why; then the finish."""
    lines = [line for fragment in plan.fragments for line in _fragment(fragment)]
    finish = plan.finish
    if isinstance(finish, Merge):
        return [*lines, _merge(finish)]
    return [*lines, f"finish here: {_shown(finish.sql, finish.parameters)}"]


def _fragment(fragment: Fragment) -> list[str]:
    where = {"shards": "all shards", "home": "the home shard", "any": "any shard"}[fragment.where]
    if fragment.keys:
        keys = ", ".join(map(operand_shown, fragment.keys))
        where = f"the shards of {fragment.key_type} {keys}"
    why = f" ({fragment.why})" if fragment.why else ""
    return [
        f"fragment {fragment.name} on {where}{why}",
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
