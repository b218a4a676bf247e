"""Writes down what a real PostgreSQL says: `tests/testdata/wire/postgresql-15.jsonl`.

    python -m tests.shardrouter.pgwire.record_postgresql HOST PORT USER > FILE

The server is a throw-away one that trusts everybody, with a role `scram` whose password is
`pencil` (`ALTER SYSTEM SET password_encryption`, a line for it in pg_hba.conf). One line for each
conversation: what was sent and what came back, in hexadecimal.
"""

from __future__ import annotations

import json
import socket
import sys

from shardrouter.pgwire import messages as m

SYNC = m.Sync()
S, P = m.Target.STATEMENT, m.Target.PORTAL

CONVERSATIONS: dict[str, list[m.FrontendMessage]] = {
    "simple": [m.Query("SELECT 1 AS one, NULL, 'é'::text, true, 1.5::float8")],
    "empty": [m.Query(" ")],
    "several": [
        m.Query("CREATE TEMP TABLE c (a int); INSERT INTO c VALUES (1), (2); SELECT a FROM c")
    ],
    "error": [m.Query("SELECT nosuch FROM pg_class")],
    "notice": [m.Query("DROP TABLE IF EXISTS nosuch")],
    "constraint": [
        m.Query("CREATE TEMP TABLE u (a int PRIMARY KEY, b text NOT NULL)"),
        m.Query("INSERT INTO u VALUES (1, 'x'), (1, 'y')"),
        m.Query("INSERT INTO u VALUES (2, NULL)"),
    ],
    "internal": [m.Query("DO $$ BEGIN EXECUTE 'SELEC 1'; END $$")],
    "transaction": [m.Query("BEGIN"), m.Query("SELECT 1/0"), m.Query("ROLLBACK")],
    "setting": [m.Query("SET application_name = 'x'")],
    "notify": [m.Query("LISTEN a"), m.Query("NOTIFY a, 'payload'")],
    "extended": [
        m.Parse("s", "SELECT $1::int + 1, $2::text", (0, 25)),
        m.Describe(S, "s"),
        m.Bind("p", "s", (1, 0), (b"\0\0\0\x01", b"x"), (1, 0)),
        m.Describe(P, "p"),
        m.Execute("p", 0),
        m.Close(P, "p"),
        m.Close(S, "s"),
        SYNC,
    ],
    "portal": [
        m.Parse("", "SELECT generate_series(1, 3)", ()),
        m.Bind("", "", (), (), ()),
        *(m.Execute("", 2), m.Execute("", 2)),
        SYNC,
    ],
    "no data": [m.Parse("", "BEGIN", ()), m.Describe(S, ""), SYNC],
    "skipped": [m.Parse("", "SELEC", ()), m.Flush(), m.Parse("", "SELECT 1", ()), SYNC],
    "copy out": [m.Query("COPY (SELECT 1, 'x') TO STDOUT")],
    "copy in": [
        m.Query("CREATE TEMP TABLE i (a int)"),
        m.Query("COPY i FROM STDIN"),
        m.CopyData(b"1\n"),
        m.CopyDone(),
    ],
    "copy fail": [
        m.Query("CREATE TEMP TABLE f (a int)"),
        m.Query("COPY f FROM STDIN (FORMAT binary)"),
        m.CopyFail("no"),
    ],
}
STARTUPS = {
    "greeting": m.StartupMessage(3, 0, (("user", "postgres"), ("database", "postgres"))),
    "newer": m.StartupMessage(3, 9, (("user", "postgres"), ("_pq_.x", "1"))),
    "unknown user": m.StartupMessage(3, 0, (("user", "nosuch"),)),
    "scram": m.StartupMessage(3, 0, (("user", "scram"), ("database", "postgres"))),
}


def converse(address: tuple[str, int], said: list[bytes]) -> bytes:
    with socket.create_connection(address) as client:
        for data in said:
            client.sendall(data)
        client.sendall(m.encode(m.Terminate()))
        heard = b""
        while piece := client.recv(1 << 16):
            heard += piece
        return heard


def main(host: str, port: str, user: str) -> None:
    address = (host, int(port))
    start = m.encode(m.StartupMessage(3, 0, (("user", user), ("database", "postgres"))))
    talks = {name: [m.encode(packet)] for name, packet in STARTUPS.items()}
    proof = m.SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=rOprNGfwEbeRWgbNEkqO")
    talks["scram"].append(m.encode(proof))
    talks |= {name: [start, *map(m.encode, said)] for name, said in CONVERSATIONS.items()}
    for name, said in talks.items():
        heard = converse(address, said)
        line = {"name": name, "said": [data.hex() for data in said], "heard": heard.hex()}
        print(json.dumps(line))


if __name__ == "__main__":
    main(*sys.argv[1:])
