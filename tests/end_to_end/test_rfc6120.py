"""RFC 6120 and the XEPs that meet a gateway: both streams in bytes, through a real gateway process.

Its sections on errors and restricted XML have their own tables: ``endings/``, ``test_hostile_xml``.
"""

from __future__ import annotations

import logging

import pytest

from tests.support.edges import Pair, StartEdge
from tests.support.gateway import Gateway
from tests.support.wire import (
    END,
    OPENINGS,
    SERVER_HEADER,
    SUCCESS,
    Browser,
    Connection,
    XmppServer,
    with_limits,
)
from wsgw.stanzas.worker_state import Warned
from wsgw.websocket_xmpp import WebSocketXmpp, XmppLimits
from wsgw.xmpp import features as xmpp_features

FRAMINGS = ("rfc7395", "legacy")
#: The limit of the gateway under test, from the 65 536 of its stock c2s listener.
PREAUTH, LIMIT = 10_000, 65_536


@pytest.fixture(scope="module")
def edge(start_edge: StartEdge) -> Gateway:
    return start_edge(ws_options="{websocket_ping_interval, infinity}, ")


@pytest.fixture(params=FRAMINGS)
def framing(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def connected(edge: Gateway, server: XmppServer, framing: str) -> tuple[Browser, Connection, bytes]:
    """A browser that waits for the server's header, the server, and the header that the server got."""
    browser = Browser(edge.ws_port)
    browser.text(OPENINGS[framing])
    connection = server.accept()
    return browser, connection, connection.read_until(b"version='1.0'>")


# -- streams -------------------------------------------------------------------------------------


@pytest.mark.rule("6120-4.3.3")
def test_4_3_3_a_restart_discards_the_bindings_of_the_old_stream(
    edge: Gateway, xmpp_server: XmppServer
) -> None:
    """Prefixes of the old header are unknown after the new one, in both directions."""
    browser, server, _ = connected(edge, xmpp_server, "legacy")
    server.send(SERVER_HEADER + SUCCESS)
    browser.message()
    browser.message()
    header = (
        b"<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams' to='localhost'"
        b" version='1.0'>"
    )
    browser.text(header)
    assert server.read_until(header) == b"<?xml version='1.0'?>" + header
    browser.text(b"<s:x/>")
    assert server.read_until(b">") == b"<s:x/>", "bound by the new header"
    browser.text(b"<stream:x/>")
    messages, _, reason = browser.until_close()
    assert reason == "not-well-formed", messages
    assert server.read_to_end().endswith(b"</s:error></s:stream>"), "with the prefix of the new header"
    browser.close()


@pytest.mark.rule("6120-4.3.3")
def test_4_3_3_a_restart_brings_new_bindings_of_the_server(edge: Gateway, xmpp_server: XmppServer) -> None:
    pair = Pair(edge, xmpp_server)
    pair.server.send(
        b"<?xml version='1.0'?><s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'"
        b" id='s2' version='1.0'><s:features/>"
    )
    assert b"id='s2'" in pair.browser.message()
    empty = b'<s:features xmlns:s="http://etherx.jabber.org/streams"/>'
    assert pair.browser.message() == with_limits(empty, LIMIT)
    pair.close()


@pytest.mark.rule("6120-4.7")
def test_4_7_the_servers_id_is_relayed(edge: Gateway, xmpp_server: XmppServer, framing: str) -> None:
    """And every other attribute of its header, also unknown ones."""
    browser, server, _ = connected(edge, xmpp_server, framing)
    server.send(SERVER_HEADER.replace(b"id='s1'", b"id='++&apos;9' future='1'"))
    header = browser.message()
    assert b" id='++&apos;9'" in header
    assert b" future='1'" in header
    assert b" from='localhost'" in header
    browser.close()
    server.close()


@pytest.mark.rule("6120-4.8.1")
@pytest.mark.parametrize("prefix", [b"stream", b"s", b"x-y", b"streams.1"])
def test_4_8_1_any_prefix_names_the_stream(edge: Gateway, xmpp_server: XmppServer, prefix: bytes) -> None:
    """The browser's errors and features keep the server's prefix, and declare it."""
    browser, server, _ = connected(edge, xmpp_server, "rfc7395")
    server.send(
        b"<%s:stream xmlns='jabber:client' xmlns:%s='http://etherx.jabber.org/streams' id='1'><%s:features/>"
        % (prefix, prefix, prefix)
    )
    assert browser.message().startswith(b"<open ")
    empty = b'<%s:features xmlns:%s="http://etherx.jabber.org/streams"/>' % (prefix, prefix)
    assert browser.message() == with_limits(empty, PREAUTH)
    server.send(b"</%s:stream>" % prefix)
    assert browser.until_close()[1] == 1000
    server.close()


@pytest.mark.rule("6120-4.9.1.2")
def test_4_9_1_2_an_error_before_the_servers_header_follows_one(
    edge: Gateway, xmpp_server: XmppServer, framing: str
) -> None:
    browser, server, _ = connected(edge, xmpp_server, framing)
    browser.text(b"<a>&b;</a>")
    messages, code, reason = browser.until_close()
    assert messages[0].startswith(b"<open " if framing == "rfc7395" else b"<stream:stream ")
    assert b"<restricted-xml " in messages[1]
    assert (len(messages), code, reason) == (3, 1008, "restricted-xml")
    assert server.read_to_end().endswith(END)


@pytest.mark.rule("6120-6.3.5", "xep-0198-count")
def test_6_3_5_the_gateway_adds_no_bytes_to_those_of_the_client(
    edge: Gateway, xmpp_server: XmppServer, framing: str
) -> None:
    """No white space during SASL and no stanza of wsgw, which XEP-0198 would count: byte for byte."""
    browser, server, header = connected(edge, xmpp_server, framing)
    assert header.startswith(b"<?xml version='1.0'?><stream:stream ")
    server.send(SERVER_HEADER)
    browser.message()
    said = [
        b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
        b"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
        b"<message xmlns='jabber:client' to='b@localhost'><body>1 &lt; 2</body></message>",
        b"<r xmlns='urn:xmpp:sm:3'/>",
        b"<a xmlns='urn:xmpp:sm:3' h='1'/>",
    ]
    for element in said:
        browser.text(element)
        browser.text(b" ")
    browser.text(said[0])
    assert server.read(len(b"".join(said)) + len(said[0])) == b"".join([*said, said[0]])
    assert server.silent(0.2)
    browser.close()
    server.close()


@pytest.mark.rule("6120-11.7")
def test_11_7_white_space_between_stanzas_is_no_message(
    edge: Gateway, xmpp_server: XmppServer, framing: str
) -> None:
    pair = Pair(edge, xmpp_server, framing)
    pair.server.send(b" ")
    pair.server.send(b"\n\n<message id='1'/>\r\n\t<message id='2'/> ")
    assert [b"id='%d'" % number in pair.browser.message() for number in (1, 2)] == [True, True]
    assert pair.browser.silent(0.2)
    pair.close()


@pytest.mark.rule("6120-13.12")
def test_13_12_ten_thousand_bytes_are_always_allowed(edge: Gateway, xmpp_server: XmppServer) -> None:
    """Also before login; one byte more is a policy violation."""
    for size, allowed in ((PREAUTH, True), (PREAUTH + 1, False)):
        browser, server, _ = connected(edge, xmpp_server, "rfc7395")
        server.send(SERVER_HEADER)
        browser.message()
        stanza = b"<iq xmlns='jabber:client'>%s</iq>" % (b"x" * (size - 31))
        browser.text(stanza)
        if allowed:
            assert len(stanza) == size
            assert server.read(size) == stanza
        else:
            assert browser.until_close()[1:] == (1009, "policy-violation")
        browser.close()
        server.close()


# -- XEP-0198: stream management -------------------------------------------------------------------


@pytest.mark.rule("xep-0198-count")
def test_0198_requests_and_answers_pass_at_once(edge: Gateway, xmpp_server: XmppServer, framing: str) -> None:
    """Alone or after a stanza, and in their order."""
    pair = Pair(edge, xmpp_server, framing)
    pair.browser.text(b"<r xmlns='urn:xmpp:sm:3'/>")
    assert pair.server.read_until(b">") == b"<r xmlns='urn:xmpp:sm:3'/>"
    pair.server.send(b"<a xmlns='urn:xmpp:sm:3' h='0'/>")
    assert pair.browser.message() == b"<a xmlns='urn:xmpp:sm:3' h='0'/>"
    pair.server.send(b"<message id='1'/><r xmlns='urn:xmpp:sm:3'/><message id='2'/>")
    got = [pair.browser.message() for _ in range(3)]
    assert got[1] == b"<r xmlns='urn:xmpp:sm:3'/>"
    assert [b"id='1'" in got[0], b"id='2'" in got[2]] == [True, True]
    pair.close()


@pytest.mark.rule("xep-0198-violation")
def test_0198_policy_violation_ends_the_session_too(edge: Gateway, xmpp_server: XmppServer) -> None:
    """Otherwise a client that resumes would send the same stanza again, for ever."""
    pair = Pair(edge, xmpp_server)
    pair.browser.text(b"<m>%s</m>" % (b"x" * LIMIT))
    assert pair.browser.until_close()[1:] == (1009, "policy-violation")
    farewell = pair.server.read_to_end()
    assert farewell.startswith(b"<stream:error><policy-violation ")
    assert farewell.endswith(END)


@pytest.mark.rule("xep-0388")
def test_0388_the_from_of_the_header_reaches_the_server(edge: Gateway, xmpp_server: XmppServer) -> None:
    """Servers offer SASL2 to clients that name themselves; there is no restart after its success."""
    browser = Browser(edge.ws_port)
    browser.text(OPENINGS["rfc7395"].replace(b" to=", b" from='a@localhost' to="))
    server = xmpp_server.accept()
    assert b" from='a@localhost'" in server.read_until(b"version='1.0'>")
    success = b"<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>a@localhost/x" + (
        b"</authorization-identifier></success>"
    )
    server.send(SERVER_HEADER + success + b"<stream:features/>")
    assert browser.message().startswith(b"<open ")
    assert browser.message() == success
    assert browser.message().startswith(b"<stream:features ")
    large = b"<m>%s</m>" % (b"x" * 2 * PREAUTH)
    browser.text(large)
    assert server.read(len(large)) == large, "the limit after login holds"
    browser.close()
    server.close()


# -- XEP-0478: stream limits -----------------------------------------------------------------------


def limits(size: bytes) -> bytes:
    return (
        b"<stream:features><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>%s</max-bytes>"
        b"<idle-seconds>300</idle-seconds></limits></stream:features>" % size
    )


@pytest.mark.rule("xep-0478-bytes", "xep-0478-idle")
def test_0478_announced_limits_are_lowered_to_those_of_wsgw(
    edge: Gateway, xmpp_server: XmppServer, framing: str
) -> None:
    """To the current one: before login the stricter; a lower limit of the server stays."""
    browser, server, _ = connected(edge, xmpp_server, framing)
    server.send(SERVER_HEADER + limits(b"524288") + SUCCESS + limits(b"524288") + limits(b"5000"))
    browser.message()
    declared = b'<stream:features xmlns:stream="http://etherx.jabber.org/streams">'
    for number, expected in enumerate((b"%d" % PREAUTH, b"%d" % LIMIT, b"5000")):
        message = browser.message()
        if framing == "rfc7395":
            assert message == limits(expected).replace(b"<stream:features>", declared)
        else:
            assert message == limits(expected)
        if not number:
            assert browser.message() == SUCCESS
    browser.close()
    server.close()


@pytest.mark.rule("xep-0478-bytes", "xep-0478-idle")
def test_0478_limits_are_announced_where_the_server_announces_none(
    edge: Gateway, xmpp_server: XmppServer, framing: str
) -> None:
    """In both streams of a login, the limits of that moment; in pieces or not, and empty features too."""
    browser, server, _ = connected(edge, xmpp_server, framing)
    offered = b"<stream:features><m xmlns='urn:m'/></stream:features>"
    server.send(SERVER_HEADER)
    browser.message()
    for byte in offered:
        server.send(bytes((byte,)))
    got = [browser.message()]
    server.send(SUCCESS)
    assert browser.message() == SUCCESS
    browser.text(OPENINGS[framing])
    server.send(SERVER_HEADER + b"<stream:features/>")
    browser.message()
    got.append(browser.message())
    declared = b' xmlns:stream="http://etherx.jabber.org/streams"' if framing == "rfc7395" else b""
    wanted = [with_limits(offered, PREAUTH), with_limits(b"<stream:features/>", LIMIT)]
    assert got == [each.replace(b"<stream:features", b"<stream:features" + declared) for each in wanted]
    browser.close()
    server.close()


@pytest.mark.rule("xep-0478-bytes", "xep-0388")
def test_0478_features_after_sasl2_announce_the_limit_after_login(
    edge: Gateway, xmpp_server: XmppServer
) -> None:
    """That login has no second stream: its features follow ``<success/>``."""
    browser, server, _ = connected(edge, xmpp_server, "legacy")
    success = b"<success xmlns='urn:xmpp:sasl:2'/>"
    server.send(SERVER_HEADER + b"<stream:features/>" + success + b"<stream:features/>")
    messages = [browser.message() for _ in range(4)]
    before, after = (with_limits(b"<stream:features/>", size) for size in (PREAUTH, LIMIT))
    assert messages[1:] == [before, success, after]
    browser.close()
    server.close()


# -- channel binding -------------------------------------------------------------------------------

PLUS = (
    b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
    b"<mechanism>SCRAM-SHA-256-PLUS</mechanism><mechanism>SCRAM-SHA-256</mechanism></mechanisms>"
    b"</stream:features>"
)
BINDING = (
    b"<stream:features><sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>"
    b"<channel-binding type='tls-exporter'/></sasl-channel-binding></stream:features>"
)
FAST = (
    b"<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-256</mechanism>"
    b"<inline><fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism>"
    b"<mechanism>HT-SHA-256-EXPR</mechanism></fast></inline></authentication></stream:features>"
)
PLAIN = (
    b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>"
    b"</mechanisms></stream:features>"
)


class Mute:
    """A browser that keeps the bytes it gets."""

    def __init__(self) -> None:
        self.max_message_size = PREAUTH
        self.stanza_bounds: tuple[int, int, int] | None = None
        self.got: list[bytes] = []

    def send(self, text: bytes) -> None:
        self.got.append(text)

    def send_frames(self, frames: bytes) -> None:
        raise AssertionError("there was no login")

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(f"closed: {code} {reason}")


@pytest.mark.rule("xep-0440")
@pytest.mark.parametrize(
    ("features", "warns"),
    [(PLUS, True), (BINDING, True), (FAST, True), (PLAIN, False)],
    ids=["-PLUS", "XEP-0440", "FAST", "none"],
)
def test_0440_channel_binding_passes_with_one_warning(
    features: bytes, warns: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients hash the lists (XEP-0474) and compare them with their choice: no byte may change.
    Once for each domain and process, the log names the option to switch off."""
    monkeypatch.setattr(xmpp_features, "warned", Warned())
    declared = b'<stream:features xmlns:stream="http://etherx.jabber.org/streams">'
    with caplog.at_level(logging.WARNING):
        for domain in ("a.example", "b.example", "a.example"):
            browser = Mute()
            limits = XmppLimits(LIMIT, 100, 256, 10.0, 60.0, 300.0)
            xmpp = WebSocketXmpp(browser, limits, lambda to: to, 0.0)
            xmpp.process_request(OPENINGS["rfc7395"].replace(b"localhost", domain.encode()))
            xmpp.upstream_connected()
            xmpp.upstream_data(SERVER_HEADER + features)
            xmpp.process_upstream(10)
            edited = with_limits(features.replace(b"<stream:features>", declared), PREAUTH)
            assert browser.got[1] == edited
    said = [record.getMessage() for record in caplog.records]
    assert [message.partition(":")[0] for message in said] == (["a.example", "b.example"] if warns else [])
    named = ("SCRAM-...-PLUS", "HT-...-EXPR", "<sasl-channel-binding/>")
    assert all(name in message for message in said for name in named)
