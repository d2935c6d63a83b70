"""Who may see the sessions: requests with the listener's token, or with a cookie that the token has made.

The cookie has the end of its life, and an HMAC of it with the token as the key. So every worker can check it,
before and after a restart, and a new token makes all cookies worthless. It is not the token, and does not
reveal it.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Callable
from enum import Enum
from time import monotonic, time
from typing import Final

log = logging.getLogger("wsgw.ops.admin")

COOKIE: Final = "wsgw_admin"
#: Seconds for which a cookie is valid.
LIFETIME: Final = 3600
#: Wrong tokens that a worker checks at once, and seconds until it checks one more: a short token cannot be
#: guessed, even by a program on this machine.
BURST: Final = 10
PAUSE: Final = 6.0
_VALUE: Final = re.compile(r"(\d{1,12})\.([0-9a-f]{64})", re.ASCII)


class Caller(Enum):
    """Who sends a request."""

    #: It has neither a token nor a cookie that is valid.
    UNKNOWN = "unknown"
    #: A browser, which sends the cookie by itself, also for a request that another site has caused.
    COOKIE = "cookie"
    #: A program, which has the token.
    TOKEN = "token"
    #: A token came after too many wrong ones, and was not checked.
    LIMITED = "limited"


class WrongTokens:
    """Limits the wrong tokens of one worker, whichever the listener."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        #: When all ``BURST`` attempts are free again (monotonic).
        self._free_at = 0.0

    @property
    def too_many(self) -> bool:
        """Whether no token is checked now."""
        return self._free_at - self._clock() > (BURST - 1) * PAUSE

    def add(self) -> None:
        """Count a wrong token."""
        self._free_at = max(self._free_at, self._clock()) + PAUSE


class Access:
    """Checks the requests of one listener."""

    def __init__(self, token: str, port: int, wrong: WrongTokens) -> None:
        self._token = token.encode()
        #: Browsers send a cookie to all ports of a host: it is valid for one.
        self._port = port
        self._wrong = wrong

    def caller(self, authorization: str, cookies: str) -> Caller:
        """The caller with these header fields, empty if they are missing."""
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return self.check(credentials.strip())
        for cookie in cookies.split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == COOKIE and self._is_valid(value):
                return Caller.COOKIE
        return Caller.UNKNOWN

    def check(self, token: str) -> Caller:
        """Whether ``token`` is the right one: ``TOKEN``, ``UNKNOWN`` or ``LIMITED``."""
        if self._wrong.too_many:
            return Caller.LIMITED
        given = token.encode("utf-8", "replace")
        # Of digests: the time of a comparison must not depend on the length of the token either.
        if hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(self._token).digest()):
            return Caller.TOKEN
        self._wrong.add()
        log.warning("wrong token on the admin listener on port %d", self._port)
        return Caller.UNKNOWN

    def new_cookie(self) -> str:
        """The value of a cookie that is valid from now on."""
        expires = int(time()) + LIFETIME
        return f"{expires}.{self._signature(expires)}"

    def _is_valid(self, value: str) -> bool:
        parts = _VALUE.fullmatch(value)
        if parts is None:
            return False
        expires = int(parts[1])
        is_signed = hmac.compare_digest(parts[2], self._signature(expires))
        return is_signed and time() < expires <= time() + LIFETIME

    def _signature(self, expires: int) -> str:
        return hmac.new(self._token, f"{COOKIE} {self._port} {expires}".encode(), hashlib.sha256).hexdigest()
