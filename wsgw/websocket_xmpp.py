"""The state machine of one XMPP session: a WebSocket on one side, the XMPP server on the other.

Events go in through public methods. Out come messages for the browser (by ``send`` and ``close`` of
the WebSocket), bytes for the server in ``to_upstream``, and two wishes: ``connect_to``, a domain to
connect to, and ``upstream_finished``, that the connection to the server be flushed and ended. It
touches no socket and knows no clock.

Erlang twin: the gen_fsm ``websocket_xmpp``, whose single state was ``loop``; the states before and
after it are spelled out here, where the original crashed. Endings follow one rule: a stream ends
at the server with an end tag only if the client closed it, the server did, or the client broke the
rules; else the server hears a bare FIN and may keep the session for resumption (XEP-0198).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

from wsgw.errors import CloseCode, Farewell, SessionError, StreamError, UpstreamFailed, causes
from wsgw.errors.causes import NOT_ENDED, Cause, Ending
from wsgw.stanzas.client import ClientStanzas, client_stanzas
from wsgw.stanzas.cutter import SERVER_STANZA_LIMIT, STREAM_END
from wsgw.stanzas.parser import STANZAS, STREAM, WHITESPACE, split_name
from wsgw.stanzas.server import Fault, ServerElements, ServerStream
from wsgw.stanzas.start_tag import Opening, parse_opening, without_declaration
from wsgw.xmpp.domain import is_domain
from wsgw.xmpp.features import FEATURES, for_client, offers_channel_binding, warn_of_channel_binding
from wsgw.xmpp.framing import (
    CLOSE,
    OPEN,
    Framing,
    LegacyFraming,
    Rfc7395Framing,
    choose_framing,
    is_legacy,
    require_opening,
)
from wsgw.xmpp.header import ERROR, condition_of
from wsgw.xmpp.login import ENABLED, IQ, MAX_AUTH_TIMES, Login

log = logging.getLogger("wsgw.websocket_xmpp")

#: How long the server may take to answer the end of a stream, in seconds.
CLOSE_ANSWER_TIMEOUT = 2.0
#: Attributes and declarations of a client's header.
MAX_HEADER_ATTRIBUTES = 256

_NO_OPENING = Opening("", "stream", (), (), b"", closed=False)


class XmppLimits(NamedTuple):
    """What one client may do: sizes in bytes, times in seconds."""

    max_stanza_size: int
    max_depth: int
    max_attributes: int
    open_timeout: float
    auth_timeout: float


class Browser(Protocol):
    """What the XMPP side needs of the WebSocket."""

    max_message_size: int

    def send(self, text: bytes) -> None:
        """Send one text message."""

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake."""


class WebSocketXmpp:
    """One XMPP session over one WebSocket."""

    __slots__ = (
        "_browser",
        "_client_stanzas",
        "_deadline",
        "_framing",
        "_header_sent",
        "_latest_deadline",
        "_limits",
        "_see_other_uri",
        "_server_events",
        "_server_stream",
        "_serves",
        "_state",
        "_upstream_open",
        "connect_to",
        "domain",
        "ending",
        "login",
        "pauses",
        "repaired",
        "stanzas_from_client",
        "stanzas_to_client",
        "to_upstream",
        "upstream_finished",
    )

    def __init__(
        self,
        browser: Browser,
        limits: XmppLimits,
        serves: Callable[[str], str | None],
        now: float,
        see_other_uri: Callable[[str], str | None] = lambda _host: None,
    ) -> None:
        """``serves`` gives the normalised domain for a ``to``, or None if it is not served here.

        ``see_other_uri`` gives the URI for a host the server names in ``see-other-host``.
        """
        #: Bytes for the server, in order; whoever sends them empties the list.
        self.to_upstream: list[bytes] = []
        #: The domain whose server to connect to; whoever connects resets it.
        self.connect_to: str | None = None
        #: Nothing more goes to the server: flush, FIN.
        self.upstream_finished = False
        #: Messages, presences and iqs that passed so far.
        self.stanzas_from_client = self.stanzas_to_client = 0
        self.domain = ""
        #: Whether it succeeded, and whose session it is.
        self.login = Login()
        #: Why the session ended; the first cause counts.
        self.ending = NOT_ENDED
        #: What was taken out of the server's stanzas, until the owner takes it from here.
        self.repaired: tuple[Fault, ...] = ()
        #: What follows is to come to the client a little later.
        self.pauses = False
        self._browser = browser
        self._limits = limits
        self._serves = serves
        self._see_other_uri = see_other_uri
        self._framing: Framing = Rfc7395Framing(_NO_OPENING)
        self._client_stanzas: ClientStanzas | None = None
        server_stanza_limit = max(SERVER_STANZA_LIMIT, 2 * limits.max_stanza_size)
        self._server_stream: ServerElements = ServerStream(server_stanza_limit)
        self._server_events: list[tuple[str, bytes]] = []
        self._header_sent = False
        self._upstream_open = False
        self._deadline = now + limits.open_timeout
        self._latest_deadline = now + MAX_AUTH_TIMES * limits.auth_timeout
        self._state: Callable[[WebSocketXmpp, bytes], None] = WebSocketXmpp.wait_for_stream

    @property
    def state_name(self) -> str:
        """The name of the state."""
        return self._state.__name__

    @property
    def framing_name(self) -> str:
        """``rfc7395``, ``legacy``, or empty before the first header."""
        return self._framing.name if self._client_stanzas else ""

    @property
    def standing(self) -> tuple[str, str, str]:
        """Domain, framing and state, in one call."""
        return self.domain, self._framing.name if self._client_stanzas else "", self._state.__name__

    @property
    def authenticated(self) -> bool:
        """Whether the login has succeeded."""
        return self.login.succeeded

    @property
    def at_rest(self) -> bool:
        """Whether stanzas flow and no deadline runs."""
        return self.login.succeeded and self._state is WebSocketXmpp.loop

    @property
    def framing(self) -> Framing:
        """The client's framing; RFC 7395's until it is known."""
        return self._framing

    def rewire(
        self,
        browser: Callable[[Browser], Browser],
        server: Callable[[ServerElements], ServerElements],
    ) -> None:
        """Put something in the way to the browser and from the server, or take it away: a trace."""
        self._browser, self._server_stream = browser(self._browser), server(self._server_stream)

    @property
    def ready(self) -> bool:
        """Whether the next message can be taken now: not while the server is being connected to."""
        return self._state is not WebSocketXmpp.wait_for_upstream

    # -- from the browser ----------------------------------------------------------------------

    def process_request(self, text: bytes) -> None:
        """Take one text message (UTF-8); the original's entry point."""
        try:
            self._state(self, text)
        except SessionError as error:
            self.fail(error)

    def browser_lost(self, cause: Cause, detail: str = "") -> None:
        """The browser is gone without ending its stream: the server hears FIN, and may wait for it."""
        if self._state is not WebSocketXmpp.closed:
            self._end(Ending(cause, detail), b"")

    def fail(self, error: SessionError) -> None:
        """End the session: a stream error to the browser, and what the error says to the server."""
        if self._state is WebSocketXmpp.closed:
            return
        self._browser_header()
        self._browser.send(self._framing.error(error.condition, error.text))
        self._browser.send(self._framing.close)
        self._browser.close(error.code, error.condition)
        self._end(error.ending, self._farewell(error))

    def _farewell(self, error: SessionError) -> bytes:
        if error.farewell is Farewell.FIN or self._state is WebSocketXmpp.closing:
            return b""
        if error.farewell is Farewell.END:
            return self._framing.upstream_end
        return self._framing.upstream_error(error.condition, error.text) + self._framing.upstream_end

    # -- the states: what a text message does in each ------------------------------------------

    def wait_for_stream(self, text: bytes) -> None:
        """The first message opens the stream and decides the framing."""
        text = without_declaration(text)
        if not text:
            return
        if is_legacy(text):
            self._framing = LegacyFraming(_NO_OPENING)  # whatever is wrong with it is said in its own terms
        opening = self._read_opening(text, require_opening)
        self._framing = choose_framing(opening)
        domain = self._serves(opening.get("to"))
        if domain is None:
            raise SessionError(causes.HOST_NOT_SERVED, farewell=Farewell.FIN)
        self.domain = self.connect_to = domain
        self._expect_stanzas()
        self._deadline += self._limits.auth_timeout - self._limits.open_timeout
        self._state = WebSocketXmpp.wait_for_upstream

    def _read_opening(self, text: bytes, judge: Callable[[str], None] | None = None) -> Opening:
        """A header is limited too: in legacy framing every element inherits its bindings."""
        opening = parse_opening(text, judge)
        if len(opening.attributes + opening.namespaces) > MAX_HEADER_ATTRIBUTES:
            raise SessionError(causes.MANY_ATTRIBUTES)
        return opening

    def wait_for_upstream(self, text: bytes) -> None:
        """The server is being connected to; ``ready`` is False and messages wait in the session."""
        raise AssertionError("a message was handed over while the server is being connected to")

    def loop(self, text: bytes) -> None:
        """Stanzas flow both ways."""
        if text.startswith(b"</") and self._framing.is_end(text):
            self._client_closes()
            return
        if not text or (text.isspace() and not text.strip(WHITESPACE)):
            if isinstance(self._framing, LegacyFraming):
                self._browser.send(b" ")
            return
        assert self._client_stanzas is not None
        name, element = self._client_stanzas.check(text)
        if name in STANZAS:
            if name == IQ and not self.login.succeeded:
                self.login.client_iq(self._framing.client_root, element, self.domain)
            self.stanzas_from_client += 1
            self.to_upstream.append(element)
        else:
            self._other_element(name, element)

    def closing(self, text: bytes) -> None:
        """The client has ended its stream; it has nothing more to say."""

    def closed(self, text: bytes) -> None:
        """The session is over."""

    def _other_element(self, name: str, element: bytes) -> None:
        legacy = isinstance(self._framing, LegacyFraming)
        if name == (STREAM if legacy else OPEN):
            self._restart(self._read_opening(element))
        elif name == CLOSE and not legacy:
            self._client_closes()
        elif name == STREAM:
            raise SessionError(causes.OTHER_FRAMING)
        elif not legacy and split_name(name)[1] in ("open", "close"):
            raise SessionError(causes.NO_FRAMING)
        else:
            if not self.login.succeeded and split_name(name)[1] == "iq":
                self.login.client_iq(self._framing.client_root, element, self.domain)
            self.to_upstream.append(element)

    def _restart(self, opening: Opening) -> None:
        """A new stream on the same connection, which is to the server of the first one's domain."""
        to, before = opening.attribute("to"), self._framing.opening.attribute("to")
        if to is not None and to != before and not is_domain(to, self.domain):
            raise SessionError(causes.OTHER_HOST)
        self._framing.restart(opening)
        self._expect_stanzas()
        self.to_upstream.append(self._framing.upstream_header)

    def _expect_stanzas(self) -> None:
        limits = self._limits
        self._release_checker()
        self._client_stanzas = client_stanzas(
            self._framing.client_root, limits.max_depth, limits.max_attributes
        )

    def _release_checker(self) -> None:
        if self._client_stanzas is not None:
            self._client_stanzas.release()

    def _client_closes(self) -> None:
        self.to_upstream.append(self._framing.upstream_end)
        self.ending = Ending(causes.CLOSED_BY_CLIENT)
        self._deadline = 0.0
        self._state = WebSocketXmpp.closing

    # -- from the server -----------------------------------------------------------------------

    def upstream_connected(self) -> None:
        """The connection that ``connect_to`` asked for is there."""
        if self._state is WebSocketXmpp.wait_for_upstream:
            self._upstream_open = True
            self.to_upstream.append(self._framing.upstream_header)
            self._state = WebSocketXmpp.loop

    def upstream_data(self, data: bytes) -> None:
        """Take bytes of the server; ``process_upstream`` works them off."""
        if self._state is not WebSocketXmpp.closed:
            self._server_events.extend(self._server_stream.feed(data))

    def process_upstream(self, limit: int) -> bool:
        """Pass on up to ``limit`` elements; True when more are waiting."""
        events = self._server_events
        send, framed, login = self._browser.send, self._framing.stanza, self.login
        for name, element in events if len(events) <= limit else events[:limit]:
            if name in STANZAS:
                if not login.over:
                    self._follow_login(name, element)
                self.stanzas_to_client += 1
                send(framed(element))
            else:
                self._other_server_element(name, element)
                if self._state is WebSocketXmpp.closed:
                    events.clear()
                    return False
                if name in ENABLED:
                    return self._pause_behind(element)
        del events[:limit]
        if not events and self._server_stream.unusual:
            return self._look_at_server()
        return bool(events)

    def _pause_behind(self, element: bytes) -> bool:
        """Under Node, @xmpp/client miscounts what comes in one piece with ``<enabled/>``."""
        while self._server_events.pop(0)[1] is not element:
            pass
        self.pauses = True
        return True

    def _look_at_server(self) -> bool:
        """Something beside whole stanzas has come; True when there is more to do."""
        stream = self._server_stream
        if stream.faults:
            self.repaired += stream.take_faults()
        elif stream.failure is not None:
            self._server_failed(stream.failure)
            return False
        self._server_events.extend(stream.feed(b""))
        return True

    def take_repaired(self) -> tuple[Fault, ...]:
        """What is in ``repaired``, and what has not come there yet; all of it is forgotten."""
        repaired, self.repaired = self.repaired + self._server_stream.take_faults(), ()
        return repaired

    def _server_failed(self, failure: StreamError) -> None:
        log.warning("%s: the XMPP server broke the protocol: %s", self.domain, failure)
        self.fail(UpstreamFailed(causes.UPSTREAM_NO_XMPP, Farewell.END))

    def upstream_lost(self, cause: Cause) -> None:
        """The server's connection is gone, or could not be made; the client may read why."""
        if self._state is WebSocketXmpp.closing:
            self._answer_close()
        else:
            self.fail(UpstreamFailed(cause))

    def _other_server_element(self, name: str, element: bytes) -> None:
        if name == STREAM:
            self._browser.send(self._framing.server_header(element))
            self._header_sent = True
        elif name == STREAM_END:
            if self._state is WebSocketXmpp.closing:
                self._answer_close()
            else:
                self._server_closes(Ending(causes.CLOSED_BY_SERVER))
        elif name in (ERROR, FEATURES):
            try:
                (self._server_error if name == ERROR else self._server_features)(element)
            except StreamError as failure:  # it takes too much to be read
                self._server_failed(failure)
        else:
            self._follow_login(name, element)
            self._browser.send(self._framing.stanza(element))

    def _server_features(self, element: bytes) -> None:
        root = self._framing.server_root
        binds_channel = offers_channel_binding(root, element)
        element, requires_starttls = for_client(root, element, self._browser.max_message_size)
        if requires_starttls:
            log.error("%s: the XMPP server requires STARTTLS; write its upstream as starttls://", self.domain)
            self.fail(UpstreamFailed(causes.UPSTREAM_WANTS_TLS, Farewell.END))
            return
        if binds_channel:
            warn_of_channel_binding(self.domain)
        self._browser.send(self._framing.stanza(element))

    def _server_error(self, element: bytes) -> None:
        condition, data = condition_of(self._framing.server_root, element)
        other = self._see_other_uri(data.strip()) if condition == "see-other-host" else None
        self._browser_header()
        if other is not None:
            self._server_closes(Ending(causes.SEE_OTHER_HOST), condition, self._framing.close_towards(other))
            return
        self._browser.send(self._framing.stanza(element))
        self._server_closes(Ending(causes.SERVER_ERROR, condition), condition)

    def _server_closes(self, ending: Ending, reason: str = "", close: bytes = b"") -> None:
        self._browser_header()
        self._browser.send(close or self._framing.close)
        self._browser.close(CloseCode.NORMAL, reason)
        self._end(ending, b"" if self._state is WebSocketXmpp.closing else self._framing.upstream_end)

    def _answer_close(self) -> None:
        """The server has answered the end of the client's stream, or will not."""
        self._browser_header()
        self._browser.send(self._framing.close)
        self._browser.close(CloseCode.NORMAL, "")
        self._end(self.ending, b"")

    # -- login ---------------------------------------------------------------------------------

    def _follow_login(self, name: str, element: bytes) -> None:
        login = self.login
        succeeded = login.succeeded
        login.from_server(name, self._framing.server_root, element)
        if login.succeeded and not succeeded:
            self._browser.max_message_size = self._limits.max_stanza_size

    # -- deadlines and the end -----------------------------------------------------------------

    def tick(self, now: float, *, reading: bool) -> None:
        """Look at the deadlines: first header, login, the server's answer to the end of the stream.

        Each result that the server gives before the login restarts the second one: a person may be filling
        in a registration form. The last one rests while we are not ``reading`` from the server: its answer
        may be there.
        """
        if self._state is WebSocketXmpp.closing:
            if not reading or not self._deadline:
                self._deadline = now + CLOSE_ANSWER_TIMEOUT
        elif self.login.succeeded or self._state is WebSocketXmpp.closed:
            return
        elif self.login.restarts_deadline():
            self._deadline = min(now + self._limits.auth_timeout, self._latest_deadline)
        if now < self._deadline:
            return
        if self._state is WebSocketXmpp.closing:
            self._answer_close()
        elif self._state is WebSocketXmpp.wait_for_stream:
            self.fail(SessionError(causes.NO_STREAM, code=CloseCode.NORMAL, farewell=Farewell.FIN))
        elif self._state is WebSocketXmpp.loop:
            self.fail(SessionError(causes.NO_LOGIN))

    def _browser_header(self) -> None:
        """An error during opening still follows an opening header (RFC 6120 section 4.9.1.2)."""
        if not self._header_sent:
            self._header_sent = True
            self._browser.send(self._framing.own_header(self.domain))

    def _end(self, ending: Ending, farewell: bytes) -> None:
        if farewell and self._upstream_open:
            self.to_upstream.append(farewell)
        if self.ending is NOT_ENDED:
            self.ending = ending
        self.connect_to = None
        self.upstream_finished = True
        self._server_stream.drop_parser()
        self._release_checker()
        self._state = WebSocketXmpp.closed
