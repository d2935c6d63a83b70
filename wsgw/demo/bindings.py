"""The bound resources of each account, and the sessions without a stream that wait to be resumed.

RFC 6120 section 7, XEP-0198 section 5. It sends nothing when a session ends: ``host`` does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

from gevent import Greenlet, getcurrent, spawn_later

from wsgw.demo.acknowledgements import Acknowledgements
from wsgw.demo.session import Overflow, Session, Wire
from wsgw.errors import StreamError


class Bindings:
    """The sessions of ``domain`` by account, resource and resumption token.

    ``resumption_window``: the seconds for which a session without a stream can be resumed. ``overflow`` goes
    to each session (see ``Session``). Localparts and ``domain`` are prepared strings, as in a ``JID``.
    """

    def __init__(self, domain: str, resumption_window: float, overflow: Overflow) -> None:
        self.domain = domain
        self.resumption_window = resumption_window
        self._overflow = overflow
        self._by_account: dict[str, dict[str, Session]] = {}
        self._by_token: dict[str, Session] = {}
        self._timers: dict[Session, Greenlet[..., None]] = {}

    def add(self, jid: Any, wire: Wire) -> Session:
        """Bind the full JID ``jid``, which must be free, to a new session on ``wire``."""
        session = Session(jid, wire, self._overflow)
        self._by_account.setdefault(session.localpart, {})[str(jid.resource)] = session
        return session

    def remove(self, session: Session) -> None:
        """Free the resource of ``session``; it can no longer be resumed."""
        self._stop_timer(session)
        if session.acknowledgements is not None and session.acknowledgements.token is not None:
            self._by_token.pop(session.acknowledgements.token, None)
        resources = self._by_account.get(session.localpart, {})
        if resources.get(str(session.jid.resource)) is session:
            del resources[str(session.jid.resource)]
        if not resources:
            self._by_account.pop(session.localpart, None)

    def find(self, jid: Any) -> Session | None:
        """The session bound to ``jid``; None for a bare JID, a free resource or another domain."""
        if not jid.resource or jid.domain != self.domain:
            return None
        return self._by_account.get(str(jid.local), {}).get(str(jid.resource))

    def of(self, localpart: str) -> list[Session]:
        """All sessions of the account ``localpart``."""
        return list(self._by_account.get(localpart, {}).values())

    def available(self, localpart: str) -> list[Session]:
        """The account's available sessions (RFC 6121 section 4.2)."""
        return [session for session in self.of(localpart) if session.available]

    def __iter__(self) -> Iterator[Session]:
        for resources in list(self._by_account.values()):
            yield from list(resources.values())

    def manage(self, session: Session, resumable: bool) -> Acknowledgements:
        """Begin stream management on ``session``; its token is None unless ``resumable``."""
        token = secrets.token_urlsafe(18) if resumable else None
        session.acknowledgements = Acknowledgements(token)
        if token is not None:
            self._by_token[token] = session
        return session.acknowledgements

    def resumable(self, token: str) -> Session | None:
        """The session that ``<resume previd='token'/>`` names."""
        return self._by_token.get(token)

    def detach(self, session: Session, expire: Callable[[Session], None]) -> None:
        """Keep ``session`` without a stream; call ``expire`` unless a stream resumes it within the window."""
        session.wire = None
        self._timers[session] = spawn_later(self.resumption_window, expire, session)

    def attach(self, session: Session, wire: Wire) -> None:
        """Move ``session`` to ``wire``. A stream that still holds it ends with ``conflict``."""
        self._stop_timer(session)
        holder, session.wire = session.wire, wire
        if holder is not None:
            holder.end(StreamError("conflict", "The session was resumed elsewhere."))

    def _stop_timer(self, session: Session) -> None:
        timer = self._timers.pop(session, None)
        # The timer itself may be ending the session: it must not kill itself half way.
        if timer is not None and timer is not getcurrent():
            timer.kill(block=False)
