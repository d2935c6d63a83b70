"""The accounts of the demo server, in memory: passwords, and the SCRAM keys made of them.

Logins are in ``sasl``, the registration of new accounts is in ``registration``.
"""

from __future__ import annotations

import hmac
import unicodedata
from collections.abc import Mapping
from typing import NamedTuple

from scramp import ScramMechanism

from wsgw.demo.stanzas import StanzaError, parse_jid


class ScramKeys(NamedTuple):
    """The keys that a server makes of a password for one SCRAM mechanism (RFC 5802 section 3)."""

    salt: bytes
    stored_key: bytes
    server_key: bytes
    iterations: int


class Accounts:
    """The accounts of ``domain``, which is a prepared string.

    ``passwords``: localpart → password; the localparts need no preparation (``Alice``). Raises ValueError
    for a name that cannot be a localpart. The localparts of the methods are prepared.
    """

    def __init__(self, domain: str, passwords: Mapping[str, str]) -> None:
        self.domain = domain
        self._passwords: dict[str, str] = {}
        self._scram_keys: dict[tuple[str, str], ScramKeys] = {}
        for name, password in passwords.items():
            localpart = prepare(name)
            if localpart is None:
                raise ValueError(f"{name!r} cannot be the name of an account")
            self.set_password(localpart, password)

    def __contains__(self, localpart: object) -> bool:
        return localpart in self._passwords

    def set_password(self, localpart: str, password: str) -> None:
        """Create the account, or change its password."""
        self._forget_keys(localpart)
        self._passwords[localpart] = password

    def remove(self, localpart: str) -> None:
        """Delete the account."""
        self._forget_keys(localpart)
        self._passwords.pop(localpart, None)

    def verify(self, localpart: str, password: str) -> bool:
        """Whether that account exists and has this password."""
        expected = self._passwords.get(localpart)
        if expected is None:
            return False
        return hmac.compare_digest(_normalised(expected), _normalised(password))

    def may_act_as(self, localpart: str, authzid: str) -> bool:
        """Whether ``authzid`` names the account itself; no account may act for another one."""
        if "@" not in authzid:
            return prepare(authzid) == localpart
        try:
            return str(parse_jid(authzid).bare) == f"{localpart}@{self.domain}"
        except StanzaError:
            return False

    def scram_keys(self, localpart: str, mechanism: str) -> ScramKeys | None:
        """The keys for ``mechanism`` (``SCRAM-SHA-256``), made once; None if no such account exists."""
        password = self._passwords.get(localpart)
        if password is None:
            return None
        key = (localpart, mechanism)
        if key not in self._scram_keys:
            self._scram_keys[key] = ScramKeys(*ScramMechanism(mechanism).make_auth_info(password))
        return self._scram_keys[key]

    def _forget_keys(self, localpart: str) -> None:
        self._scram_keys = {key: keys for key, keys in self._scram_keys.items() if key[0] != localpart}


def prepare(name: str) -> str | None:
    """``name`` as a localpart (nodeprep), or None if it cannot be one."""
    if not name or "@" in name or "/" in name:
        return None
    try:
        return str(parse_jid(f"{name}@localhost").local) or None
    except StanzaError:
        return None


def _normalised(password: str) -> bytes:
    return unicodedata.normalize("NFKC", password).encode()
