"""The settings of a session: which exist, what values they take, what SHOW answers.

Pure. A setting is here because a client sets or reads it on its own (drivers do so when they
connect) or because it does something. Values that PostgreSQL would obey and this database
would not (another encoding, another time zone) are refused rather than accepted and ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, cast

from nodes.config import REPLICA_CHOICES
from shardrouter.errors import NotSupported, StatementError
from shardrouter.levels import Hint, Level, check_level, hint_in, level_named
from shardrouter.session_token import check_token
from shardrouter.setting_table import (
    WITHOUT_EFFECT,
    Setting,
    custom_value,
    invalid,
    is_custom,
    one_of,
    schemas_listed,
)
from shardrouter.tables import Placement

__all__ = [
    "STATEMENT_TIMEOUT_S_MAX",
    "TRANSACTION_MODES",
    "Settings",
    "check_hint",
    "duration_shown",
]

STATEMENT_TIMEOUT_S_MAX: Final = 3600.0
"""What `statement_timeout = 0`, no timeout, means here: a command has to end some time, since
its seq holds back the watermark of its session."""

_UNITS_MS: Final = {"us": 0.001, "ms": 1.0, "s": 1e3, "min": 6e4, "h": 3.6e6, "d": 8.64e7}
_DURATION: Final = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*\Z")
_INT4_MAX: Final = (1 << 31) - 1


def _duration_ms(name: str, value: str) -> int:
    match = _DURATION.match(value)
    unit = (match[2] or "ms") if match else ""
    if match is None or unit not in _UNITS_MS:
        raise invalid(
            name,
            value,
            'Valid units are "us", "ms", "s", "min", "h" and "d"; without one it is ms.',
        )
    milliseconds = round(float(match[1]) * _UNITS_MS[unit])
    if milliseconds > _INT4_MAX:
        raise StatementError(
            f"{value} is outside the valid range for parameter {name} (0 ms .. {_INT4_MAX} ms)",
            sqlstate="22023",
        )
    return milliseconds


def _duration(name: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        return duration_shown(_duration_ms(name, value))

    return check


def duration_shown(milliseconds: int) -> str:
    """As PostgreSQL shows it: in the largest unit that leaves a whole number."""
    if milliseconds <= 0:
        return str(milliseconds)
    for unit in ("d", "h", "min", "s"):
        size = round(_UNITS_MS[unit])
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def _duration_or_never(name: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        return "-1" if value.strip() == "-1" else duration_shown(_duration_ms(name, value))

    return check


def _encoding(value: str) -> str:
    # Like PostgreSQL, ignore case and punctuation; SQL_ASCII means "do not convert".
    if re.sub(r"[^a-z0-9]", "", value.lower()) not in ("utf8", "unicode", "sqlascii"):
        raise invalid("client_encoding", value, "The only encoding is UTF8.")
    return "UTF8"


def _date_style(value: str) -> str:
    words = [word.strip().upper() for word in value.split(",")]
    orders = [word for word in words if word in ("MDY", "DMY", "YMD")]
    if any(word not in ("ISO", "MDY", "DMY", "YMD") for word in words) or len(orders) > 1:
        raise invalid("DateStyle", value, "The only style is ISO.")
    return f"ISO, {orders[0] if orders else 'MDY'}"


def _time_zone(value: str) -> str:
    if value.upper() not in ("UTC", "GMT", "ETC/UTC", "Z", "UCT", "ZULU", "0"):
        raise NotSupported(
            f'the time zone "{value}" is not supported',
            hint="The session's time zone is UTC: convert times in the application.",
        )
    return "UTC"


def _search_path(value: str) -> str:
    schemas_listed(value)
    return value


def _float_digits(value: str) -> str:
    if value.strip() not in ("1", "2", "3"):
        raise invalid(
            "extra_float_digits", value, "Use 1, 2 or 3: the shortest text that reads back equal."
        )
    return value.strip()


def _on(name: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value.strip().lower() not in ("on", "true", "yes", "1"):
            raise invalid(name, value, "It is always on.")
        return "on"

    return check


def _name(value: str) -> str:
    # As PostgreSQL: what a terminal or a log cannot show becomes a question mark.
    return "".join(c if " " <= c <= "~" else "?" for c in value)[:63]


_PLACEMENTS: Final = ("sharded", "home")


def _placement(value: str) -> str:
    if value.strip().lower() not in _PLACEMENTS:
        raise invalid("default_placement", value, f"Available values: {', '.join(_PLACEMENTS)}.")
    return value.strip().lower()


def _count(name: str, least: int = 1) -> Callable[[str], str]:
    def check(value: str) -> str:
        text = value.strip()
        if not text.isdecimal() or not text.isascii() or not least <= int(text[:12]) <= _INT4_MAX:
            raise invalid(name, value, f"It is a number from {least} to {_INT4_MAX}.")
        return str(int(text))

    return check


def _at_most(name: str, default: int) -> Setting:
    return Setting(name, str(default), _count(name))


def _switch(name: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        word = value.strip().lower()
        if word in ("on", "true", "yes", "1"):
            return "on"
        if word in ("off", "false", "no", "0"):
            return "off"
        raise StatementError(f'parameter "{name}" requires a Boolean value', sqlstate="22023")

    return check


_LEVELS: Final = ("serializable", "repeatable read", "read committed", "read uncommitted")


def _isolation(name: str) -> Callable[[str], str]:
    """All levels are taken, for what is given is above each of them (docs/transactions.md)."""

    def check(value: str) -> str:
        level = value.strip().lower()
        if level not in _LEVELS:
            raise invalid(name, value, f"Available values: {', '.join(_LEVELS)}.")
        return level

    return check


TRANSACTION_MODES: Final = (
    "transaction_isolation",
    "transaction_read_only",
    "transaction_deferrable",
)
"""Settings of the transaction, not of the session: they are its defaults again afterwards."""


def _timeout(name: str, default: str) -> Setting:
    return Setting(name, default, _duration(name))


_MESSAGE_LEVELS: Final = (
    *("debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"),
)

_SEEN: Final = "shardrouter.session_token"
"""SHOW answers what the session has seen by then, and SET adds to it; RESET takes nothing away."""
_SLOW: Final = "log_min_duration_statement"

_SETTINGS: Final = {
    setting.name.lower(): setting
    for setting in (
        *WITHOUT_EFFECT,
        Setting("client_min_messages", "notice", one_of("client_min_messages", _MESSAGE_LEVELS)),
        Setting("application_name", "", _name, announced=True),
        Setting("client_encoding", "UTF8", _encoding, announced=True),
        Setting("DateStyle", "ISO, MDY", _date_style, announced=True),
        Setting("default_placement", "sharded", _placement),
        Setting("extra_float_digits", "1", _float_digits),
        Setting("integer_datetimes", "on", announced=True),
        Setting("IntervalStyle", "postgres", one_of("IntervalStyle", ["postgres"]), announced=True),
        Setting("is_superuser", "off", announced=True),
        Setting("search_path", '"$user", public', _search_path),
        Setting("server_encoding", "UTF8", announced=True),
        Setting("server_version", "15.0 (shardrouter)", announced=True),
        Setting("server_version_num", "150000"),
        Setting("session_authorization", "shardrouter", announced=True),
        Setting("shardrouter.consistency", "linearizable", check_level),
        Setting(
            "shardrouter.broadcast_rows_max", "1000", _count("shardrouter.broadcast_rows_max", 0)
        ),
        _at_most("shardrouter.finish_bytes_max", 256 * 1024 * 1024),
        _at_most("shardrouter.finish_rows_max", 2_000_000),
        Setting("shardrouter.max_staleness", "1s", _duration("shardrouter.max_staleness")),
        Setting(_SEEN, "", check_token),
        Setting("shardrouter.snapshot", "on", _switch("shardrouter.snapshot")),
        Setting(
            "shardrouter.replica_choice",
            REPLICA_CHOICES[0],
            one_of("shardrouter.replica_choice", REPLICA_CHOICES),
        ),
        Setting(
            "standard_conforming_strings",
            "on",
            _on("standard_conforming_strings"),
            announced=True,
        ),
        _timeout("idle_in_transaction_session_timeout", "0"),
        _timeout("idle_session_timeout", "0"),
        _timeout("lock_timeout", "0"),
        Setting(_SLOW, "-1", _duration_or_never(_SLOW), superuser=True),
        _timeout("statement_timeout", "10s"),
        Setting("TimeZone", "UTC", _time_zone, announced=True),
        Setting("default_transaction_deferrable", "off", _switch("default_transaction_deferrable")),
        Setting(
            "default_transaction_isolation",
            "serializable",
            _isolation("default_transaction_isolation"),
        ),
        Setting(
            "default_transaction_read_only",
            "off",
            _switch("default_transaction_read_only"),
            announced=True,
        ),
        Setting("transaction_deferrable", "off", _switch("transaction_deferrable")),
        Setting("transaction_isolation", "serializable", _isolation("transaction_isolation")),
        Setting("transaction_read_only", "off", _switch("transaction_read_only")),
    )
}

_DEFAULTS: Final = {setting.name: setting.default for setting in _SETTINGS.values()}
_ANNOUNCED: Final = tuple(setting.name for setting in _SETTINGS.values() if setting.announced)


def check_hint(text: str) -> None:
    """Whether what the comment at the head of a statement asks for can be had. Raises 22023."""
    hint = hint_in(text)
    if hint is not None and hint.max_staleness:
        _duration_ms("shardrouter.max_staleness", hint.max_staleness)


def _find(name: str) -> Setting:
    setting = _SETTINGS.get(name.lower())
    if setting is None:
        raise StatementError(f'unrecognized configuration parameter "{name}"', sqlstate="42704")
    return setting


def _nothing_seen() -> str:
    return ""


_TEMPORARY: Final = "temporary schema"
"""Among the facts, and no name of a setting."""


class Settings:
    """The settings of one session at one moment; immutable, `with_value` makes the next."""

    __slots__ = (
        "_announced",
        "_changed",
        "_facts",
        "_token",
        "added_token",
        "application_name",
        "bounds_statements",
        "broadcast_rows_max",
        "consistency",
        "finish_bytes_max",
        "finish_rows_max",
        "idle_in_transaction_s",
        "idle_session_s",
        "lock_timeout_s",
        "placement",
        "read_only",
        "search_path",
        "slow_s",
        "snapshot",
        "statement_timeout_s",
        "temporary",
    )

    def __init__(
        self,
        changed: Mapping[str, str] | None = None,
        facts: Mapping[str, str] | None = None,
        token: Callable[[], str] = _nothing_seen,
    ) -> None:
        """facts: values that the session has from its start and cannot change. token: what it has
        seen, whenever that is asked."""
        self._token = token
        self._changed = dict(changed or {})
        self._facts = dict(facts or {})
        self._announced: tuple[tuple[str, str], ...] | None = None
        self.added_token = self._changed.get(_SEEN, "")
        """What SET said that the session has seen."""
        value = self._value
        self.application_name = value("application_name")
        self.statement_timeout_s = self._timeout_s("statement_timeout") or STATEMENT_TIMEOUT_S_MAX
        self.bounds_statements = "statement_timeout" in self._changed | self._facts
        """Whether somebody has set that, so that it holds for all of them."""
        self.idle_session_s = self._timeout_s("idle_session_timeout")
        self.idle_in_transaction_s = self._timeout_s("idle_in_transaction_session_timeout")
        self.lock_timeout_s = self._timeout_s("lock_timeout")
        self.slow_s = float("inf") if value(_SLOW) == "-1" else self._timeout_s(_SLOW)
        """What takes at least so long is logged."""
        self.placement = cast("Placement", value("default_placement"))
        self.consistency = self.hinted(Hint())
        """Of reads that ask for nothing themselves."""
        self.snapshot = value("shardrouter.snapshot") == "on"
        """Whether linearizable reads of several shards are of one instant."""
        self.broadcast_rows_max = int(value("shardrouter.broadcast_rows_max"))
        self.finish_bytes_max = int(value("shardrouter.finish_bytes_max"))
        self.finish_rows_max = int(value("shardrouter.finish_rows_max"))
        self.read_only = value("transaction_read_only") == "on"
        role = value("session_authorization")
        named = schemas_listed(value("search_path"))
        path = tuple(role if name == "$user" else name for name in named)
        self.temporary = self._facts.get(_TEMPORARY, "")
        """The schema of the session's temporary tables; empty without any."""
        if "pg_temp" in path:
            path = tuple(self.temporary if name == "pg_temp" else name for name in path)
        elif self.temporary:
            path = (self.temporary, *path)
        self.search_path = path
        """Where names without a schema are looked for."""

    def hinted(self, hint: Hint) -> Level:
        """What a read asks for that says so itself. Raises StatementError 22023."""
        name = hint.consistency or self._value("shardrouter.consistency")
        staleness = hint.max_staleness or self._value("shardrouter.max_staleness")
        return level_named(name, _duration_ms("shardrouter.max_staleness", staleness))

    def get(self, name: str) -> str:
        """The value as SHOW answers it. Raises StatementError 42704 for an unknown name."""
        own = self._changed.get(name.lower(), self._facts.get(name.lower()))
        if own is not None and is_custom(name):
            return own
        setting = _find(name)
        return self._token() if setting.name == _SEEN else self._value(setting.name)

    def _value(self, name: str) -> str:
        """The same of a setting that there is, as it is spelt; not of the token."""
        found = self._changed.get(name)
        if found is not None:
            return found
        if name in TRANSACTION_MODES:
            return self._value(f"default_{name}")
        found = self._facts.get(name)
        return _DEFAULTS[name] if found is None else found

    def all(self) -> tuple[tuple[str, str, str], ...]:
        """Of each setting its name, its value, and what RESET goes back to."""
        reset = Settings(facts=self._facts, token=self._token)
        names = [setting.name for setting in _SETTINGS.values()]
        return tuple(
            (name, self.get(name), reset.get(name)) for name in sorted(names, key=str.lower)
        )

    def with_value(self, name: str, value: str | None) -> Settings:
        """After SET, or RESET if `value` is None (of all, if `name` is `all`).

        Raises StatementError 42704 (no such setting), 22023 (not a value of it), 55P02 (it
        cannot be changed), 42501 (by others only).
        """
        if value is None and name.lower() == "all":
            return Settings(facts=self._facts, token=self._token)
        changed = dict(self._changed)
        self._put(changed, name, value)
        return Settings(changed, self._facts, self._token)

    def with_values(self, values: Iterable[tuple[str, str]]) -> Settings:
        """After a SET of each, outside of a transaction. Raises as `with_value`."""
        changed = dict(self._changed)
        for name, value in values:
            # What is of one transaction is checked, and over with its SET.
            is_kept = name.lower() not in TRANSACTION_MODES
            self._put(changed if is_kept else dict(changed), name, value)
        return Settings(changed, self._facts, self._token)

    def _put(self, changed: dict[str, str], name: str, value: str | None) -> None:
        """What SET or RESET of one setting makes of those that were changed."""
        if is_custom(name):
            if value is None and name.lower() in self._facts:
                changed.pop(name.lower(), None)
            else:
                changed[name.lower()] = custom_value(name, value or "", self._facts | changed)
            return
        setting = _find(name)
        if setting.superuser and self._value("is_superuser") != "on":
            raise StatementError(
                f'permission denied to set parameter "{setting.name}"', sqlstate="42501"
            )
        if value is None:
            changed.pop(setting.name, None)
        elif setting.check is None:
            raise StatementError(f'parameter "{setting.name}" cannot be changed', sqlstate="55P02")
        else:
            changed[setting.name] = setting.check(value)

    def with_temporary(self, schema: str) -> Settings:
        """The same for a session that has temporary tables there."""
        return Settings(self._changed, {**self._facts, _TEMPORARY: schema}, self._token)

    def rebased(self) -> Settings:
        """The same values, to which RESET goes back from now on."""
        return Settings(facts=self._facts | self._changed, token=self._token)

    def _timeout_s(self, name: str) -> float:
        """0: none."""
        return _duration_ms(name, self._value(name)) / 1000

    def wants(self, severity: str) -> bool:
        """Whether the client wants to hear notices of this severity. INFO it always does."""
        level = severity.lower()
        wanted = _MESSAGE_LEVELS.index(self.get("client_min_messages"))
        return level == "info" or _MESSAGE_LEVELS.index(level) >= wanted

    def announced(self) -> tuple[tuple[str, str], ...]:
        """What a client is told when it connects."""
        if self._announced is None:
            told = ((name, self._value(name)) for name in _ANNOUNCED)
            self._announced = tuple(told)
        return self._announced

    def announced_since(self, before: Settings) -> tuple[tuple[str, str], ...]:
        """What a client has to be told that knows `before`."""
        told, known = self.announced(), before.announced()
        if told == known:  # nearly always
            return ()
        return tuple(pair for pair in told if pair not in known)
