"""What a statement asks of the session alone: settings, and its transactions."""

from __future__ import annotations

from typing import Literal, TypeAlias

from shardrouter.quick_dataclasses import dataclass

__all__ = [
    "Begin",
    "EndBlock",
    "Modes",
    "SavepointStep",
    "SetModes",
    "SetSetting",
    "ShowSetting",
    "TransactionControl",
]


@dataclass(frozen=True)
class SetSetting:
    """SET, or RESET if `value` is None (name `all`: every setting)."""

    name: str
    value: str | None
    is_local: bool = False
    """It ends with the transaction, however that ends."""
    discards: bool = False
    """DISCARD ALL: of all settings, and not inside of a transaction block."""


@dataclass(frozen=True)
class Modes:
    """What a transaction is said to be; None: as the settings say."""

    isolation: str | None = None  # "serializable", "read committed", ...
    read_only: bool | None = None
    deferrable: bool | None = None


@dataclass(frozen=True)
class Begin:
    """BEGIN, START TRANSACTION."""

    tag: str
    modes: Modes


@dataclass(frozen=True)
class EndBlock:
    """COMMIT, END; or ROLLBACK, ABORT. `chain`: begin another one alike."""

    commit: bool
    chain: bool


@dataclass(frozen=True)
class SavepointStep:
    """SAVEPOINT, ROLLBACK TO SAVEPOINT, RELEASE SAVEPOINT."""

    what: Literal["savepoint", "rollback", "release"]
    name: str


@dataclass(frozen=True)
class SetModes:
    """SET TRANSACTION, or, `for_session`, SET SESSION CHARACTERISTICS AS TRANSACTION."""

    modes: Modes
    for_session: bool


TransactionControl: TypeAlias = Begin | EndBlock | SavepointStep | SetModes
"""What is about the transaction itself."""


@dataclass(frozen=True)
class ShowSetting:
    """SHOW name; its one column has the setting's name."""

    name: str
