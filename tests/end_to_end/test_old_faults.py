"""The faults of the Erlang module that wsgw replaces, by number: wsgw has none of them."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificate
from tests.support.edges import Pair, StartEdge
from tests.support.gateway import Gateway
from tests.support.wire import (
    CLOSE_7395,
    CLOSINGS,
    END,
    OPENINGS,
    SERVER_HEADER,
    Browser,
    Connection,
    XmppServer,
    frame,
    upgrade_request,
    within,
)

LEGACY = OPENINGS["legacy"]
FRAMINGS = ("rfc7395", "legacy")
OPTIONS = "{websocket_ping_interval, infinity}, {close_timeout, 60}, "
HASTY = (
    "{close_timeout, 1}, {open_timeout, 1}, {auth_timeout, 1}, {handshake_timeout, 1}, "
    "{websocket_timeout, 2}, {websocket_ping_interval, infinity}, "
)


@pytest.fixture(scope="module")
def edge(start_edge: StartEdge) -> Gateway:
    """Long deadlines; a PROXY header names the client to the server."""
    options = OPTIONS + "{upstream_proxy_protocol, v1}, "
    return start_edge(ws_options=options, top_level='{trusted_proxies, ["192.0.2.1"]}.')


@pytest.fixture(scope="module")
def hasty(start_edge: StartEdge) -> Gateway:
    """Short deadlines."""
    return start_edge(ws_options=HASTY)


@pytest.fixture(params=FRAMINGS)
def pair(request: pytest.FixtureRequest, edge: Gateway, xmpp_server: XmppServer) -> Iterator[Pair]:
    pair = Pair(edge, xmpp_server, str(request.param))
    yield pair
    pair.close()


@pytest.fixture(params=FRAMINGS)
def hasty_pair(request: pytest.FixtureRequest, hasty: Gateway, xmpp_server: XmppServer) -> Iterator[Pair]:
    pair = Pair(hasty, xmpp_server, str(request.param))
    yield pair
    pair.close()


def raw(port: int) -> Connection:
    """A connection without any bytes yet."""
    return Connection(socket.create_connection(("127.0.0.1", port)))


def raw_upgrade(edge: Gateway, headers: dict[str, list[str]]) -> str:
    """The status line for a WebSocket upgrade with these lines replaced."""
    lines = upgrade_request().decode().split("\r\n")
    kept = [line for line in lines if line.partition(":")[0] not in headers]
    changed = [f"{name}: {value}" for name, values in headers.items() for value in values]
    request = "\r\n".join([kept[0], *changed, *kept[1:]]).encode()
    connection = raw(edge.ws_port)
    connection.send(request)
    head = connection.read_until(b"\r\n").decode("latin-1")
    connection.close()
    return head


@pytest.mark.rule("fault-01")
@pytest.mark.parametrize(
    "connection", ["keep-alive,Upgrade", "Upgrade,keep-alive", "keep-alive ,\tupgrade", "upgrade"]
)
def test_01_header_lists_without_blanks(edge: Gateway, connection: str) -> None:
    """The module split lists at comma and blank only, and answered 400."""
    assert " 101 " in raw_upgrade(edge, {"Connection": [connection]})


@pytest.mark.rule("fault-02", "regression-offer")
def test_02_repeated_headers(edge: Gateway) -> None:
    """The module duplicated and reordered them; a list in two lines is one list."""
    assert " 101 " in raw_upgrade(edge, {"Sec-WebSocket-Protocol": ["foo", "xmpp"]})
    assert " 101 " in raw_upgrade(edge, {"Connection": ["keep-alive", "Upgrade"]})
    assert " 400 " in raw_upgrade(edge, {"Sec-WebSocket-Version": ["13", "13"]})


@pytest.mark.rule("fault-03")
@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("198.51.100.7, 203.0.113.5", "203.0.113.5"),
        ("203.0.113.5, 192.0.2.1", "203.0.113.5"),
        ("2001:db8::5, ::1", "2001:db8::5"),
        ("not an address", "127.0.0.1"),
        ("203.0.113.5, <script>", "127.0.0.1"),
        ("1.2.3.4.5", "127.0.0.1"),
    ],
    ids=["plain", "spoofed", "trusted hop", "IPv6", "malformed", "malformed hop", "five octets"],
)
def test_03_forwarded_for(edge: Gateway, xmpp_server: XmppServer, forwarded: str, client: str) -> None:
    """The module trusted the leftmost entry, and crashed at a malformed one."""
    browser = Browser(edge.ws_port, headers=(f"X-Forwarded-For: {forwarded}",))
    browser.text(LEGACY)
    server = xmpp_server.accept()
    assert server.read_until(b"\r\n").decode().split()[2].removeprefix("::ffff:") == client
    browser.close()
    server.close()


@pytest.mark.rule("6455-5.5.3", "fault-04")
def test_04_frames_that_crashed(edge: Gateway, xmpp_server: XmppServer) -> None:
    """Continuations and pongs are read, reserved opcodes and short Closes are answered."""
    pair = Pair(edge, xmpp_server, "legacy")
    pair.browser.send(frame(b"unasked", 10))
    pair.browser.send(frame(b"<presence", fin=False) + frame(b" id='1'", 0, fin=False) + frame(b"/>", 0))
    assert pair.server.read_until(b">") == b"<presence id='1'/>"
    pair.close()
    for broken in (frame(b"", 3), frame(b"", 11), frame(b"\x03", 8), frame(b"", 0)):
        pair = Pair(edge, xmpp_server, "legacy")
        pair.browser.send(broken)
        assert pair.browser.until_close()[1] == 1002
        pair.close()


@pytest.mark.rule("fault-05")
def test_05_fin_was_ignored(pair: Pair) -> None:
    """And a frame in pieces was lost."""
    data = frame(b"<presence id='1'/>")
    for byte in data:
        pair.browser.send(bytes((byte,)))
    assert pair.server.read_until(b">") == b"<presence id='1'/>"
    pair.browser.fin()
    assert pair.server.read_to_end() == b""
    assert pair.browser.read_to_end() == b""


@pytest.mark.rule("6455-10.4", "fault-06")
@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (frame(b"<presence/>", masked=False), 1002),
        (frame(b"<presence/>", rsv=0x40), 1002),
        (frame(b"x" * 126, 9), 1002),
        (frame(b"<m>\xff</m>"), 1007),
        (b"\x81\xff\x00\x00\x01\x00\x00\x00\x00\x00mask", 1009),
    ],
    ids=["unmasked", "reserved bit", "long ping", "UTF-8", "a terabyte, by its header"],
)
def test_06_frames_unchecked(pair: Pair, broken: bytes, code: int) -> None:
    pair.browser.send(broken)
    assert pair.browser.until_close()[1] == code


@pytest.mark.rule("fault-07")
@pytest.mark.slow
def test_07_closing_never_ended(hasty_pair: Pair) -> None:
    """The module had no timer, crashed at a ping, and waited for a second Close."""
    pair = hasty_pair
    pair.server.send(END)
    assert pair.browser.message() == CLOSINGS[pair.framing]
    assert pair.browser.frame()[0] == 8
    pair.browser.send(frame(b"still there?", 9))
    with within(4):
        assert pair.browser.read_to_end() == b""


@pytest.mark.rule("6455-7.1.1", "fault-07", "regression-fin")
def test_07_one_close_of_the_client_is_enough(pair: Pair) -> None:
    pair.browser.close_frame(1001)
    assert pair.browser.read_to_end() == b"\x88\x02\x03\xe9"


@pytest.mark.rule("fault-08")
@pytest.mark.parametrize("how", ["reset", "fin"])
def test_08_browser_gone(pair: Pair, how: str) -> None:
    """The server did not learn of it, and the user stayed online as a ghost for hours."""
    if how == "reset":
        pair.browser.reset()
    else:
        pair.browser.fin()
    assert pair.server.read_to_end() == b""


@pytest.mark.rule("fault-08")
@pytest.mark.slow
def test_08_browser_silent(hasty_pair: Pair) -> None:
    assert hasty_pair.server.read_to_end() == b""


@pytest.mark.rule("fault-09")
def test_09_stream_over(pair: Pair) -> None:
    """The WebSocket stayed open after a kick."""
    conflict = b"<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    pair.server.send(b"<stream:error>" + conflict + b"</stream:error>" + END)
    messages, code, reason = pair.browser.until_close()
    assert conflict in messages[0]
    assert (messages[1], code, reason) == (CLOSINGS[pair.framing], 1000, "conflict")


@pytest.mark.rule("fault-10")
@pytest.mark.parametrize(
    ("first", "condition"),
    [
        (b"<presence/>", "bad-format"),
        (LEGACY.replace(b" to='localhost'", b""), "host-unknown"),
        (LEGACY.replace(b"localhost", b"elsewhere.example"), "host-unknown"),
        (LEGACY.replace(b"localhost", b""), "host-unknown"),
        (END, "not-well-formed"),
    ],
    ids=["stanza", "no to", "unknown host", "empty to", "end tag"],
)
def test_10_first_messages_that_crashed(edge: Gateway, first: bytes, condition: str) -> None:
    browser = Browser(edge.ws_port)
    browser.text(first)
    messages, code, reason = browser.until_close()
    assert len(messages) == 3
    assert (code, reason) == (1008, condition)
    browser.close()


@pytest.mark.rule("fault-10")
def test_10_blank_before_the_header(edge: Gateway, xmpp_server: XmppServer) -> None:
    """The module crashed; wsgw skips it, and answers it once the server is connected."""
    browser = Browser(edge.ws_port)
    browser.text(b" ")
    browser.text(LEGACY)
    server = xmpp_server.accept_stream()
    assert browser.message().startswith(b"<stream:stream ")
    assert b"success" in browser.message()
    browser.text(b" ")
    assert browser.message() == b" "
    browser.close()
    server.close()


@pytest.mark.rule("fault-11")
@pytest.mark.parametrize(
    ("message", "condition"),
    [(b"<a></b>", "not-well-formed"), (b"<m>%s</m>" % (b"x" * 65_536), "policy-violation")],
    ids=["bad", "oversize"],
)
def test_11_bad_xml_was_dropped(pair: Pair, message: bytes, condition: str) -> None:
    """The stream continued without it."""
    pair.browser.text(message)
    messages, _, reason = pair.browser.until_close()
    assert reason == condition
    assert messages[-1] == CLOSINGS[pair.framing]
    assert pair.server.read_to_end().startswith(b"<stream:error><" + condition.encode())


@pytest.mark.rule("xep-0198-count", "fault-12")
def test_12_order(pair: Pair) -> None:
    """Queued output went out newest first."""
    down = b"".join(b"<message id='%d'/>" % number for number in range(2000))
    pair.server.send(down)
    for number in range(500):
        pair.browser.text(b"<presence id='%d'/>" % number)
    got = [pair.browser.message() for _ in range(2000)]
    assert [int(message.split(b"id='")[1].split(b"'")[0]) for message in got] == list(range(2000))
    up = b"".join(b"<presence id='%d'/>" % number for number in range(500))
    assert pair.server.read(len(up)) == up


@pytest.mark.rule("fault-13", "fault-14")
def test_13_and_14_attributes_of_the_header(edge: Gateway, xmpp_server: XmppServer) -> None:
    """Only ``to`` and ``version`` survived, and values were not escaped."""
    browser = Browser(edge.ws_port)
    browser.text(
        OPENINGS["rfc7395"].replace(
            b" version", b" from=\"o'neill@localhost/&lt;&amp;\" xml:lang='de' id='7' version"
        )
    )
    server = xmpp_server.accept()
    header = server.read_until(b"version='1.0'>")
    assert header.endswith(
        b" to='localhost' from='o&apos;neill@localhost/&lt;&amp;' xml:lang='de' id='7' version='1.0'>"
    )
    server.send(SERVER_HEADER.replace(b"id='s1'", b'id="\'&lt;&#9;"'))
    assert b" id='&apos;&lt;&#9;' version='1.0' xml:lang='en' from='localhost'/>" in browser.message()
    browser.close()
    server.close()


@pytest.mark.rule("fault-15")
@pytest.mark.slow
def test_15_deadlines(hasty: Gateway, xmpp_server: XmppServer) -> None:
    """Request, first stream header, login: none had a deadline; the defaults exceed a read of these tests."""
    silent = raw(hasty.ws_port)
    silent.send(b"GET /ws-xmpp HTTP/1.1\r\n")
    silent.read_to_end()
    silent.close()
    unopened = Browser(hasty.ws_port)
    assert unopened.until_close()[2] == "connection-timeout"
    not_logged_in = Browser(hasty.ws_port)
    not_logged_in.text(LEGACY)
    server = xmpp_server.accept_stream(b"<stream:features/>")
    assert not_logged_in.until_close()[2] == "policy-violation"
    server.close()


@pytest.mark.rule("fault-16")
@pytest.mark.slow
def test_16_passwords_in_the_debug_log(
    certificate: Certificate, tmp_path: Path, xmpp_server: XmppServer
) -> None:
    """The module logged whole payloads."""
    secret = "correct-horse-battery"
    plain = base64.b64encode(f"\0user\0{secret}".encode())
    gateway = Gateway(tmp_path, certificate, xmpp_server.port, arguments=["--log-level", "debug"]).start()
    try:
        pair = Pair(gateway, xmpp_server, "legacy")
        said = [
            b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + plain + b"</auth>",
            b"<iq id='1' type='set'><query xmlns='jabber:iq:auth'><password>%s</password></query></iq>"
            % secret.encode(),
            b"<message><body>%s</body></message>" % secret.encode(),
        ]
        for message in said:
            pair.browser.text(message)
        assert pair.server.read(len(b"".join(said))) == b"".join(said)
        pair.server.send(b"<message><body>%s</body></message>" % secret.encode())
        pair.browser.message()
        pair.browser.text(b"<x>%s&lol;</x>" % secret.encode())
        pair.browser.until_close()
    finally:
        assert gateway.stop() == 0
        gateway.close()
    gateway.assert_clean_log({"user": secret})
    assert "restricted-xml" in gateway.log.read_text()


@pytest.mark.rule("fault-17")
@pytest.mark.slow
def test_17_handlers_origin_sockets_and_addresses(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    """The list of the module's author: only known paths, Origin, the end of a socket, invalid addresses."""
    gateway = start_edge(top_level='{websocket_origin, ["https://chat.example"]}.\n')
    for path, origin, status in (
        ("/ws-xmpp", "https://chat.example", 101),
        ("/ws-xmpp", "https://evil.example", 403),
        ("/elsewhere", "https://chat.example", 404),
        ("/ws-xmpp/%00", "https://chat.example", 400),
        ("/%", "https://chat.example", 404),
    ):
        browser = Browser(gateway.ws_port, path=path, headers=(f"Origin: {origin}",))
        assert browser.head.split()[1] == str(status), (path, origin)
        browser.close()
    reset = Browser(gateway.ws_port, headers=("Origin: https://chat.example",))
    reset.text(CLOSE_7395)
    reset.reset()
    browser = Browser(gateway.ws_port, headers=("Origin: https://chat.example",))
    browser.text(LEGACY)
    xmpp_server.accept_stream().close()
    assert browser.message().startswith(b"<stream:stream ")
    browser.close()
