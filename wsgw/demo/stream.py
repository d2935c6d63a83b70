"""One client's XML stream, as a state machine: header, login, binding, stanzas, end.

RFC 6120 sections 4 to 8. Each state is a method with the name of the state in ejabberd's c2s. ``receive`` and
``end_of_file`` take the client's bytes; the connection queues the answers. It never blocks.
"""

from __future__ import annotations

import logging
import secrets
from typing import Protocol
from xml.etree.ElementTree import Element

from wsgw.demo.elements import (
    NS_BIND,
    NS_CLIENT,
    NS_REGISTER,
    NS_REGISTER_FEATURE,
    NS_SASL,
    NS_SESSION,
    NS_SM,
    NS_STREAM,
    make,
    quote_attribute,
    serialise,
    split_tag,
)
from wsgw.demo.host import Host
from wsgw.demo.login import Login, mechanisms_feature
from wsgw.demo.requests import check
from wsgw.demo.session import Session
from wsgw.demo.stanzas import (
    STANZA_TAGS,
    StanzaError,
    error_reply,
    result_reply,
    stream_error,
)
from wsgw.demo.stream_management import StreamManagement
from wsgw.demo.xml_reader import Event, StreamClosed, StreamOpened, StreamReader
from wsgw.errors import StreamError

log = logging.getLogger(__name__)

_IQ = f"{{{NS_CLIENT}}}iq"
_BIND = f"{{{NS_BIND}}}bind"
_REGISTER = f"{{{NS_REGISTER}}}query"


class Outgoing(Protocol):
    """The connection of a stream, as the stream uses it."""

    def send(self, data: bytes) -> None:
        """Queue bytes."""

    def finish(self) -> None:
        """Close the connection after the queued bytes are sent."""


class Stream:
    """The server's side of one stream, through all its restarts; ``stanza_limit`` in bytes."""

    def __init__(self, host: Host, outgoing: Outgoing, stanza_limit: int) -> None:
        self._host = host
        self._outgoing = outgoing
        self._reader = StreamReader(stanza_limit)
        self._state = self.wait_for_stream
        self._header_sent = False
        self._closed = False
        self._login = Login(host.accounts, self.send)
        self._management = StreamManagement(host.bindings, self)
        self._localpart: str | None = None
        self._session: Session | None = None

    # From the client

    def receive(self, data: bytes) -> None:
        """Handle bytes of the client, which may be split anywhere."""
        try:
            for event in () if self._closed else self._reader.feed(data):
                self._handle(event)
                if self._closed:
                    return
        except StreamError as fault:
            self.end(fault)
        except Exception:
            log.exception("a stream of the demo server failed")
            self.end(StreamError("internal-server-error", "The server made a mistake."))

    def end_of_file(self) -> None:
        """Handle the end of the connection; if it came without a closing tag, the session can be resumed."""
        if not self._closed:
            self._closed = True
            session = self._release()
            if session is not None:
                self._host.lost(session)

    # To the client

    def send(self, element: Element) -> None:
        """Queue one first-level element."""
        self._outgoing.send(serialise(element).encode())

    def end(self, fault: StreamError) -> None:
        """End the stream and the session with a stream error (RFC 6120 section 4.9)."""
        if self._closed:
            return
        if not self._header_sent:
            # RFC 6120 section 4.9.1.2: even then the error follows a header.
            self._send_header()
        self.send(stream_error(fault.condition, fault.text, getattr(fault, "detail", None)))
        self._close()

    def _close(self) -> None:
        """Send the closing tag and end the session."""
        self._closed = True
        self._outgoing.send(b"</stream:stream>")
        self._outgoing.finish()
        session = self._release()
        if session is not None:
            self._host.end(session)

    def _release(self) -> Session | None:
        """Detach from the session and return it; None if another stream has taken it over."""
        session, self._session = self._session, None
        return session if session is not None and session.wire is self else None

    # States

    def _handle(self, event: Event) -> None:
        if isinstance(event, StreamClosed):
            if self._session is not None and self._session.acknowledgements is not None:
                # XEP-0198 section 4: a last <a/> before the end of the stream.
                handled = self._session.acknowledgements.handled
                self.send(make(NS_SM, "a", {"h": str(handled)}))
            self._close()
        else:
            self._state(event)

    def wait_for_stream(self, event: StreamOpened | Element) -> None:
        """Expect a stream header: the first one, or the one after the login."""
        assert isinstance(event, StreamOpened)
        recipient = event.attributes.get("to")
        self._send_header()
        self._check_header(event)
        if not recipient:
            raise StreamError("improper-addressing", "The stream header names no domain in 'to'.")
        if not self._host.serves(recipient):
            raise StreamError("host-unknown", f"Only {self._host.domain} is served here.")
        self.send(self._features())
        self._state = self.wait_for_feature_request if self._localpart is None else self.wait_for_bind

    def wait_for_feature_request(self, event: StreamOpened | Element) -> None:
        """Before the login: expect SASL or registration."""
        assert isinstance(event, Element)
        namespace, _ = split_tag(event.tag)
        if namespace == NS_SASL:
            self._authenticate(event)
        elif event.tag == _IQ and len(event) == 1 and event[0].tag == _REGISTER:
            self._register(event)
        else:
            self._refuse(event)

    def wait_for_bind(self, event: StreamOpened | Element) -> None:
        """After the login: expect binding or resumption."""
        assert isinstance(event, Element)
        if split_tag(event.tag)[0] == NS_SM:
            self._resume(event)
        elif event.tag == _IQ and len(event) == 1 and event[0].tag == _BIND and event.get("type") == "set":
            self._bind(event)
        else:
            self._refuse(event)

    def session_established(self, event: StreamOpened | Element) -> None:
        """After binding: expect stanzas and stream management."""
        assert isinstance(event, Element)
        session = self._session
        assert session is not None
        if event.tag in STANZA_TAGS:
            self._stanza(session, event)
        elif split_tag(event.tag)[0] == NS_SM:
            self._management.handle(session, event)
        else:
            self._refuse(event)

    # Steps

    def _check_header(self, event: StreamOpened) -> None:
        namespace, name = split_tag(event.tag)
        if namespace != NS_STREAM:
            raise StreamError("invalid-namespace", "That is not the namespace of streams.")
        if name != "stream":
            raise StreamError("bad-format", "A stream begins with a stream header.")
        if event.default_namespace not in ("", NS_CLIENT):
            raise StreamError("invalid-namespace", "The content namespace is jabber:client.")
        major = event.attributes.get("version", "0.9").partition(".")[0]
        if not major.isdigit() or int(major) < 1:
            raise StreamError("unsupported-version", "This server speaks XMPP 1.0.")

    def _send_header(self) -> None:
        self._header_sent = True
        self._outgoing.send(
            "<?xml version='1.0'?><stream:stream"
            f" id='{secrets.token_hex(10)}' from={quote_attribute(self._host.domain)}"
            f" version='1.0' xml:lang='en' xmlns:stream='{NS_STREAM}' xmlns='{NS_CLIENT}'>".encode()
        )

    def _features(self) -> Element:
        if self._localpart is None:
            features = make(NS_STREAM, "features", None, mechanisms_feature())
            if self._host.registration.is_open:
                features.append(make(NS_REGISTER_FEATURE, "register"))
            return features
        session = make(NS_SESSION, "session", None, make(NS_SESSION, "optional"))
        return make(NS_STREAM, "features", None, make(NS_BIND, "bind"), session, make(NS_SM, "sm"))

    def _authenticate(self, element: Element) -> None:
        self._localpart = self._login.handle(element)
        if self._localpart is not None:
            self._state = self.wait_for_stream
            self._reader.reset()

    def _register(self, iq: Element) -> None:
        try:
            kind = check(iq)
            registration = self._host.registration
            if kind == "get":
                self.send(result_reply(iq, registration.open_form()))
            elif kind == "set":
                registration.open_account(iq[0])
                self.send(result_reply(iq))
        except StanzaError as error:
            self.send(error_reply(iq, error))

    def _resume(self, element: Element) -> None:
        assert self._localpart is not None
        session = self._management.handle_unbound(self._localpart, element)
        if session is not None:
            self._session = session
            self._state = self.session_established

    def _bind(self, iq: Element) -> None:
        assert self._localpart is not None
        resource = (iq[0].findtext(f"{{{NS_BIND}}}resource") or "").strip()
        try:
            check(iq)
            session = self._host.bind(self._localpart, resource, self)
        except StanzaError as error:
            self.send(error_reply(iq, StanzaError("bad-request", error.text)))
            return
        self._session = session
        self._state = self.session_established
        jid = make(NS_BIND, "jid", text=session.full)
        self.send(result_reply(iq, make(NS_BIND, "bind", None, jid)))

    def _stanza(self, session: Session, stanza: Element) -> None:
        if stanza.tag == _IQ and len(stanza) == 1 and stanza[0].tag == _BIND and stanza.get("type") == "set":
            session.deliver(error_reply(stanza, StanzaError("not-allowed", "A resource is bound already.")))
        else:
            self._host.dispatch(session, stanza)
        if session.acknowledgements is not None:
            session.acknowledgements.handle()

    def _refuse(self, element: Element) -> None:
        """End the stream because of an element that this state does not accept. Raises StreamError."""
        namespace, _ = split_tag(element.tag)
        if element.tag in STANZA_TAGS and self._session is None:
            # RFC 6120 sections 4.9.3.12 and 7.1.
            raise StreamError("not-authorized", "Log in and bind a resource first.")
        if namespace in ("", NS_CLIENT):
            raise StreamError("unsupported-stanza-type", "There is no such stanza.")
        raise StreamError("invalid-namespace", "That namespace has no place here.")
