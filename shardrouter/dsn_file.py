"""The file `dsn` beside `cluster.toml`: how its first role connects.

    dsn             postgresql://shardrouter:PASSWORD@HOST:PORT/shardrouter, for its owner only

The first router of a cluster makes it (`shardrouter.access`).
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from nodes.cluster_file import make_file, write_file
from nodes.config import Address, ConfigError

__all__ = [
    "USER",
    "dsn_path",
    "make_dsn",
    "new_dsn",
    "new_password",
    "password_of",
    "read_dsn",
    "replace_dsn",
]

USER: Final = "shardrouter"
"""The role that a cluster begins with, and the database."""

PASSWORD_BYTES: Final = 24


def dsn_path(cluster_file: Path) -> Path:
    return cluster_file.with_name("dsn")


def make_dsn(address: Address, password: str, user: str = USER) -> str:
    return f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{address}/{USER}"


def new_password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)


def new_dsn(cluster_file: Path, address: Address, password: str) -> bool:
    """Write the DSN; False if there is one already."""
    return make_file(dsn_path(cluster_file), make_dsn(address, password) + "\n", 0o600)


def replace_dsn(cluster_file: Path, address: Address, password: str) -> None:
    write_file(dsn_path(cluster_file), make_dsn(address, password) + "\n", 0o600)


def read_dsn(cluster_file: Path) -> str:
    """Raises ConfigError, with what to do."""
    path = dsn_path(cluster_file)
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4096).strip()
    except FileNotFoundError as exc:
        raise ConfigError(
            f"there is no {path}: give a DSN with user and password, or copy that file from where "
            "the first router of the cluster ran."
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read: {exc}.") from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{path} can be read by others on this host: chmod 600 {path}")
    if not password_of(text):
        raise ConfigError(f"{path} holds no DSN with a password.")
    return text


def password_of(dsn: str) -> str:
    try:
        return unquote(urlsplit(dsn).password or "")
    except ValueError:
        return ""
