"""A login with an account, as a client does it: in both framings, with messages, and a resumed session."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

from gevent import socket, ssl

from wsgw.config.cross_checks import is_loopback
from wsgw.config.model import HANDLER
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Account, Check, Inquiry
from wsgw.doctor.names import LookupFailed
from wsgw.doctor.reach import at_most, connect, local_address, shown
from wsgw.doctor.tls import trusting, verifying
from wsgw.doctor.upgrade import enter
from wsgw.doctor.websocket import dial_listener, no_gateway, origin_of, public_url
from wsgw.probe.session import (
    Framing,
    Legacy,
    LoginRefused,
    Rfc7395,
    Session,
    StreamFailed,
    max_bytes,
    offers_management,
)
from wsgw.probe.websocket_client import WebSocketClient, WebSocketFailed

_NAME = "account"
#: Bytes of the large stanza: an avatar, or a picture in a message.
_LARGE = 250_000
#: Bytes of a stanza in addition to its text.
_MARKUP = 1000
#: Seconds for a login or a small message, and for the large one: servers slow a client down, ejabberd in its
#: example to 3000 bytes a second.
_SOON, _LATER = 20.0, 100.0
_FAULTS = (WebSocketFailed, OSError, ValueError, LookupFailed)
_LOGS = "read the logs of wsgw and of the XMPP server"


class _Way(NamedTuple):
    """A way to the WebSocket."""

    url: str
    origin: str
    dial: Callable[[str, int], socket.socket]
    context: ssl.SSLContext

    def enter(self) -> WebSocketClient:
        """An open WebSocket. Raises OSError, WebSocketFailed and LookupFailed."""
        return enter(self.url, self.origin, self.dial, self.context).client


def _check(inquiry: Inquiry) -> Iterator[Finding]:
    account = inquiry.account
    if account is None:
        return
    way = _way(account, inquiry)
    if way is None:
        yield _without_address(account, inquiry)
        return
    parts = urlsplit(way.url)
    if parts.scheme == "ws" and not is_loopback(parts.hostname or ""):
        what = f"no login: {way.url} would carry it over the network without TLS"
        yield _finding(account, "login", Verdict.SKIPPED, what, "name a wss:// address with --url")
        return
    yield from _Trial(account, way, inquiry.quick).findings()


def _way(account: Account, inquiry: Inquiry) -> _Way | None:
    """The public address, whose certificate must be valid; without one a listener of this machine.

    The certificate of host-meta must be valid too: another machine would name its address, for which it has
    a valid certificate, and get the password.
    """
    origin = origin_of(account.domain, inquiry)
    url = public_url(account.domain, inquiry, genuine=True)
    if url:
        dial = partial(connect, server=inquiry.resolver)
        return _Way(url, origin, dial, verifying(inquiry.cafile))
    for listener in inquiry.config.listeners if inquiry.config is not None else ():
        for path in listener.paths_of(HANDLER)[:1]:
            if not no_gateway(listener):
                address = local_address(listener.ip)
                scheme = "wss" if listener.tls else "ws"
                url = f"{scheme}://{shown(address, listener.port)}{path}"
                return _Way(url, origin, partial(dial_listener, listener, address), trusting())
    return None


def _without_address(account: Account, inquiry: Inquiry) -> Finding:
    doubtful = public_url(account.domain, inquiry)
    if doubtful:
        what = f"no login: the certificate of host-meta, which names {doubtful}, is refused"
        fix = "correct the certificate, name its authority with --cafile, or name the address with --url"
    else:
        what = "the address of the WebSocket is not known, and no gateway of the configuration runs here"
        fix = "name it with --url"
    return _finding(account, "login", Verdict.SKIPPED, what, fix)


class _Trial:
    """The steps of one account."""

    def __init__(self, account: Account, way: _Way, quick: bool) -> None:
        self._account = account
        self._way = way
        self._quick = quick

    def findings(self) -> Iterator[Finding]:
        """All findings; after a failed login the other steps are left out."""
        for framing in (Rfc7395(), Legacy()):
            try:
                client = self._way.enter()
            except ssl.SSLCertVerificationError as fault:
                yield self._failed("login", f"no login at {self._way.url}", fault)
                return
            except _FAULTS:  # another check says why
                what = f"not tried, because no WebSocket opens at {self._way.url}"
                yield _finding(self._account, "login", Verdict.SKIPPED, what)
                return
            try:
                with closing(client):
                    session = self._session(client, framing)
                    with at_most(_SOON):
                        features, mechanism = _log_in(session)
                    what = f"logs in by {mechanism} in {framing.name} at {self._way.url}"
                    yield self._ok("login", what)
                    yield from self._after_login(session, features, framing)
            except _FAULTS as fault:
                yield self._failed("login", f"no login in {framing.name} at {self._way.url}", fault)
                return
        yield from self._resumption()

    def _after_login(self, session: Session, features: Element, framing: Framing) -> Iterator[Finding]:
        yield from self._message(session, framing)
        if isinstance(framing, Rfc7395) and not self._quick:
            yield from self._large(session, features)
        with suppress(*_FAULTS), at_most(_SOON):
            session.leave()

    def _session(self, client: WebSocketClient, framing: Framing) -> Session:
        account = self._account
        return Session(client, (account.localpart, account.password), account.domain, framing)

    def _message(self, session: Session, framing: Framing) -> Iterator[Finding]:
        try:
            with at_most(_SOON):
                session.carry(f"wsgw doctor {secrets.token_hex(8)}")
        except _FAULTS as fault:
            yield self._failed("message", "a message to itself does not arrive", fault)
        else:
            yield self._ok("message", f"a message to itself arrives in {framing.name}")

    def _large(self, session: Session, features: Element) -> Iterator[Finding]:
        limit = max_bytes(features)
        size = min(_LARGE, limit or _LARGE)
        what = f"a stanza of {size // 1000} kB"
        try:
            with at_most(_LATER):
                session.carry("x" * (size - _MARKUP))
        except TimeoutError:
            late = f"{what} does not arrive within {_LATER:g} s: the XMPP server or wsgw slows clients down"
            fix = "ejabberd: shaper of ejabberd_c2s; Prosody: limits; wsgw: shaper"
            yield _finding(self._account, "large", Verdict.NOTE, late, fix)
        except _FAULTS as fault:
            refused = f"{what} ends the session"
            fix = (
                "raise the limit of the XMPP server (ejabberd: max_stanza_size; Prosody: "
                "c2s_stanza_size_limit), or give wsgw the same max_stanza_size"
            )
            yield _finding(self._account, "large", Verdict.FAILED, f"{refused}: {_reason(fault)}", fix)
        else:
            if limit is not None and limit < _LARGE:
                what += f"; the limit is {limit} bytes (max_stanza_size), larger ones end the session"
            yield self._ok("large", f"sends and receives {what}")

    def _resumption(self) -> Iterator[Finding]:
        """Lose the TCP connection, and continue the session by another one (XEP-0198)."""
        try:
            with at_most(_SOON):
                verdict, what, fix = self._try_to_resume()
        except _FAULTS as fault:
            yield self._failed("resumption", "a lost session is not resumed", fault)
        else:
            yield _finding(self._account, "resumption", verdict, what, fix)

    def _try_to_resume(self) -> tuple[Verdict, str, str]:
        with closing(self._way.enter()) as client:
            lost = self._session(client, Rfc7395())
            features, _ = _log_in(lost)
            identifier = lost.enable_resumption() if offers_management(features) else ""
        if not identifier:
            fix = "ejabberd: load mod_stream_mgmt; Prosody: load smacks (XEP-0198)"
            return Verdict.NOTE, "the XMPP server resumes no sessions: clients lose messages", fix
        with closing(self._way.enter()) as client:
            session = self._session(client, Rfc7395())
            session.log_in(session.open())
            session.open()
            if not session.resume(lost, identifier):
                fix = "give sessions time: resume_timeout (ejabberd), smacks_hibernation_time (Prosody)"
                return Verdict.FAILED, "the XMPP server has forgotten the lost session", fix
            with suppress(*_FAULTS):
                session.leave()
        return Verdict.OK, "a session whose connection was cut is resumed", ""

    def _ok(self, step: str, what: str) -> Finding:
        return _finding(self._account, step, Verdict.OK, what)

    def _failed(self, step: str, what: str, fault: Exception) -> Finding:
        return _finding(self._account, step, Verdict.FAILED, f"{what}: {_reason(fault)}", _fix(fault))


def _log_in(session: Session) -> tuple[Element, str]:
    """(the features after the login, the mechanism of the login)."""
    mechanism = session.log_in(session.open())
    features = session.open()
    session.bind()
    return features, mechanism


def _finding(account: Account, step: str, verdict: Verdict, what: str, fix: str = "") -> Finding:
    return Finding(f"{_NAME}.{step}", account.jid, verdict, what, fix)


def _reason(fault: Exception) -> str:
    if isinstance(fault, TimeoutError):
        return "no answer in time"
    if isinstance(fault, LookupFailed):
        return fault.what
    if isinstance(fault, ssl.SSLCertVerificationError):
        return f"the certificate is refused ({fault.verify_message})"
    return str(fault)


def _fix(fault: Exception) -> str:
    if isinstance(fault, LookupFailed):
        return fault.fix
    if isinstance(fault, ssl.SSLCertVerificationError):
        return "correct the certificate, or name its authority with --cafile; the password was not sent"
    if isinstance(fault, LoginRefused):
        if fault.condition in ("not-authorized", "account-disabled", "credentials-expired"):
            return "correct the JID or the password, or check the account in the XMPP server"
        return "let the XMPP server offer SCRAM-SHA-256, SCRAM-SHA-1 or PLAIN on the port of upstream"
    if isinstance(fault, StreamFailed) and fault.condition == "remote-connection-failed":
        return "see the finding about the upstream"
    return _LOGS


ACCOUNT = Check(_NAME, _check, seconds=300.0)
