"""A server's side of a connection that takes whatever comes: what its driver would do."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from shardrouter.pgwire import Connection, ProtocolError, State
from shardrouter.pgwire import messages as m
from shardrouter.pgwire.scram import Exchange, SaslError, make_verifier

__all__ = ["FATAL", "drive", "split_answers"]

FATAL = m.Report("FATAL", "08P01", "no")
VERIFIER = make_verifier("pencil", b"salt", 1)


def drive(
    chunks: Iterable[bytes],
    *,
    fails: Callable[[], bool] = lambda: False,
    encrypts: bool = True,
    asks: bool = True,
) -> Connection:
    """Feed `chunks` and answer every event. Raises AssertionError where the connection breaks one
    of its promises, and whatever it raises itself.

    fails: whether the next event is answered with an error. encrypts: TLS is granted (and what
    follows is fed as if it came out of it). asks: for a password, and no proof is right.
    """
    connection = Connection()
    exchange = Exchange(VERIFIER, b"nonce")
    fed = 0
    for chunk in chunks:
        connection.receive_data(chunk)
        fed += len(chunk)
        while True:
            assert 0 <= connection.buffered <= fed
            try:
                event = connection.next_event()
            except ProtocolError as error:
                if error.fatal != (connection.state is State.CLOSED):
                    raise AssertionError(f"{error!r} leaves it {connection.state}") from error
                report = m.Report("FATAL", error.sqlstate, error.message)
                (connection.end if error.fatal else connection.fail)(report)
                continue
            if event is None:
                break
            assert connection.event_bytes <= fed
            match event:
                case m.SSLRequest() if encrypts:
                    try:
                        connection.accept_encryption()
                    except ProtocolError:
                        assert connection.state is State.CLOSED
                        connection.end(FATAL)
                case m.SSLRequest() | m.GSSENCRequest():
                    connection.refuse_encryption()
                case m.StartupMessage() if asks:
                    connection.ask_sasl(exchange.mechanisms)
                case m.StartupMessage():
                    connection.greet({}, pid=1, key=b"k" * connection.key_bytes)
                case m.SASLInitialResponse():
                    try:
                        connection.continue_sasl(exchange.first(event.mechanism, event.data))
                    except SaslError:
                        connection.end(FATAL)
                case m.SASLResponse():
                    try:
                        exchange.final(event.data)
                    except SaslError:
                        connection.end(FATAL)
                    else:
                        raise AssertionError("a proof without the password was right")
                case m.CancelRequest() | m.Terminate():
                    assert connection.state is State.CLOSED
                case m.Sync():
                    connection.ready()
                case _ if fails():
                    connection.fail(FATAL)
                case m.Query():
                    connection.ready()
        if connection.state is State.CLOSED:
            assert connection.buffered == 0 or connection.next_event() is None
    split_answers(connection.data_to_send())
    assert connection.unsent == 0
    return connection


def split_answers(data: bytes) -> list[object]:
    """What was said, as a client reads it: perhaps one-byte answers, then messages."""
    while data[:1] in (b"N", b"S") and (len(data) < 5 or data[1:4] != b"\0\0\0"):
        data = data[1:]
    found: list[object] = []
    while data:
        size = 1 + int.from_bytes(data[1:5])
        found.append(m.decode(m.BACKEND[data[0]], data[5:size]))
        data = data[size:]
    return found
