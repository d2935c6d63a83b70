"""Which resources of which accounts are bound, and for how long a lost one waits to be resumed.

RFC 6120 section 7, XEP-0198 section 5. It tells nobody of an end: who ends a session says so (see ``host``).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

from gevent import Greenlet, getcurrent, spawn_later

from wsgw.demo.acknowledgements import Acknowledgements
from wsgw.demo.session import Overflow, Session, Wire


class Sessions:
    """The sessions of one domain, attached to a stream or waiting for one."""

    def __init__(self, resumption_window: float, overflow: Overflow) -> None:
        self.resumption_window = resumption_window
        self._overflow = overflow
        self._by_account: dict[str, dict[str, Session]] = {}
        self._by_token: dict[str, Session] = {}
        self._timers: dict[Session, Greenlet[..., None]] = {}

    def add(self, jid: Any, wire: Wire) -> Session:
        """A new session for the full JID ``jid``, which must be free."""
        session = Session(jid, wire, self._overflow)
        self._by_account.setdefault(session.localpart, {})[str(jid.resource)] = session
        return session

    def remove(self, session: Session) -> None:
        """Forget the session."""
        self._stop_timer(session)
        if session.acknowledgements is not None and session.acknowledgements.token is not None:
            self._by_token.pop(session.acknowledgements.token, None)
        resources = self._by_account.get(session.localpart, {})
        if resources.get(str(session.jid.resource)) is session:
            del resources[str(session.jid.resource)]
        if not resources:
            self._by_account.pop(session.localpart, None)

    def find(self, localpart: str, resource: str) -> Session | None:
        """The session bound to that resource."""
        return self._by_account.get(localpart, {}).get(resource)

    def of(self, localpart: str) -> list[Session]:
        """All sessions of the account."""
        return list(self._by_account.get(localpart, {}).values())

    def available(self, localpart: str) -> list[Session]:
        """The account's available sessions (RFC 6121 section 4.2)."""
        return [session for session in self.of(localpart) if session.available]

    def __iter__(self) -> Iterator[Session]:
        for resources in list(self._by_account.values()):
            yield from list(resources.values())

    def manage(self, session: Session, resumable: bool) -> Acknowledgements:
        """Begin stream management on ``session``."""
        token = secrets.token_urlsafe(18) if resumable else None
        session.acknowledgements = Acknowledgements(token)
        if token is not None:
            self._by_token[token] = session
        return session.acknowledgements

    def resumable(self, token: str) -> Session | None:
        """The session that ``<resume previd='token'/>`` means."""
        return self._by_token.get(token)

    def detach(self, session: Session, expire: Callable[[Session], None]) -> None:
        """The stream is lost: keep the session, and call ``expire`` if nobody resumes it in time."""
        session.wire = None
        self._timers[session] = spawn_later(self.resumption_window, expire, session)

    def attach(self, session: Session, wire: Wire) -> None:
        """Another stream takes the session over."""
        self._stop_timer(session)
        session.wire = wire

    def _stop_timer(self, session: Session) -> None:
        timer = self._timers.pop(session, None)
        # The timer itself may be the one that ends the session: it must not kill itself half way.
        if timer is not None and timer is not getcurrent():
            timer.kill(block=False)
