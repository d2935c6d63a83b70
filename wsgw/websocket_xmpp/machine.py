"""The state machine of one XMPP session: a WebSocket on one side, the XMPP server on the other.

Events go in through public methods. Messages for the browser go to ``send`` and ``close`` of the WebSocket,
bytes for the server to ``to_upstream``. Two attributes are requests to the owner: ``connect_to``, a domain to
connect to, and ``upstream_finished``, to flush and end the connection to the server. The machine uses no
socket and no clock. ``states`` has the table of transitions and the rule of the endings.

Longer than 400 lines because it is one machine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from wsgw.errors import CloseCode, Farewell, SessionError, StreamError, UpstreamFailed, causes
from wsgw.errors.causes import NOT_ENDED, Cause, Ending
from wsgw.stanzas.client import ClientStanzas
from wsgw.stanzas.cutter import SERVER_STANZA_LIMIT, STREAM_END
from wsgw.stanzas.fast_path import FRAMES, common_bounds
from wsgw.stanzas.parser import IQ, STANZAS, STREAM, WHITESPACE, split_name
from wsgw.stanzas.server import Repair, ServerElements, ServerStream
from wsgw.stanzas.start_tag import Opening, without_declaration
from wsgw.stanzas.worker_state import checkers
from wsgw.websocket_xmpp.deadlines import Deadline
from wsgw.websocket_xmpp.sides import Browser, XmppLimits
from wsgw.xmpp.choice import (
    NO_OPENING,
    choose_framing,
    framing_of_refusal,
    read_opening,
    require_opening,
    require_same_host,
)
from wsgw.xmpp.features import FEATURES, pass_on
from wsgw.xmpp.framing import Framing, LegacyFraming, Rfc7395Framing
from wsgw.xmpp.header import ERROR, condition_of
from wsgw.xmpp.login import ENABLING, Login
from wsgw.xmpp.stream_limits import StreamLimits

log = logging.getLogger("wsgw.websocket_xmpp")


class WebSocketXmpp:
    """One XMPP session over one WebSocket."""

    __slots__ = (
        "_browser",
        "_client_stanzas",
        "_deadline",
        "_header_sent",
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
        "framing",
        "framing_name",
        "login",
        "on_enter",
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
        """``serves`` returns the normalised domain for a ``to``, None if wsgw does not serve it.

        ``see_other_uri`` returns the URI for the host in a server's ``see-other-host``, None if it has none.
        """
        #: Bytes for the server, in order; the owner sends them and empties the list.
        self.to_upstream: list[bytes] = []
        #: The domain to whose server the owner must connect; the owner resets it.
        self.connect_to: str | None = None
        #: The owner must flush and end the connection to the server.
        self.upstream_finished = False
        #: Number of messages, presences and iqs forwarded so far.
        self.stanzas_from_client = self.stanzas_to_client = 0
        self.domain = ""
        #: The client's framing; RFC 7395's until it is known. Its name is empty until then.
        self.framing: Framing = Rfc7395Framing(NO_OPENING)
        self.framing_name = ""
        #: The state of the login, with the JID.
        self.login = Login()
        #: The first cause of the session's end.
        self.ending = NOT_ENDED
        #: The repaired stanzas of the server that ``take_repaired`` has not returned.
        self.repaired: tuple[Repair, ...] = ()
        #: The owner must forward the next elements to the client a little later.
        self.pauses = False
        #: Called with the name of each state that is entered; None unless the session is traced.
        self.on_enter: Callable[[str], None] | None = None
        self._browser, self._limits = browser, limits
        self._serves, self._see_other_uri = serves, see_other_uri
        self._client_stanzas: ClientStanzas | None = None
        limit = max(SERVER_STANZA_LIMIT, 2 * limits.max_stanza_size)
        self._server_stream: ServerElements = ServerStream(limit)
        self._server_events: list[tuple[str, bytes]] = []
        self._header_sent = self._upstream_open = False
        self._deadline = Deadline(limits, now)
        self._state: Callable[[WebSocketXmpp, bytes], None] = WebSocketXmpp.wait_for_stream

    @property
    def state_name(self) -> str:
        """The name of the state, from ``states.STATES``."""
        return self._state.__name__

    @property
    def at_rest(self) -> bool:
        """Whether stanzas flow and no deadline runs."""
        return self.login.succeeded and self._state is WebSocketXmpp.loop

    def _enter(self, state: Callable[[WebSocketXmpp, bytes], None]) -> None:
        self._state = state
        if self.on_enter is not None:
            self.on_enter(state.__name__)

    def rewire(
        self,
        browser: Callable[[Browser], Browser],
        server: Callable[[ServerElements], ServerElements],
    ) -> None:
        """Replace the browser and the source of the server's elements: a trace wraps and unwraps them."""
        declaration = self._server_stream.declaration
        self._browser, self._server_stream = browser(self._browser), server(self._server_stream)
        self._server_stream.frame_stanzas(declaration)

    @property
    def ready(self) -> bool:
        """Whether the next message can be taken: not while the owner connects to the server."""
        return self._state is not WebSocketXmpp.wait_for_upstream

    # -- from the browser ----------------------------------------------------------------------

    def process_request(self, text: bytes) -> None:
        """Take one text message (UTF-8); the original's entry point."""
        try:
            self._state(self, text)
        except SessionError as error:
            self.fail(error)

    def process_stanzas(self, elements: bytes, stanzas: int) -> None:
        """Take common elements together, after the login; ``stanzas`` is the number of stanzas in them."""
        if self._state is WebSocketXmpp.loop:
            self.stanzas_from_client += stanzas
            self.to_upstream.append(elements)

    def browser_lost(self, cause: Cause, detail: str = "") -> None:
        """The browser is gone without ending its stream: the server gets a FIN, and may keep the session."""
        if self._state is not WebSocketXmpp.closed:
            self._end(Ending(cause, detail), b"")

    def fail(self, error: SessionError) -> None:
        """End the session: the browser gets a stream error and an end (RFC 6120 section 4.9.1.1)."""
        if self._state is WebSocketXmpp.closed:
            return
        self._browser_header()
        self._browser.send(self.framing.error(error.condition, error.text))
        self._browser.send(self.framing.close)
        self._browser.close(error.code, error.condition)
        self._end(error.ending, self.framing.farewell(error))

    # -- the states: each handles a text message -----------------------------------------------

    def wait_for_stream(self, text: bytes) -> None:
        """The first message opens the stream and decides the framing (RFC 7395 section 3.4)."""
        text = without_declaration(text)
        if not text:
            return
        try:
            opening = read_opening(text, require_opening)
            self.framing = choose_framing(opening)
        except SessionError:
            self.framing = framing_of_refusal(text)
            raise
        domain = self._serves(opening.get("to"))
        if domain is None:
            raise SessionError(causes.HOST_NOT_SERVED, farewell=Farewell.FIN)
        self.domain = self.connect_to = domain
        self.framing_name = self.framing.name
        self._expect_stanzas()
        self._deadline.stream_opened()
        self._enter(WebSocketXmpp.wait_for_upstream)

    def wait_for_upstream(self, text: bytes) -> None:
        """The owner connects to the server; ``ready`` is False and messages wait in the session."""
        raise AssertionError("a message was passed while the owner connects to the server")

    def loop(self, text: bytes) -> None:
        """Stanzas flow both ways."""
        if text.startswith(b"</") and self.framing.is_end(text):
            self._client_closes()
            return
        if not text or (text.isspace() and not text.strip(WHITESPACE)):
            if isinstance(self.framing, LegacyFraming):
                self._browser.send(b" ")
            return
        assert self._client_stanzas is not None
        name, element = self._client_stanzas.check(text)
        if name in STANZAS:
            if name == IQ and not self.login.succeeded:
                self.login.client_iq(self.framing.client_root, element, self.domain)
            self.stanzas_from_client += 1
            self.to_upstream.append(element)
        else:
            self._other_element(name, element)

    def closing(self, text: bytes) -> None:
        """The client has ended its stream; its further messages are ignored (RFC 6120 section 4.4)."""

    def closed(self, text: bytes) -> None:
        """The session is over."""

    def _other_element(self, name: str, element: bytes) -> None:
        if name == self.framing.opening_name:
            self._restart(read_opening(element))
        elif name == self.framing.closing_name:
            self._client_closes()
        else:
            self.framing.require_foreign(name)
            if not self.login.succeeded and split_name(name)[1] == "iq":
                self.login.client_iq(self.framing.client_root, element, self.domain)
            self.to_upstream.append(element)

    def _restart(self, opening: Opening) -> None:
        """Open a new stream on the same connection (RFC 7395 section 3.7), so to the same server."""
        require_same_host(opening, self.framing.opening, self.domain)
        self.framing.restart(opening)
        self._expect_stanzas()
        self.to_upstream.append(self.framing.upstream_header)

    def _expect_stanzas(self) -> None:
        root, limits = self.framing.client_root, self._limits
        self._release_checker()
        self._client_stanzas = checkers.get(root, limits.max_depth, limits.max_attributes)

    def _release_checker(self) -> None:
        if self._client_stanzas is not None:
            self._client_stanzas.release()

    def _client_closes(self) -> None:  # RFC 7395 section 3.6
        self.to_upstream.append(self.framing.upstream_end)
        self.ending = Ending(causes.CLOSED_BY_CLIENT)
        self._deadline.stream_ended()
        self._enter(WebSocketXmpp.closing)

    # -- from the server -----------------------------------------------------------------------

    def upstream_connected(self) -> None:
        """The owner has connected to the server of ``connect_to``."""
        if self._state is WebSocketXmpp.wait_for_upstream:
            self._upstream_open = True
            self.to_upstream.append(self.framing.upstream_header)
            self._enter(WebSocketXmpp.loop)

    def upstream_data(self, data: bytes) -> None:
        """Take bytes from the server; ``process_upstream`` forwards their elements."""
        if self._state is not WebSocketXmpp.closed:
            self._server_events.extend(self._server_stream.feed(data))

    def process_upstream(self, limit: int) -> bool:
        """Forward up to ``limit`` elements to the browser; return whether more wait."""
        events = self._server_events
        send, framed, login = self._browser.send, self.framing.stanza, self.login
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
                if name in ENABLING:
                    return self._pause_after(element)
        del events[:limit]
        if not events and self._server_stream.unusual:
            return self._check_server_stream()
        return bool(events)

    def _pause_after(self, element: bytes) -> bool:
        """Pause after an element of ``ENABLING``: under Node, @xmpp/client miscounts later stanzas."""
        while self._server_events.pop(0)[1] is not element:
            pass
        self.pauses = True
        return True

    def _check_server_stream(self) -> bool:
        """Handle repairs, failure or a backlog of the server's stream; return whether to continue."""
        stream = self._server_stream
        if stream.repairs:
            self.repaired += stream.take_repairs()
        elif stream.failure is not None:
            self._server_failed(stream.failure)
            return False
        self._server_events.extend(stream.feed(b""))
        return True

    def take_repaired(self) -> tuple[Repair, ...]:
        """Return the repaired stanzas of the server, and forget them."""
        repaired, self.repaired = self.repaired + self._server_stream.take_repairs(), ()
        return repaired

    def _server_failed(self, failure: StreamError) -> None:
        log.warning("%s: the XMPP server broke the protocol: %s", self.domain, failure)
        self.fail(UpstreamFailed(causes.UPSTREAM_NO_XMPP, Farewell.END))

    def upstream_lost(self, cause: Cause) -> None:
        """The server's connection is lost, or could not be made; the client gets ``cause`` as an error."""
        if self._state is WebSocketXmpp.closing:
            self._close_browser(self.ending)
        else:
            self.fail(UpstreamFailed(cause))

    def _other_server_element(self, name: str, element: bytes) -> None:
        if name == FRAMES:
            self.stanzas_to_client += self._server_stream.take_framed()
            self._browser.send_frames(element)
        elif name == STREAM:
            self._browser.send(self.framing.server_header(element))
            self._header_sent = True
        elif name == STREAM_END:
            self._close_browser(Ending(causes.CLOSED_BY_SERVER))
        elif name in (ERROR, FEATURES):
            try:
                (self._server_error if name == ERROR else self._server_features)(element)
            except UpstreamFailed as failure:
                self.fail(failure)
            except StreamError as failure:  # the element costs too much to read
                self._server_failed(failure)
        else:
            self._follow_login(name, element)
            self._browser.send(self.framing.stanza(element))

    def _server_features(self, element: bytes) -> None:
        limits = StreamLimits(self._browser.max_message_size, self._limits.idle_timeout)
        element = pass_on(self.framing.server_root, element, limits, self.domain)
        self._browser.send(self.framing.stanza(element))

    def _server_error(self, element: bytes) -> None:
        condition, data = condition_of(self.framing.server_root, element)
        other = self._see_other_uri(data.strip()) if condition == "see-other-host" else None
        self._browser_header()
        if other is not None:
            self._close_browser(Ending(causes.SEE_OTHER_HOST), condition, self.framing.close_towards(other))
            return
        self._browser.send(self.framing.stanza(element))
        self._close_browser(Ending(causes.SERVER_ERROR, condition), condition)

    def _close_browser(self, ending: Ending, reason: str = "", close: bytes = b"") -> None:
        """End both sides: the server has ended its stream, or has not answered the end of the client's."""
        self._browser_header()
        self._browser.send(close or self.framing.close)
        self._browser.close(CloseCode.NORMAL, reason)
        self._end(ending, self.framing.upstream_end)

    def _follow_login(self, name: str, element: bytes) -> None:
        if self.login.from_server(name, self.framing.server_root, element):
            self._browser.max_message_size = self._limits.max_stanza_size
        if self.login.over and self._server_stream.declaration is None:
            self._pass_chunks()

    def _pass_chunks(self) -> None:
        """Let several common stanzas pass at once, where native functions are in use: none is needed here."""
        limits = self._limits
        bounds = common_bounds(limits.max_stanza_size, limits.max_depth, limits.max_attributes)
        if bounds is not None and (declaration := self.framing.declaration) is not None:
            self._browser.stanza_bounds = bounds
            self._server_stream.frame_stanzas(declaration)

    # -- deadlines and the end -----------------------------------------------------------------

    def tick(self, now: float, *, reading: bool) -> None:
        """Check the deadline at ``now``; ``reading`` is whether the owner reads the server's connection."""
        state, deadline = self._state, self._deadline
        if state is WebSocketXmpp.closing:
            if deadline.answer_is_late(now, reading=reading):
                self._close_browser(self.ending)
            return
        if self.login.succeeded or state is WebSocketXmpp.closed:
            return
        if self.login.restarts_deadline():
            deadline.login_continues(now)
        if not deadline.is_over(now):
            return
        if state is WebSocketXmpp.wait_for_stream:
            self.fail(SessionError(causes.NO_STREAM, code=CloseCode.NORMAL, farewell=Farewell.FIN))
        elif state is WebSocketXmpp.loop:
            self.fail(SessionError(causes.NO_LOGIN))

    def _browser_header(self) -> None:
        """Send wsgw's own header if the browser got none: an error follows a header (RFC 6120 4.9.1.2)."""
        if not self._header_sent:
            self._header_sent = True
            self._browser.send(self.framing.own_header(self.domain))

    def _end(self, ending: Ending, farewell: bytes) -> None:
        """End the session; the server gets ``farewell`` unless the client has already ended its stream."""
        if farewell and self._upstream_open and self._state is not WebSocketXmpp.closing:
            self.to_upstream.append(farewell)
        if self.ending is NOT_ENDED:
            self.ending = ending
        self.connect_to = None
        self.upstream_finished = True
        self._server_stream.drop_parser()
        self._release_checker()
        self._enter(WebSocketXmpp.closed)
