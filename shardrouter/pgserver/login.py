"""Who a client is, and its proof: from the startup packet to a role that may come in.

It knows roles and SCRAM, not sockets. One message at a time: `begin`, then `prove` for each
answer of the client until there is a role.
"""

from __future__ import annotations

import secrets
from typing import Protocol

from shardrouter.errors import StatementError
from shardrouter.pgwire import messages as m
from shardrouter.pgwire.connection import Connection
from shardrouter.pgwire.scram import NONCE_BYTES, Exchange, SaslError, Verifier
from shardrouter.roles import Role

__all__ = ["Authenticator", "Login"]


class Authenticator(Protocol):
    """Knows the roles."""

    async def find(self, name: str) -> Role | None:
        """Raises RouterError if that cannot be told now."""

    def verifier(self, name: str, role: Role | None) -> Verifier:
        """Of a role that is not there: one that no proof meets, always the same."""


class Login:
    """The login of one client as `user`."""

    def __init__(self, user: str, connection: Connection, binding: bytes | None) -> None:
        """binding: of this server's certificate, if the connection is encrypted."""
        self._user = user
        self._connection = connection
        self._binding = binding
        self._role: Role | None = None
        self._exchange: Exchange | None = None

    async def begin(self, authenticator: Authenticator) -> None:
        """Ask for a proof. A role that is not there is asked like any other."""
        self._role = await authenticator.find(self._user)
        verifier = authenticator.verifier(self._user, self._role)
        nonce = secrets.token_bytes(NONCE_BYTES)
        self._exchange = Exchange(verifier, nonce, binding=self._binding)
        self._connection.ask_sasl(self._exchange.mechanisms)

    def prove(self, answer: m.SASLInitialResponse | m.SASLResponse) -> Role | None:
        """The role, once it is proven. Raises StatementError."""
        assert self._exchange is not None
        try:
            if isinstance(answer, m.SASLInitialResponse):
                question = self._exchange.first(answer.mechanism, answer.data)
                self._connection.continue_sasl(question)
                return None
            proven = self._exchange.final(answer.data)
        except SaslError as error:
            raise StatementError(
                self._failed() if error.sqlstate == "28P01" else error.message,
                sqlstate=error.sqlstate,
                detail=error.detail,
            ) from error
        if self._role is None:
            raise StatementError(self._failed(), sqlstate="28P01")
        if not self._role.may_log_in:
            raise StatementError(
                f'role "{self._user}" is not permitted to log in', sqlstate="28000"
            )
        self._connection.end_sasl(proven)
        return self._role

    def _failed(self) -> str:
        return f'password authentication failed for user "{self._user}"'
