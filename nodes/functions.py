"""SQL functions: PostgreSQL's where SQLite's answer differs, and the same answer everywhere.

Two kinds. `FUNCTIONS` are PostgreSQL's operators and casts, pure in their arguments, which
the router's translation calls by name (`pg_add_int4(a, b)`); their errors carry PostgreSQL's
SQLSTATE. The others replace what SQLite would answer from a clock or a random source
(`random()`, `current_timestamp`, `datetime('now')`, also inside DEFAULT): they take time and
seed from the `Environment` of the entry that is applied, so that every replica, and every
replay, computes the same row (DESIGN section 6).

Pure: the clock and the seed come in through the Environment; this module opens nothing.

`sqlite3` replaces what a function raises by "user-defined function raised exception"; the
Environment keeps the error itself for whoever ran the statement (`take_error`).

lower and upper map by Python's Unicode tables, whole strings at a time ('ss' for upper of
sharp s is 'SS'), as PostgreSQL does with an ICU collation; with its C collation only ASCII
letters would change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final, Protocol

from nodes.pgtypes import (
    array_functions,
    arrays,
    byte_functions,
    bytes_and_uuids,
    date_functions,
    dates,
    enumerations,
    floats,
    integers,
    intervals,
    json_building,
    json_values,
    mathematics,
    number_patterns,
    numerics,
    ordered,
    queries,
    quoting,
    regex_functions,
    statistics,
    strings,
    text_functions,
    time_functions,
    time_patterns,
    time_reading,
)
from nodes.pgtypes.dates import UNIX_EPOCH_US
from nodes.pgtypes.formats import Aggregate, Function, FunctionError, ValueFormatError
from nodes.pgtypes.integers import integer_of
from nodes.protocol import Value

__all__ = [
    "AGGREGATES",
    "BUILTINS",
    "COLLATIONS",
    "FUNCTIONS",
    "OVERRIDDEN",
    "Environment",
    "Function",
    "FunctionError",
    "NOW",
    "RANDOM",
    "RANDOM_UUID",
    "RECURSION",
    "ROW_ID",
    "install",
    "install_collations",
]

RANDOM_BLOB_BYTES_MAX: Final = 1024 * 1024
"""Largest randomblob(): as large as the largest entry could have carried."""


_MODULES: Final = (
    *(integers, floats, numerics, strings, bytes_and_uuids),
    *(dates, date_functions, intervals, json_values, arrays, text_functions, queries),
    *(mathematics, byte_functions, time_functions, json_building, array_functions),
    *(quoting, regex_functions, time_patterns, time_reading),
    *(number_patterns, enumerations),
)

_OF_TYPES: Final[Mapping[str, Function]] = {
    name: function for module in _MODULES for name, function in module.FUNCTIONS.items()
}


def _each(array: Value, function: Value) -> str:
    """An array whose elements a cast has turned into another type."""
    assert type(function) is str
    cast = _OF_TYPES[function].call
    return arrays.dump([e if e is None else cast(e) for e in arrays.elements(array)])


def _each_of_bytes(array: Value, function: Value) -> str:
    """The same for elements that are bytes, which stand in an array as their digits."""
    assert type(function) is str
    cast = _OF_TYPES[function].call
    found = arrays.elements(array)
    return arrays.dump([e if e is None else cast(bytes.fromhex(e)) for e in found])


FUNCTIONS: Final[Mapping[str, Function]] = {
    **_OF_TYPES,
    "pg_each": Function(2, _each),
    "pg_eachbytes": Function(2, _each_of_bytes),
}
"""PostgreSQL's functions, by the name under which SQL calls them: `pg_<op>_<type>`.

`pg_cast_<type>` casts to a type from text, integers and floats; `pg_cast_<type>_<source>` from
a source whose stored form does not tell what it is; `pg_text_<type>` to text. `pg_fit_<type>`
makes a value fit a modifier."""

COLLATIONS: Final[Mapping[str, Callable[[str, str], int]]] = {
    **numerics.COLLATIONS,
    **strings.COLLATIONS,
    **intervals.COLLATIONS,
    **json_values.COLLATIONS,
    **arrays.COLLATIONS,
}
"""How SQLite compares the stored forms that it would not compare as PostgreSQL does."""

_UNORDERED: Final[Mapping[str, Aggregate]] = {
    **numerics.AGGREGATES,
    **intervals.AGGREGATES,
    **arrays.AGGREGATES,
    **queries.AGGREGATES,
    **statistics.AGGREGATES,
    **json_building.AGGREGATES,
}

AGGREGATES: Final[Mapping[str, Aggregate]] = {
    **_UNORDERED,
    **ordered.aggregates(_UNORDERED, COLLATIONS),
}
"""PostgreSQL's aggregates where SQLite's answer differs; they also run over windows."""


# --------------------------------------------------------------------------- time and chance

OVERRIDDEN: Final = frozenset(
    {
        "random",
        "randomblob",
        "current_timestamp",
        "current_date",
        "current_time",
        "date",
        "time",
        "datetime",
        "julianday",
        "unixepoch",
        "strftime",
        "lower",
        "upper",
    }
)
"""SQLite's functions that `install` replaces."""

BUILTINS: Final = frozenset(
    {
        "abs", "avg", "ceil", "ceiling", "char", "coalesce", "count", "floor", "glob",
        "group_concat", "hex", "ifnull", "iif", "instr", "length", "like", "likelihood",
        "likely", "ltrim", "max", "min", "nullif", "printf", "format", "quote", "replace",
        "round", "rtrim", "sign", "substr", "substring", "sum", "total", "trim", "trunc",
        "typeof", "unicode", "unlikely",
        "row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead",
        "first_value", "last_value", "nth_value",
    }
)  # fmt: skip
"""SQLite's functions whose answer only depends on their arguments and not on the machine's
mathematics library. What is in none of these tables is refused by the authorizer."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MASK64: Final = (1 << 64) - 1


class Connection(Protocol):
    """What `install` needs of a SQLite connection."""

    def create_function(
        self, name: str, narg: int, func: Callable[..., Any], /, *, deterministic: bool = ...
    ) -> None: ...

    def create_window_function(
        self, name: str, num_params: int, aggregate_class: Callable[[], Any], /
    ) -> None: ...

    def create_collation(self, name: str, callback: Callable[[str, str], int], /) -> None: ...


class Calculator(Protocol):
    """A SQLite connection to an empty in-memory database, used to compute dates."""

    def execute(self, sql: str, parameters: Sequence[Value], /) -> Any: ...


RECURSION: Final = "pg_recursion"
"""Counts the rows of recursive queries: true, or an error."""

RANDOM: Final = "pg_random"
RANDOM_UUID: Final = "pg_random_uuid"
"""random() and gen_random_uuid(), drawn from the statement's seed."""


def random_uuid(random: Random) -> bytes:
    """A UUID of version 4."""
    drawn = bytearray(random.randbytes(16))
    drawn[6] = drawn[6] & 0x0F | 0x40
    drawn[8] = drawn[8] & 0x3F | 0x80
    return bytes(drawn)


UUID_V7: Final = "pg_uuid_v7"
"""uuidv7(), of the time of the statement, and drawn from its seed."""

_UUID_V7_COUNT_BITS: Final = 12


def uuid_v7(ms: int, count: int, random: Random) -> bytes:
    """A UUID of version 7 (RFC 9562, section 6.2, method 1): number `count` of this millisecond
    since 1970. A count that overflows goes on in the next one."""
    later, count = divmod(count, 1 << _UUID_V7_COUNT_BITS)
    drawn = random.getrandbits(62)
    return ((ms + later) << 80 | 7 << 76 | count << 64 | 2 << 62 | drawn).to_bytes(16, "big")


NOW: Final = "pg_now"
"""The function that answers the time of the entry as a timestamptz: PostgreSQL's now()."""

ROW_ID: Final = "pg_row_id"
"""The function that gives a row without a primary key its hidden one, as the DEFAULT of that
column: number of the entry, then of the row among those of the entry. So every replica gives the
same, no two rows of a group ever have the same, and they are in the order of insertion."""

ROW_ID_BITS: Final = 24
"""For the number of the row; 39 are left for that of the entry."""

NO_ENTRY: Final = (1 << (63 - ROW_ID_BITS)) - 1
"""Stands for the entry where there is none yet, in what is rolled back: above all real ones."""


class Environment:
    """Time, chance and the last error, for the statement that runs on one connection."""

    __slots__ = (
        "_current",
        "_entry",
        "_error",
        "_now",
        "_random",
        "_recursed",
        "_row_ids",
        "_uuids",
        "stamp",
    )

    def __init__(self) -> None:
        self._entry = NO_ENTRY
        self._row_ids = 0  # given in this entry
        self.stamp = (0, 0, 0)
        """(time in microseconds, seed, ordinal): of the statement that runs, which is number
        `ordinal` of the command or read with this time and seed. A new tuple for each: what was
        drawn for another one is not used."""
        self._current: tuple[int, int, int] | None = None  # whose the rest is
        self._error: FunctionError | None = None
        self._random: Random | None = None  # made at first use: most statements draw nothing
        self._now: str | None = None
        self._recursed = 0
        self._uuids = 0  # of version 7, made in this statement

    def begin(self, now_us: int, seed: int, ordinal: int) -> None:
        """A statement starts."""
        self.stamp = (now_us, seed, ordinal)

    def begin_entry(self, index: int) -> None:
        """The statements to come are those of this entry of the log."""
        self._entry = index
        self._row_ids = 0

    def next_row_id(self) -> int:
        if self._row_ids >> ROW_ID_BITS:
            raise FunctionError("54000", f"more than {1 << ROW_ID_BITS} rows without a key at once")
        self._row_ids += 1
        return self._entry << ROW_ID_BITS | (self._row_ids - 1)

    def _look(self) -> None:
        """Something of the current statement is asked for."""
        if self._current is not self.stamp:
            self._current = self.stamp
            self._error = self._random = self._now = None
            self._recursed = self._uuids = 0

    def take_error(self) -> FunctionError | None:
        """The error a function raised in the current statement, once."""
        self._look()
        error, self._error = self._error, None
        return error

    def keep_error(self, error: FunctionError) -> None:
        self._look()
        self._error = error

    @property
    def random(self) -> Random:
        self._look()
        if self._random is None:
            _, seed, ordinal = self.stamp
            self._random = Random((ordinal << 64) | (seed & _MASK64))
        return self._random

    def next_uuid_v7(self) -> bytes:
        """They grow, in the order in which the statement asks for them."""
        random = self.random
        self._uuids += 1
        return uuid_v7(self.stamp[0] // 1000, self._uuids - 1, random)

    def recursed(self) -> bool:
        """A recursive query of the current statement makes another row."""
        self._look()
        self._recursed += 1
        return queries.recursed(self._recursed)

    @property
    def now(self) -> str:
        """The time as SQLite writes it, with milliseconds: 2026-01-31 12:00:00.000."""
        self._look()
        if self._now is None:
            time = _EPOCH + timedelta(microseconds=self.stamp[0])
            self._now = f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03d}"
        return self._now


def install(connection: Connection, environment: Environment, calculator: Calculator) -> None:
    """Define every function of this module on `connection`."""

    def guarded(name: str, call: Callable[..., Value]) -> Callable[..., Value]:
        def called(*values: Value) -> Value:
            try:
                return call(*values)
            except FunctionError as exc:
                environment.keep_error(exc)
                raise
            except ValueFormatError as exc:
                environment.keep_error(
                    FunctionError(exc.sqlstate, exc.message, exc.detail, exc.hint)
                )
                raise
            except (MemoryError, RecursionError):
                raise  # of this machine, not of the arguments: no result
            except Exception as exc:
                environment.keep_error(FunctionError("XX000", f"{name}: {exc}"))
                raise

        return called

    def define(
        name: str, arguments: int, call: Callable[..., Value], *, pure: bool, strict: bool
    ) -> None:
        run = guarded(name, call)

        def unless_null(*values: Value) -> Value:
            return None if None in values else run(*values)

        chosen = unless_null if strict else run
        connection.create_function(name, arguments, chosen, deterministic=pure)

    for name, function in FUNCTIONS.items():
        define(name, function.arguments, function.call, pure=True, strict=function.strict)
    for name, aggregate in AGGREGATES.items():
        made = partial(_GuardedAggregate, name, aggregate.make, guarded)
        connection.create_window_function(name, aggregate.arguments, made)
    define(RECURSION, 0, environment.recursed, pure=False, strict=False)
    for name, compare in COLLATIONS.items():
        connection.create_collation(name, _compared(name, compare, environment))
    define("lower", 1, FUNCTIONS["pg_lower_text"].call, pure=True, strict=True)
    define("upper", 1, FUNCTIONS["pg_upper_text"].call, pure=True, strict=True)

    def random_blob(size: Value) -> bytes:
        count = max(1, integer_of(size))
        if count > RANDOM_BLOB_BYTES_MAX:
            raise FunctionError("54000", f"randomblob is limited to {RANDOM_BLOB_BYTES_MAX} bytes")
        return environment.random.randbytes(count)

    def date_function(name: str, fixed: int) -> Callable[..., Value]:
        """SQLite's `name`, with the entry's time for 'now'; `fixed` arguments come before it."""

        def call(*values: Value) -> Value:
            arguments = list(values)
            if len(arguments) == fixed:
                arguments.append("now")
            arguments[fixed:] = [_time_argument(value, environment) for value in arguments[fixed:]]
            marks = ",".join("?" * len(arguments))
            result: Value = calculator.execute(f"SELECT {name}({marks})", arguments).fetchone()[0]
            return result

        return call

    define(
        "random",
        0,
        lambda: environment.random.getrandbits(64) - (1 << 63),
        pure=False,
        strict=False,
    )
    define(RANDOM, 0, lambda: environment.random.random(), pure=False, strict=False)
    define(RANDOM_UUID, 0, lambda: random_uuid(environment.random), pure=False, strict=False)
    define(UUID_V7, 0, environment.next_uuid_v7, pure=False, strict=False)
    define(NOW, 0, lambda: environment.stamp[0] + UNIX_EPOCH_US, pure=False, strict=False)
    define("randomblob", 1, random_blob, pure=False, strict=True)
    define(ROW_ID, 0, environment.next_row_id, pure=False, strict=False)
    define("current_timestamp", 0, lambda: environment.now[:19], pure=False, strict=False)
    define("current_date", 0, lambda: environment.now[:10], pure=False, strict=False)
    define("current_time", 0, lambda: environment.now[11:19], pure=False, strict=False)
    for name in ("date", "time", "datetime", "julianday", "unixepoch"):
        define(name, -1, date_function(name, 0), pure=False, strict=True)
    define("strftime", -1, date_function("strftime", 1), pure=False, strict=True)


class _GuardedAggregate:
    """One run of an aggregate, whose errors are kept as a function's are."""

    __slots__ = ("finalize", "inverse", "step", "value")

    def __init__(
        self,
        name: str,
        make: Callable[[], Any],
        guarded: Callable[[str, Callable[..., Value]], Callable[..., Value]],
    ) -> None:
        state = make()
        self.step = guarded(name, state.step)
        self.inverse = guarded(name, state.inverse)
        self.value = guarded(name, state.value)
        self.finalize = guarded(name, state.finalize)


def _compared(
    name: str, compare: Callable[[str, str], int], environment: Environment
) -> Callable[[str, str], int]:
    """A collation that refuses texts which are none of its type: SQLite takes a collation from any
    part of an expression, so a query may ask for it where nobody meant it. It has to end that
    statement, and not the replica."""

    def compared(left: str, right: str) -> int:
        try:
            return compare(left, right)
        except (MemoryError, RecursionError):
            raise  # of this machine, not of the texts
        except Exception as exc:
            error = FunctionError("XX000", f"a text is compared as {name} and is none")
            environment.keep_error(error)
            raise error from exc

    return compared


def install_collations(connection: Connection) -> None:
    """Define the collations on `connection`: what any connection to a data file needs, since
    its indexes are in their order."""
    for name, compare in COLLATIONS.items():
        connection.create_collation(name, compare)


def _time_argument(value: Value, environment: Environment) -> Value:
    """A time or modifier for the calculator, whose own clock and time zone must stay unread.

    SQLite reads these as C strings: 'now' also arrives as a blob, or with a NUL behind it.
    """
    if type(value) is bytes:
        raise FunctionError("42804", "text was expected, not bytes")
    if type(value) is not str:
        return value
    text = value.partition("\0")[0]
    word = text.lower()
    if word == "now":
        return environment.now
    if word in ("localtime", "utc"):
        raise FunctionError("0A000", f"the modifier {word} depends on the machine's time zone")
    return text
