"""The two files that describe a cluster on a host: `cluster.toml`, and `cluster.secret` beside it.

The secret is 32 random bytes in hex, readable by its owner only. A cluster without the file has
none, and its nodes listen on loopback only.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Final

from nodes.config import ClusterConfig, ConfigError, format_cluster, parse_cluster
from nodes.durability import sync_directory
from nodes.handshake import SECRET_BYTES

__all__ = ["load_cluster", "make_file", "new_secret", "secret_path", "write_cluster", "write_file"]

_SECRET_FILE_BYTES_MAX: Final = 2 * SECRET_BYTES + 2


def load_cluster(path: Path) -> ClusterConfig:
    """Read and check a cluster.toml and the secret beside it. Raises ConfigError naming the
    file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read: {exc}.") from exc
    return replace(parse_cluster(text, str(path)), secret=_load_secret(secret_path(path)))


def write_cluster(path: Path, config: ClusterConfig) -> None:
    """Write both files, each whole or not at all, and durable when this returns."""
    if config.secret:
        write_file(secret_path(path), config.secret.hex() + "\n", 0o600)
    write_file(path, format_cluster(config), 0o644)


def secret_path(path: Path) -> Path:
    """Where the secret of the cluster that `path` describes is."""
    return path.with_name("cluster.secret")


def new_secret() -> bytes:
    return os.urandom(SECRET_BYTES)


def _load_secret(path: Path) -> bytes:
    """Empty if there is no such file."""
    try:
        with path.open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_SECRET_FILE_BYTES_MAX).strip()
    except FileNotFoundError:
        return b""
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read: {exc}.") from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{path} can be read by others on this host: chmod 600 {path}")
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise ConfigError(
            f"{path} does not hold {SECRET_BYTES} bytes in hexadecimal; copy it again from another "
            "host of the cluster."
        )
    return secret


def make_file(path: Path, text: str, mode: int) -> bool:
    """Make a file that is not there, whole and durable; False if it is there. Of several
    processes that do so at once one makes it."""
    new = _written(path, text, mode)
    try:
        path.hardlink_to(new)
    except FileExistsError:
        return False
    finally:
        new.unlink()
    sync_directory(path.parent)
    return True


def write_file(path: Path, text: str, mode: int) -> None:
    """Never a mixture of old and new: a reader, or the next start after a crash, finds one of
    the two."""
    new = _written(path, text, mode)
    try:
        new.replace(path)
    except OSError:
        new.unlink()
        raise
    sync_directory(path.parent)


def _written(path: Path, text: str, mode: int) -> Path:
    """A durable file beside `path`, to be put in its place."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")  # a node and a tool may write it at once
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return new
