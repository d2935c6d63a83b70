"""Every cause ends a session, and its wording does not change the counters and the fields of the log.

The gateway of these tests has other words in all texts about the endings.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.ops.admin import PATIENCE, Admin
from tests.ops.conftest import StartAdmin, starting
from tests.support.certificates import Certificate
from tests.support.processes import wait_until
from tests.support.rewording import other_words
from tests.support.wire import (
    CLOSE_7395,
    END,
    OPENINGS,
    SECONDS,
    SUCCESS,
    Browser,
    Connection,
    XmppServer,
    frame,
)
from tests.telemetry.played import events
from wsgw.errors import causes
from wsgw.errors.causes import CAUSES, Cause

OPEN = OPENINGS["rfc7395"]
JSON = "{log_format, json}.\n"
#: No ping, no deadline that ends a session, and limits that a short stanza exceeds.
CALM = (
    "{websocket_ping_interval, infinity}, {close_timeout, 60}, {max_depth, 8}, {max_attributes, 8}, "
    '{see_other_uri, "wss://@HOST@/ws"}, '
)
DRAINED = "{close_timeout, 5}, "
HASTY = "{open_timeout, 1}, {auth_timeout, 2}, "
PINGING = "{websocket_ping_interval, 1}, {pong_timeout, 1}, "
SILENT = "{websocket_timeout, 2}, {websocket_ping_interval, infinity}, "
SLOW = "{send_timeout, 1}, {websocket_ping_interval, infinity}, {close_timeout, 1}, "
LARGE = b"<message xmlns='jabber:client'><body>%s</body></message>" % (b"x" * 60_000)


class Stage:
    """One gateway, and the XMPP server of the sessions that end."""

    def __init__(self, admin: Admin, server: XmppServer) -> None:
        self.gateway = admin.gateway
        self.server = server
        self.browsers: list[Browser] = []

    def connected(self, **browser: Any) -> Browser:
        """A browser that has received the 101."""
        self.browsers.append(Browser(self.gateway.ws_port, **browser))
        return self.browsers[-1]

    def opened(self, opening: bytes = OPEN, **browser: Any) -> Browser:
        """A browser that has sent its first message."""
        connected = self.connected(**browser)
        connected.text(opening)
        return connected

    def accepted(self, first: bytes = SUCCESS) -> Connection:
        """The server's end of the next session; the gateway's own checks send no header."""
        while True:
            with contextlib.suppress(EOFError):
                return self.server.accept_stream(first)

    def session(self, first: bytes = SUCCESS, **browser: Any) -> tuple[Browser, Connection]:
        """Both ends of a session in which the server has sent ``first`` and the browser has received it."""
        client = self.opened(**browser)
        server = self.accepted(first)
        client.message()
        client.message()
        return client, server


Ends = Callable[[Stage], object]


def says(text: bytes) -> Ends:
    """The client sends this message in a session."""
    return lambda stage: stage.session()[0].text(text)


def sends(data: bytes) -> Ends:
    """The browser sends these bytes in a session."""
    return lambda stage: stage.session()[0].send(data)


def begins(text: bytes) -> Ends:
    """The client sends this first message."""
    return lambda stage: stage.opened(text)


def answers(data: bytes) -> Ends:
    """The server sends this in a session."""
    return lambda stage: stage.session()[1].send(data)


def close_stream(stage: Stage) -> None:
    browser, server = stage.session()
    browser.text(CLOSE_7395)
    server.read_until(END)
    server.send(END)


def speak_no_xmpp(stage: Stage) -> None:
    stage.opened()
    stage.accepted(b"\0")


def be_unreachable(stage: Stage) -> None:
    stage.server.close()
    stage.opened()


def announce_starttls(stage: Stage) -> None:
    stage.opened()
    starttls = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
    stage.accepted(b"<stream:features>" + starttls + b"</stream:features>")


def flood_browser(stage: Stage) -> None:
    server = stage.session(receive_buffer=4096)[1]
    with pytest.raises(OSError, match=r"reset|Broken"):
        while True:
            server.send(b"<message><body>%s</body></message>" % (b"x" * 10_000))


def flood_server(stage: Stage) -> None:
    browser, _ = stage.session()
    browser.socket.settimeout(0.1)
    with contextlib.suppress(TimeoutError):
        while True:
            browser.send(frame(LARGE))
    browser.socket.settimeout(SECONDS)


def stop(stage: Stage) -> None:
    stage.session()
    stage.gateway.child.signal(15)


class Play(NamedTuple):
    """How a cause arises, on a gateway with these options, and the fields of the line ``closed``."""

    cause: Cause
    ends: Ends
    close_code: int | None
    options: str = CALM
    detail: str = ""


def error(condition: bytes) -> bytes:
    return b"<stream:error>" + condition + b"</stream:error>" + END


_STREAMS = "urn:ietf:params:xml:ns:xmpp-streams"
CONFLICT = error(b"<conflict xmlns='%s'/>" % _STREAMS.encode())
ELSEWHERE = error(b"<see-other-host xmlns='%s'>other.example</see-other-host>" % _STREAMS.encode())
STREAM_HEADER = OPENINGS["legacy"]
#: A stanza that takes a parser too long.
LONG = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' xmlns:p='%s' %s to='localhost'/>" % (
    b"u" * 5_000,
    b" ".join(b"p:a%d=''" % number for number in range(300)),
)

PLAYS = [
    Play(causes.CLOSED_BY_CLIENT, close_stream, 1000),
    Play(causes.CLOSED_BY_SERVER, answers(END), 1000),
    Play(causes.SERVER_ERROR, answers(CONFLICT), 1000, detail="conflict"),
    Play(causes.SEE_OTHER_HOST, answers(ELSEWHERE), 1000),
    Play(causes.BROWSER_LEFT, sends(frame((3001).to_bytes(2, "big"), 8)), 3001, detail="3001"),
    Play(causes.BROWSER_LOST, lambda stage: stage.session()[0].reset(), None),
    Play(causes.BAD_WEBSOCKET, sends(frame(b"<presence/>", 3)), 1002),
    Play(causes.LARGE_STANZA, sends(frame(LARGE + b" " * 10_000)), 1009, detail="65536"),
    Play(causes.DEEP_ELEMENTS, says(b"<a>" * 9 + b"</a>" * 9), 1008),
    Play(causes.MANY_ATTRIBUTES, says(b"<a a='' b='' c='' d='' e='' f='' g='' h='' i=''/>"), 1008),
    Play(causes.LONG_NAMESPACE, begins(LONG), 1008, detail="256"),
    Play(causes.NOT_WELL_FORMED, says(b"<message>"), 1008),
    Play(causes.RESTRICTED_XML, says(b"<a>&lol;</a>"), 1008),
    Play(causes.NOT_UTF8, sends(frame(b"<message>\xff</message>")), 1007),
    Play(causes.OTHER_ENCODING, says(b"<?xml version='1.0' encoding='utf-16'?><a/>"), 1007),
    Play(causes.NO_OPENING, begins(b"<presence xmlns='jabber:client'/>"), 1008),
    Play(causes.OTHER_NAMESPACE, begins(b"<open xmlns='urn:wrong' to='localhost'/>"), 1008),
    Play(causes.OTHER_FRAMING, says(STREAM_HEADER), 1008),
    Play(causes.NO_FRAMING, says(b"<close xmlns='urn:wrong'/>"), 1008),
    Play(causes.HOST_NOT_SERVED, begins(OPEN.replace(b"localhost", b"other.example")), 1008),
    Play(causes.OTHER_HOST, says(OPEN.replace(b"localhost", b"other.example")), 1008),
    Play(causes.UPSTREAM_LOST, lambda stage: stage.session()[1].fin(), 1011),
    Play(causes.UPSTREAM_NO_XMPP, speak_no_xmpp, 1011),
    Play(causes.UPSTREAM_WANTS_TLS, announce_starttls, 1011),
    Play(causes.NO_STREAM, Stage.connected, 1000, HASTY),
    Play(causes.NO_LOGIN, lambda stage: stage.session(b"<stream:features/>"), 1008, HASTY),
    Play(causes.NO_PONG, Stage.session, None, PINGING),
    Play(causes.IDLE, Stage.session, 1000, SILENT),
    Play(causes.SLOW_CONSUMER, flood_browser, None, SLOW),
    Play(causes.UPSTREAM_STALLED, flood_server, 1011, SLOW),
    Play(causes.GATEWAY_STOPS, stop, 1012, DRAINED),
    Play(causes.UPSTREAM_UNREACHABLE, be_unreachable, 1011),
]
#: Played in ``test_limits``; those of a fault in ``tests/relay/test_faults.py``.
OTHERS = {causes.LEFT_TOO_MUCH, causes.FAULT, causes.GATEWAY_STOPPED, causes.UNKNOWN}


def test_every_cause_is_played() -> None:
    assert {play.cause for play in PLAYS} | OTHERS == set(CAUSES)
    assert len(PLAYS) + len(OTHERS) == len(CAUSES)


@pytest.fixture
def start(certificate: Certificate, tmp_path: Path) -> Iterator[StartAdmin]:
    with starting(certificate, tmp_path) as begin:
        yield begin


@pytest.fixture
def server() -> Iterator[XmppServer]:
    """It buffers few bytes before its clients wait."""
    server = XmppServer(receive_buffer=4096)
    yield server
    server.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [CALM, HASTY, PINGING, SILENT, SLOW, DRAINED],
    ids=["calm", "hasty", "pinging", "silent", "slow", "drained"],
)
def test_a_reworded_cause_changes_no_counter_and_no_other_field(
    start: StartAdmin, server: XmppServer, options: str
) -> None:
    before = "tests.support.rewording:reword"
    admin = start(server.port, ws_options=options, before=before, top_level=JSON)
    stage = Stage(admin, server)
    plays = [play for play in PLAYS if play.options == options]
    for number, play in enumerate(plays, 1):
        play.ends(stage)
        if play.close_code is not None:
            stage.browsers[-1].until_close()
        closed = events(admin.gateway, "closed", number)[-1]
        assert_logged(closed, play)
    if options is not DRAINED:
        assert_counted(admin, plays)


def assert_logged(closed: dict[str, Any], play: Play) -> None:
    """The line has its fields, and the cause in other words."""
    condition = play.cause.condition
    beginning, _, rest = other_words(play.cause.text).partition("{}")
    said = str(closed["cause"])
    assert said.startswith(f"{condition}: {beginning}" if condition else beginning), play
    assert said.endswith(play.detail + rest if play.detail else rest)
    assert closed.get("close_code") == play.close_code, closed
    assert (closed["level"], closed["logger"]) == ("info", "wsgw.session_log")
    assert closed.get("framing", "rfc7395") == "rfc7395"
    assert closed.get("host", "localhost") == "localhost"


def assert_counted(admin: Admin, plays: list[Play]) -> None:
    """The counters have the labels of the causes that were played, and no others."""
    ended = Counter(play.cause.label for play in plays)
    limits = Counter(play.cause.limit for play in plays if play.cause.limit)

    def counted(name: str, label: str) -> Counter[str]:
        samples = admin.metrics().items()
        found = {dict(labels)[label]: int(count) for (told, labels), count in samples if told == name}
        return +Counter(found)

    wait_until(lambda: counted("wsgw_sessions_closed_total", "cause") == ended, PATIENCE, str(ended))
    assert counted("wsgw_limits_hit_total", "limit") == limits
