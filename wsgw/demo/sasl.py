"""The SASL mechanisms of the demo server: PLAIN (RFC 4616), SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, 7677).

An exchange takes the client's octets and returns a ``Step``. Base64 and the failure conditions (RFC 6120
section 6.5) are here, the elements in ``login``. There is no channel binding.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Protocol

from scramp import ScramException, ScramMechanism

from wsgw.demo.accounts import Accounts, ScramKeys, prepare
from wsgw.errors import WsgwError

MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN")


class SaslFailure(WsgwError):
    """The login fails with ``condition`` (RFC 6120 section 6.5)."""

    def __init__(self, condition: str, text: str = "") -> None:
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition = condition
        self.text = text


@dataclass(frozen=True, slots=True)
class Step:
    """The server's answer and its ``data``: a challenge, or success if ``localpart`` is set."""

    data: bytes
    localpart: str | None = None


class Exchange(Protocol):
    """One login with one mechanism."""

    def respond(self, data: bytes) -> Step:
        """The answer to the client's ``data``. Raises SaslFailure."""


def begin(mechanism: str, accounts: Accounts) -> Exchange:
    """A new exchange with ``mechanism``. Raises SaslFailure ``invalid-mechanism``."""
    if mechanism == "PLAIN":
        return PlainExchange(accounts)
    if mechanism in MECHANISMS:
        return ScramExchange(mechanism, accounts)
    raise SaslFailure("invalid-mechanism")


def decode(text: str | None) -> bytes | None:
    """The octets in the text of an ``<auth/>`` or ``<response/>``: None without text, empty for ``=``.

    Raises SaslFailure ``incorrect-encoding``.
    """
    stripped = (text or "").strip(" \t\r\n")
    if stripped in ("", "="):
        return b"" if stripped else None
    try:
        data = binascii.a2b_base64(stripped)
    except ValueError as error:
        raise SaslFailure("incorrect-encoding") from error
    if encode(data) != stripped:
        # Python accepts superfluous padding and characters outside of the alphabet.
        raise SaslFailure("incorrect-encoding")
    return data


def encode(data: bytes) -> str | None:
    """``data`` as the text of a ``<challenge/>`` or ``<success/>``; None if it is empty."""
    return b64encode(data).decode("ascii") if data else None


class PlainExchange:
    """PLAIN: one message, ``authzid NUL authcid NUL password``."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def respond(self, data: bytes) -> Step:
        try:
            authzid, authcid, password = data.decode("utf-8").split("\0")
        except ValueError as error:
            raise SaslFailure("malformed-request", "PLAIN wants three fields.") from error
        localpart = prepare(authcid)
        if localpart is None or not self._accounts.verify(localpart, password):
            raise SaslFailure("not-authorized", "Wrong name or password.")
        if authzid and not self._accounts.may_act_as(localpart, authzid):
            raise SaslFailure("invalid-authzid")
        return Step(b"", localpart)


class ScramExchange:
    """SCRAM, by scramp: client-first, server-first, client-final, server-final."""

    def __init__(self, mechanism: str, accounts: Accounts) -> None:
        self._mechanism = mechanism
        self._accounts = accounts
        self._localpart: str | None = None
        self._started = False
        self._server: Any = ScramMechanism(mechanism).make_server(self._keys)

    def respond(self, data: bytes) -> Step:
        try:
            text = data.decode("utf-8")
            if not self._started:
                self._started = True
                self._server.set_client_first(text)
                return Step(self._server.get_server_first().encode())
            self._server.set_client_final(text)
            return Step(self._server.get_server_final().encode(), self._localpart)
        except UnicodeDecodeError as error:
            raise SaslFailure("malformed-request", "SCRAM is UTF-8.") from error
        except ScramException as error:
            raise self._failure(error) from error

    def _keys(self, username: str) -> ScramKeys | None:
        self._localpart = prepare(username)
        return self._accounts.scram_keys(self._localpart, self._mechanism) if self._localpart else None

    @staticmethod
    def _failure(error: ScramException) -> SaslFailure:
        # A member of an enumeration; a string before scramp 1.5, the newest versions for Python 3.10.
        reason = getattr(error.server_error, "value", error.server_error) or "other-error"
        if reason in ("unknown-user", "invalid-proof"):
            return SaslFailure("not-authorized", "Wrong name or password.")
        return SaslFailure("malformed-request", f"SCRAM: {reason}.")
