"""The store of runs in a browser, on loopback: read only, no script, nothing from elsewhere.

A request names runs and files by the names that the store itself lists, so no path is ever made
from what a request says. A name in the Host header that is not this machine's is refused: a page
from elsewhere must not read the store through a name of its own that leads here (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from jepsen_like.report.document import render
from jepsen_like.store.differences import differences, in_words
from jepsen_like.store.runs import StoredRun, StoreError, runs_in

__all__ = ["StoreServer", "serve_store"]

HOST: Final = "127.0.0.1"
NAMES: Final = frozenset((HOST, "localhost"))
CHUNK: Final = 1 << 20
FILE_SECONDS_MAX: Final = 30
"""A client that does not read for so long is hung up on."""

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "text/plain; charset=utf-8",
    ".xml": "application/xml",
}


class NotFound(Exception):
    """One sentence for the reader."""


class StoreServer(ThreadingHTTPServer):
    """Serves the runs in `directory`; `url` says where. Raises OSError if the port is taken."""

    daemon_threads = True

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        super().__init__((HOST, port), _Handler)
        self.url = f"http://{HOST}:{self.server_port}/"


def serve_store(directory: Path, port: int, ready: Callable[[str], None]) -> None:
    """Serve until interrupted. Raises OSError with a sentence if the port is taken."""
    try:
        server = StoreServer(directory, port)
    except OSError as exc:
        raise OSError(f"port {port} cannot be had ({exc.strerror}); try --port 0.") from exc
    with server:
        ready(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


class _Handler(BaseHTTPRequestHandler):
    server: StoreServer
    server_version = "jepsen-like"
    sys_version = ""
    timeout = FILE_SECONDS_MAX

    def do_GET(self) -> None:
        if urlsplit(f"//{self.headers.get('Host', '')}").hostname not in NAMES:
            self.send_error(HTTPStatus.FORBIDDEN, "Ask for 127.0.0.1 or localhost")
            return
        try:
            where = urlsplit(self.path)
            parts = [unquote(part) for part in where.path.split("/") if part]
            query = {name: values[0] for name, values in parse_qs(where.query).items()}
            runs, unreadable = runs_in(self.server.directory)
            match parts:
                case []:
                    self._page(list_page(runs, unreadable, query.get("q", "")))
                case ["diff"]:
                    self._page(diff_page(_run(runs, query.get("a")), _run(runs, query.get("b"))))
                case ["run", name]:
                    self._page(run_page(_run(runs, name)))
                case ["run", name, *file]:
                    self._file(_run(runs, name), "/".join(file))
                case _:
                    raise NotFound("there is no such page; the list of runs is at /")
        except (NotFound, StoreError) as exc:
            self.send_error(HTTPStatus.NOT_FOUND, str(exc).splitlines()[0])

    def _page(self, text: str) -> None:
        content = text.encode()
        self._head("text/html; charset=utf-8", len(content))
        self.wfile.write(content)

    def _file(self, run: StoredRun, name: str) -> None:
        if name not in run.files:
            raise NotFound(f"this run has {', '.join(run.files)}")
        path = run.directory / name
        with path.open("rb") as file:
            left = path.stat().st_size  # a file that grows is shown as it was
            self._head(_TYPES.get(path.suffix, "text/plain; charset=utf-8"), left)
            while left and (chunk := file.read(min(CHUNK, left))):
                self.wfile.write(chunk)
                left -= len(chunk)

    def _head(self, kind: str, size: int) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for people."""


def _run(runs: list[StoredRun], name: str | None) -> StoredRun:
    found = next((run for run in runs if run.name == name), None)
    if found is None:
        raise NotFound("there is no such run; the list of runs is at /")
    return found


def list_page(runs: list[StoredRun], unreadable: list[str], wanted: str) -> str:
    """The runs of which a shown word contains `wanted`, in any case; all without it."""
    words = wanted.casefold().split()
    shown = [run for run in runs if all(word in _text(run) for word in words)]
    return render("store.html.j2", runs=shown, total=len(runs), unreadable=unreadable, q=wanted)


def _text(run: StoredRun) -> str:
    of = run.results
    shown = (run.name, of["name"], of["validity"], of["seed"], of["backend"], run.labels)
    return " ".join(map(str, shown)).casefold()


def run_page(run: StoredRun) -> str:
    return render("stored_run.html.j2", run=run)


def diff_page(a: StoredRun, b: StoredRun) -> str:
    found = differences(a.results, b.results)
    return render("diff.html.j2", a=a, b=b, found=found, summary=in_words(found))
