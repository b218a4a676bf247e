"""A bank: money moves between accounts, so every snapshot of all of them has the same sum.

Reads show (account, balance) pairs, or a map. A read whose sum differs saw half of a transfer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jepsen_like.checks.collections.finding import Finding, verdict_on
from jepsen_like.history import Operation
from jepsen_like.result import Verdict

__all__ = ["constant_total"]

CHECK = "constant-total"


def constant_total(
    history: Iterable[Operation], total: int | None = None, *, overdraft: bool = False
) -> Verdict:
    """`total` None: that of the first read. `overdraft`: balances may be below zero."""
    findings = []
    reads = 0
    accounts: frozenset[Any] | None = None
    for operation in sorted(history, key=lambda o: o.returned_ns):
        if operation.f != "read" or operation.outcome != "ok":
            continue
        balances = _balances(operation.output)
        if balances is None:
            sentence = f"a read returned {operation.output!r}, which shows no balances"
            findings.append(Finding("unreadable", sentence, (operation,)))
            continue
        reads += 1
        found = sum(balances.values())
        if total is None:
            total = found
        if accounts is None:
            accounts = frozenset(balances)
        if frozenset(balances) != accounts:
            odd = sorted(map(str, accounts ^ frozenset(balances)))
            sentence = f"a read shows other accounts than the first one: {', '.join(odd[:5])}"
            findings.append(Finding("other-accounts", sentence, (operation,)))
        elif found != total:
            sentence = f"the balances of a read sum up to {found}, not {total}"
            findings.append(Finding("wrong-total", sentence, (operation,)))
        elif not overdraft and min(balances.values(), default=0) < 0:
            account = min(balances, key=lambda a: balances[a])
            sentence = f"account {account} is at {balances[account]} in a read"
            findings.append(Finding("below-zero", sentence, (operation,)))
    return verdict_on(
        CHECK,
        findings,
        judged=reads + sum(f.kind == "unreadable" for f in findings),
        otherwise=f"the balances of all {reads} reads sum up to {total}",
        total=total,
    )


def _balances(output: Any) -> dict[Any, int] | None:
    pairs = output.items() if isinstance(output, Mapping) else output
    try:
        found = {account: balance for account, balance in pairs}  # noqa: C416 - it checks pairs
    except (TypeError, ValueError):
        return None
    return found if all(isinstance(balance, int) for balance in found.values()) else None
