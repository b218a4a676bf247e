"""What a session is told about transaction blocks: refusals, warnings, tags; and the settings that
blocks begin with."""

from __future__ import annotations

from shardrouter.errors import StatementError, Unavailable
from shardrouter.execution import (
    Notice,
)
from shardrouter.planned import (
    CopyFrom,
    Modes,
    OneShard,
    Plan,
    RowsWrite,
    SchemaChange,
    SetSetting,
)
from shardrouter.settings import TRANSACTION_MODES, Settings

__all__ = [
    "being_changed",
    "in_failed_block",
    "modes_of",
    "not_in_a_block",
    "outside",
    "read_only_error",
    "set_outside",
    "setting_tag",
    "warning",
    "word",
]


def set_outside(settings: Settings, plan: SetSetting) -> tuple[Settings, tuple[Notice, ...]]:
    """SET or RESET outside of a block: the settings after it. Raises StatementError."""
    after = settings.with_value(plan.name, plan.value)
    if plan.is_local:
        said = "SET LOCAL can only be used in transaction blocks"
        return settings, (warning(said, "25P01"),)
    if plan.name.lower() in TRANSACTION_MODES:  # of a transaction that is over with this
        return settings, ()
    return after, ()


def modes_of(settings: Settings) -> Modes:
    return Modes(
        settings.get("transaction_isolation"),
        settings.read_only,
        settings.get("transaction_deferrable") == "on",
    )


def word(switch: bool | None) -> str | None:
    return None if switch is None else "on" if switch else "off"


def setting_tag(plan: SetSetting) -> str:
    """The command tag of SET, RESET or DISCARD ALL."""
    if plan.discards:
        return "DISCARD ALL"
    return "RESET" if plan.value is None else "SET"


def not_in_a_block(what: str) -> StatementError:
    return StatementError(f"{what} cannot run inside a transaction block", sqlstate="25001")


def being_changed() -> Unavailable:
    return Unavailable(
        "the tables of the statement are being changed",
        hint="Repeat the transaction when the schema change is over.",
    )


def warning(message: str, sqlstate: str) -> Notice:
    return Notice(message, "WARNING", sqlstate)


def outside(message: str) -> StatementError:
    return StatementError(message, sqlstate="25P01")


def in_failed_block() -> StatementError:
    """For whatever comes after a failure, but the end of the block."""
    return StatementError(
        "current transaction is aborted, commands ignored until end of transaction block",
        sqlstate="25P02",
    )


def read_only_error(plan: Plan) -> StatementError:
    """For a write, or a lock, in a transaction that is READ ONLY."""
    what = "this statement"
    if isinstance(plan, OneShard):
        what = f"SELECT FOR {plan.locking}" if plan.locking else plan.tag
    elif isinstance(plan, RowsWrite | SchemaChange):
        what = plan.tag
    elif isinstance(plan, CopyFrom):
        what = "COPY FROM"
    return StatementError(f"cannot execute {what} in a read-only transaction", sqlstate="25006")
