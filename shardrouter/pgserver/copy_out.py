"""COPY TO STDOUT: the answer of its query as the messages that a client expects."""

from __future__ import annotations

from shardrouter.copying.output import CopyWriter
from shardrouter.execution import Outcome
from shardrouter.pgwire import messages as m
from shardrouter.planned import CopyTo

__all__ = ["copy_out"]


def copy_out(plan: CopyTo, outcome: Outcome) -> bytes:
    """All of it, encoded."""
    columns = plan.plan.columns
    is_binary = plan.options.format == "binary"
    writer = CopyWriter([column.name for column in columns], plan.options)
    response = m.CopyOutResponse(int(is_binary), (int(is_binary),) * len(columns))
    return b"".join(
        (
            m.encode(response),
            writer.begin(),
            writer.rows(outcome.rows),
            writer.end(),
            m.encode(m.CopyDone()),
            m.encode_command_complete(f"COPY {outcome.row_count}"),
        )
    )
