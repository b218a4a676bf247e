"""Where to connect and as whom: libpq's connection URI, as far as a router needs it.

    postgresql://[user[:password]@][host[:port][,host[:port]...]][/database][?name=value&...]

Several hosts are tried in order; target_session_attrs says what one has to be to be taken. Pure:
the environment comes in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

__all__ = ["SESSION_ATTRS", "SSL_MODES", "DsnError", "Target", "parse_dsn"]

SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
"""libpq's, weakest first. `allow` is taken as `prefer`: it is no weaker."""

SESSION_ATTRS: Final = (
    *("any", "read-write", "read-only", "primary", "standby"),
    "prefer-standby",
)
"""libpq's target_session_attrs. Each router is a primary, and takes writes unless its client's
default_transaction_read_only says otherwise."""

HOSTS_MAX: Final = 64
DEFAULT_PORT: Final = 5432
CONNECT_TIMEOUT_S: Final = 10.0


class DsnError(ValueError):
    """The text is no DSN; the message is a sentence."""


@dataclass(frozen=True)
class Target:
    """Every host is one of the same cluster: who is there first is taken."""

    hosts: tuple[tuple[str, int], ...]
    user: str
    password: str | None = dataclasses.field(default=None, repr=False)
    database: str = ""
    sslmode: str = "prefer"
    sslrootcert: str | None = None
    connect_timeout_s: float = CONNECT_TIMEOUT_S  # of each host
    settings: tuple[tuple[str, str], ...] = ()  # of the startup packet
    session_attrs: str = "any"  # what the host has to be

    def __str__(self) -> str:
        """To be shown: without the password."""
        hosts = ",".join(shown_address(*address) for address in self.hosts)
        return f"postgresql://{quote(self.user, safe='')}@{hosts}/{quote(self.database, safe='')}"

    def beginning_with(self, address: tuple[str, int]) -> Target:
        """The same, the hosts behind `address` first and itself last: it has just gone."""
        if address not in self.hosts:
            return self
        at = self.hosts.index(address) + 1
        return dataclasses.replace(self, hosts=self.hosts[at:] + self.hosts[:at])


def shown_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_dsn(dsn: str, environment: Mapping[str, str]) -> Target:
    """What the DSN leaves out comes from PGUSER, PGPASSWORD, PGDATABASE, PGPORT, PGSSLMODE,
    PGSSLROOTCERT and PGTARGETSESSIONATTRS. Raises DsnError."""
    try:
        parts = urlsplit(dsn.strip())
    except ValueError as exc:
        raise DsnError(f"the DSN is not one: {exc}.") from exc
    if parts.scheme not in ("postgresql", "postgres"):
        raise DsnError(
            "a DSN begins with postgresql://, as in postgresql://user:password@host:port/database."
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    login, _, places = parts.netloc.rpartition("@")
    user, colon, password = login.partition(":")
    port = _port(options.pop("port", environment.get("PGPORT") or str(DEFAULT_PORT)))
    hosts = _hosts(options.pop("host", "") or unquote(places) or "127.0.0.1", port)
    name = options.pop("user", unquote(user)) or environment.get("PGUSER") or ""
    name = name or environment.get("USER") or "postgres"
    secret: str | None = options.pop("password", unquote(password) if colon else None)
    target = Target(
        hosts,
        name,
        environment.get("PGPASSWORD") if secret is None else secret,
        options.pop("dbname", unquote(parts.path.removeprefix("/")))
        or environment.get("PGDATABASE")
        or name,
        options.pop("sslmode", "") or environment.get("PGSSLMODE") or "prefer",
        options.pop("sslrootcert", "") or environment.get("PGSSLROOTCERT") or None,
        _timeout(options.pop("connect_timeout", "")),
        tuple(
            (setting, options.pop(setting))
            for setting in ("application_name", "options")
            if setting in options
        ),
        options.pop("target_session_attrs", "") or environment.get("PGTARGETSESSIONATTRS") or "any",
    )
    if target.sslmode not in SSL_MODES:
        raise DsnError(f"sslmode is one of {', '.join(SSL_MODES)}, not {target.sslmode!r}.")
    if target.session_attrs not in SESSION_ATTRS:
        raise DsnError(
            f"target_session_attrs is one of {', '.join(SESSION_ATTRS)}, "
            f"not {target.session_attrs!r}."
        )
    for ignored in ("channel_binding", "gssencmode", "client_encoding"):
        options.pop(ignored, None)
    if options:
        raise DsnError(f"the DSN has an unknown parameter {min(options)!r}.")
    return target


def _hosts(text: str, port: int) -> tuple[tuple[str, int], ...]:
    found = []
    for place in text.split(","):
        if place.startswith("["):
            host, bracket, rest = place[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise DsnError(f"{place!r} is no address: write [IPv6 address]:port.")
            own = rest[1:]
        else:
            host, _, own = place.partition(":")
        found.append((host or "127.0.0.1", _port(own) if own else port))
    if len(found) > HOSTS_MAX:
        raise DsnError(f"the DSN names {len(found)} hosts, the limit is {HOSTS_MAX}.")
    return tuple(found)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise DsnError(f"{text!r} is no port.")
    return int(text)


def _timeout(text: str) -> float:
    if not text:
        return CONNECT_TIMEOUT_S
    if not (text.isascii() and text.isdigit()):
        raise DsnError(f"connect_timeout is a number of seconds, not {text!r}.")
    return float(text) or CONNECT_TIMEOUT_S
