"""The errors of the router, as a tree.

    RouterError                  .sqlstate .definite .message .hint .detail .position .statement
    |- DefiniteError             nothing of the statement has happened or ever will
    |  |- StatementError         SQL said no: syntax, constraint, type, unknown table ...
    |  |- NotSupported           0A000: PostgreSQL can, this database cannot (yet)
    |  |- DeadlineExceeded       57014: the time was over and nothing has happened
    |  `- Unavailable            57P03 / 53300: not taken; repeat it later
    `- IndefiniteError           it may have happened, may still happen, or may not
       `- OutcomeUnknown         08007

An error is definite only if the statement has had no effect and never will. Unsure is
indefinite (DESIGN sections 8 and 10): a caller may repeat after a definite error, and has to
look before it repeats after an indefinite one.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from nodes.protocol import Violation

__all__ = [
    "RouterError",
    "DefiniteError",
    "StatementError",
    "NotSupported",
    "DeadlineExceeded",
    "Unavailable",
    "IndefiniteError",
    "OutcomeUnknown",
]


class RouterError(Exception):
    """Base of all errors a statement can end with.

    sqlstate: PostgreSQL's five-character code. definite: see the module. position: 1-based
    offset in characters into the statement's text, 0 if unknown. statement: 0-based ordinal, in
    its unit of commit, of the statement that failed. schema, table, column, data_type,
    constraint: what the error is about, empty where it is about none. where: what was being done,
    in which line of a COPY for one. row: which of many rows it was, from 1; 0 is unknown. shard:
    who refused it, of several.
    routine: the function of PostgreSQL's that says the same, where drivers go by it.
    violation: the row that a constraint refused, for `shardrouter.explained` to put into words.
    """

    definite: bool
    sqlstate: str = "XX000"

    def __init__(
        self,
        message: str,
        *,
        sqlstate: str | None = None,
        hint: str = "",
        detail: str = "",
        position: int = 0,
        schema: str = "",
        table: str = "",
        column: str = "",
        data_type: str = "",
        constraint: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.sqlstate = sqlstate or type(self).sqlstate
        self.hint = hint
        self.detail = detail
        self.position = position
        self.schema = schema
        self.table = table
        self.column = column
        self.data_type = data_type
        self.constraint = constraint
        self.where = ""
        self.routine = ""
        self.statement = 0
        self.violation: Violation | None = None
        self.row = 0
        self.shard = ""


class DefiniteError(RouterError):
    definite = True


class StatementError(DefiniteError):
    """SQL said no; `sqlstate` says why.

    An error of a SQLSTATE that has a class of its own (`shardrouter.exceptions`) is made an
    instance of that class: whoever raises it need not know the class, and whoever catches it may
    use either.
    """

    _by_sqlstate: ClassVar[dict[str, type[StatementError]]] = {}

    def __init_subclass__(cls) -> None:
        if "sqlstate" in cls.__dict__:
            StatementError._by_sqlstate.setdefault(cls.sqlstate, cls)

    def __new__(cls, *_args: Any, sqlstate: str | None = None, **_more: Any) -> Self:
        found = StatementError._by_sqlstate.get(sqlstate or cls.sqlstate, cls)
        return super().__new__(found if issubclass(found, cls) else cls)


class NotSupported(DefiniteError):
    """Refused rather than answered differently from PostgreSQL; `hint` says what to do."""

    sqlstate = "0A000"


class DeadlineExceeded(DefiniteError):
    sqlstate = "57014"


class Unavailable(DefiniteError):
    sqlstate = "57P03"


class IndefiniteError(RouterError):
    definite = False


class OutcomeUnknown(IndefiniteError):
    sqlstate = "08007"
