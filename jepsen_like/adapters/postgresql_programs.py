"""PostgreSQL's programs: where they are, as whom they run, and the files of a member."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jepsen_like.adapters.database import DatabaseError
from jepsen_like.adapters.program import ending_with_us
from jepsen_like.adapters.steps import StepFailed, take
from jepsen_like.backends.backend import Endpoint

__all__ = ["Programs", "USER", "find_programs"]

DEBIAN: Final = Path("/usr/lib/postgresql")

USER: Final = "postgres"
"""Debian's package makes it; PostgreSQL refuses to run as root. Also the superuser's name in it."""

SETTINGS: Final = {
    "hot_standby": "on",
    "wal_level": "replica",
    "wal_keep_size": "512MB",  # a standby that was cut off finds what it missed
    "max_connections": "300",
    "max_wal_senders": "10",
    "shared_buffers": "32MB",
    "jit": "off",
    "unix_socket_directories": "",
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
    "wal_retrieve_retry_interval": "500ms",
    "password_encryption": "md5",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "lc_messages": "C",
}


@dataclass(frozen=True)
class Programs:
    """`at`: their directory; `owner`: the user as whom they run, None: ours; `password_file`: where
    they find the password, which is in no command line and no setting, and so in no log."""

    at: Path
    owner: str | None
    password: str
    password_file: Path = Path("pgpass")

    def version(self) -> str:
        said = subprocess.check_output([self.at / "postgres", "--version"], text=True)
        return said.split()[2]

    def command(self, name: str, *words: str) -> tuple[str, ...]:
        """The command line of one of them, which ends when the harness does."""
        argv = ending_with_us((str(self.at / name), *words))
        if self.owner is None:
            return argv
        as_owner = (f"--reuid={self.owner}", f"--regid={self.owner}", "--init-groups")
        return ("setpriv", *as_owner, *argv)

    def server(self, data: Path, listens: Endpoint, settings: Mapping[str, str]) -> tuple[str, ...]:
        every = {"listen_addresses": listens[0], "port": str(listens[1]), **settings}
        words = (word for name, value in every.items() for word in ("-c", f"{name}={value}"))
        return self.command("postgres", "-D", str(data), *words)

    def own(self, path: Path) -> None:
        """Give a file or directory to whom the programs run as."""
        if self.owner is not None:
            entry = pwd.getpwnam(self.owner)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def keep_password(self) -> None:
        """For those that dial others: for every host, port and database."""
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(f"*:*:*:{USER}:{self.password}\n", encoding="ascii")
        self.own(self.password_file)

    async def make(self, data: Path, settings: Mapping[str, str]) -> None:
        """The files of a new database. Raises DatabaseError."""
        secret = data.parent / "password"
        secret.write_text(self.password, encoding="ascii")
        secret.chmod(0o600)
        self.own(secret)
        try:
            await carry_out(
                self.command(
                    *("initdb", "-D", str(data), "-U", USER, "-A", "md5", "--no-sync"),
                    *("--pwfile", str(secret), "--encoding=UTF8", "--locale=C"),
                    "--wal-segsize=1",
                )
            )
        finally:
            secret.unlink()
        lines = (f"{name} = '{value}'\n" for name, value in {**SETTINGS, **settings}.items())
        (data / "postgresql.conf").write_text("".join(lines), encoding="utf-8")
        with (data / "pg_hba.conf").open("a", encoding="utf-8") as rules:
            rules.write("host all all 0.0.0.0/0 md5\nhost replication all 0.0.0.0/0 md5\n")

    async def copy(self, source: Path, target: Path) -> None:
        """The files of a database that does not run. Raises DatabaseError."""
        await carry_out(("cp", "-a", str(source), str(target)))

    def make_standby(self, data: Path, host: str, primary: Endpoint) -> None:
        """From its next start on the member follows that primary."""
        files = {
            "standby.signal": "",
            "postgresql.auto.conf": f"primary_conninfo = '{self.conninfo(host, primary)}'\n",
        }
        for name, text in files.items():
            (data / name).write_text(text, encoding="utf-8")
            self.own(data / name)

    def conninfo(self, host: str, primary: Endpoint) -> str:
        at = f"host={primary[0]} port={primary[1]} user={USER} passfile={self.password_file}"
        return f"{at} application_name={host} connect_timeout=2"

    def base_backup(self, data: Path, primary: Endpoint) -> tuple[str, ...]:
        """The command line that copies a running primary into `data`, which is not there yet."""
        words = ("-D", str(data), "-X", "stream", "-c", "fast", "--no-sync", "-w")
        at = ("-h", primary[0], "-p", str(primary[1]), "-U", USER)
        found = f"PGPASSFILE={self.password_file}"
        return ("env", found, *self.command("pg_basebackup", *words, *at))


def find_programs(password: str = "") -> Programs:
    """Of the newest version that is installed. Raises DatabaseError."""
    installed = [p for p in DEBIAN.glob("*/bin") if (p / "postgres").exists()]
    elsewhere = shutil.which("postgres")
    if not installed and elsewhere is None:
        raise DatabaseError("PostgreSQL is missing: apt-get install postgresql")
    at = (
        max(installed, key=lambda p: int(p.parent.name))
        if installed
        else Path(str(elsewhere)).resolve().parent
    )
    if os.geteuid() != 0:
        return Programs(at, None, password)
    try:
        pwd.getpwnam(USER)
    except KeyError:
        raise DatabaseError(
            f"PostgreSQL refuses to run as root, and there is no user {USER}: adduser --system "
            f"{USER}, or run as somebody else."
        ) from None
    if shutil.which("setpriv") is None:
        raise DatabaseError("setpriv is missing: apt-get install util-linux")
    return Programs(at, USER, password)


async def carry_out(argv: Sequence[str]) -> None:
    """To its end. Raises DatabaseError."""
    try:
        await take(shlex.join(argv))
    except StepFailed as exc:
        raise DatabaseError(str(exc)) from exc
