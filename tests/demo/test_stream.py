"""The stream: header, features, every stream error, binding, the end (RFC 6120 sections 4, 7)."""

from __future__ import annotations

import re
from collections.abc import Callable

import gevent
import pytest

from tests.demo.raw_client import END, FEATURES, HEADER, SECONDS, RawClient, plain
from tests.support.processes import ReservedPort
from wsgw.demo import DemoServer
from wsgw.demo.connection import MAX_PENDING

Connect = Callable[[], RawClient]

PING = "<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"


def test_a_header_is_answered_with_header_and_features(connect: Connect) -> None:
    answer = connect().open()
    assert re.match(
        r"<\?xml version='1\.0'\?><stream:stream id='[0-9a-f]{20}' from='localhost' version='1\.0'"
        r" xml:lang='en' xmlns:stream='http://etherx\.jabber\.org/streams' xmlns='jabber:client'>",
        answer,
    )
    for mechanism in ("PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"):
        assert f"<mechanism>{mechanism}</mechanism>" in answer
    assert "<register xmlns='http://jabber.org/features/iq-register'/>" in answer


def test_features_after_login_have_bind(connect: Connect) -> None:
    client = connect()
    client.open()
    client.send(plain("alice", "secret"))
    client.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
    features = client.open()
    assert features.count("<?xml") == 1
    assert "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>" in features
    assert "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>" in features
    assert "<sm xmlns='urn:xmpp:sm:3'/>" in features


def test_every_restart_has_another_id(connect: Connect) -> None:
    client = connect()
    first = client.open()
    client.send(plain("alice", "secret"))
    assert first.partition("id=")[2][:22] != client.open().partition("id=")[2][:22]


@pytest.mark.parametrize(
    ("header", "condition"),
    [
        (HEADER.replace(b"localhost", b"elsewhere"), "host-unknown"),
        (HEADER.replace(b"localhost", b"a b"), "host-unknown"),
        (HEADER.replace(b" to='localhost'", b""), "improper-addressing"),
        (HEADER.replace(b"etherx", b"other"), "invalid-namespace"),
        (HEADER.replace(b"jabber:client", b"jabber:server"), "invalid-namespace"),
        (HEADER.replace(b"<stream:stream", b"<stream:flow"), "bad-format"),
        (HEADER.replace(b" version='1.0' xmlns=", b" xmlns="), "unsupported-version"),
        (HEADER.replace(b" version='1.0' xmlns=", b" version='0.9' xmlns="), "unsupported-version"),
        (b"GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        (b"<stream:stream>", "bad-namespace-prefix"),
        (b"<?xml version='1.0' encoding='latin-1'?>" + HEADER, "unsupported-encoding"),
        (b"<?php ?>", "restricted-xml"),
        (b"<!DOCTYPE stream []>", "restricted-xml"),
        (b"<!-- hello -->", "restricted-xml"),
        (b"\xff\xfe<\0", "not-well-formed"),
    ],
)
def test_a_bad_header_is_refused(connect: Connect, header: bytes, condition: str) -> None:
    client = connect()
    client.send(header)
    answer = client.rest()
    assert answer.startswith("<?xml version='1.0'?><stream:stream ")
    assert f"<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in answer
    assert answer.endswith("</stream:error></stream:stream>")


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"<message><body></message>", "not-well-formed"),
        (b"<message a=b/>", "not-well-formed"),
        (b"<message a='\x01'/>", "not-well-formed"),
        (b"<message>\xff</message>", "not-well-formed"),
        (b"<message><body>&unknown;</body></message>", "restricted-xml"),
        (b"<message><!-- x --></message>", "restricted-xml"),
        (b"<message><?x y?></message>", "restricted-xml"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]>", "restricted-xml"),
        (b"<message><x:y/></message>", "bad-namespace-prefix"),
        (b"hello", "bad-format"),
        (b"<![CDATA[hello]]>", "bad-format"),
        (b"<message><body>" + b"x" * 300_000, "policy-violation"),
        (b"<message a='" + b"x" * 300_000, "policy-violation"),
        (b"<x>" * 200, "policy-violation"),
        (b"<message xmlns='jabber:server'/>", "invalid-namespace"),
        (b"<letter/>", "unsupported-stanza-type"),
        (b"<message from='bob@localhost'/>", "invalid-from"),
    ],
)
def test_a_stream_error_ends_a_session(connect: Connect, data: bytes, condition: str) -> None:
    client = connect().login("alice")
    client.send(data)
    answer = client.rest()
    assert answer.startswith(f"<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text")
    assert answer.endswith("</stream:error></stream:stream>")


def test_stanzas_before_an_error_are_handled(connect: Connect) -> None:
    client = connect().login("alice")
    client.send(PING + PING + "<nonsense/")
    client.send(">")
    answer = client.rest()
    assert answer.count("<iq type='result' id='p'") == 2
    assert "unsupported-stanza-type" in answer


@pytest.mark.parametrize("stanza", ["<message/>", "<presence/>", PING])
def test_a_stanza_before_login_is_an_error(connect: Connect, stanza: str) -> None:
    client = connect()
    client.open()
    client.send(stanza)
    assert "<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in client.rest()


def test_a_stanza_before_bind_is_an_error(connect: Connect) -> None:
    client = connect()
    client.authenticate("alice")
    client.send("<presence/>")
    assert "<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in client.rest()


def test_a_large_stanza_within_the_limit_passes(connect: Connect) -> None:
    alice, bob = connect().login("alice"), connect().login("bob")
    body = "&amp;ä😀" * 20_000
    alice.send(f"<message to='{bob.jid}'><body>{body}</body></message>")
    assert body in bob.until("</message>")


def test_a_domain_is_normalised_before_it_is_compared(connect: Connect) -> None:
    client = connect()
    client.send(HEADER.replace(b"localhost", b"LOCALHOST."))
    assert "from='localhost'" in client.until(FEATURES)


@pytest.mark.parametrize("prefix", [b"s", b"stream", b"x"])
def test_any_prefix_names_the_stream(connect: Connect, prefix: bytes) -> None:
    client = connect()
    client.send(
        HEADER.replace(b"stream:stream", prefix + b":stream").replace(b"xmlns:stream", b"xmlns:" + prefix)
    )
    client.until(FEATURES)
    client.send(b"</" + prefix + b":stream>")
    assert client.rest() == "</stream:stream>"


def test_a_prefix_may_bind_the_content_namespace(connect: Connect) -> None:
    alice, bob = connect().login("alice"), connect().login("bob")
    alice.send(f"<c:message xmlns:c='jabber:client' to='{bob.jid}'><c:body>hi</c:body></c:message>")
    assert bob.until("</message>").endswith("from='alice@localhost/test'><body>hi</body></message>")


def test_a_closing_tag_is_answered(connect: Connect) -> None:
    client = connect().login("alice")
    client.send(END)
    assert client.rest() == "</stream:stream>"


def test_a_white_space_keepalive_is_accepted(connect: Connect) -> None:
    client = connect().login("alice")
    for keepalive in (" ", "\n", " \r\n\t"):
        client.send(keepalive)
    assert client.nothing_before() == ""


def test_every_byte_may_come_alone(connect: Connect) -> None:
    """From the declaration to the closing tag."""
    client = connect()

    def trickle(data: bytes) -> None:
        for index in range(len(data)):
            client.send(data[index : index + 1])
            gevent.sleep(0)

    trickle(HEADER)
    client.until(FEATURES)
    trickle(plain("alice", "secret"))
    client.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
    trickle(HEADER)
    client.until(FEATURES)
    trickle(
        b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
        b"<resource>\xc3\xa4</resource></bind></iq>"
    )
    assert "<jid>alice@localhost/ä</jid>" in client.until("</iq>")
    trickle("<message to='alice@localhost/ä' id='>'><body>😀 &lt;<![CDATA[<&>]]></body></message>".encode())
    assert "id='&gt;' from='alice@localhost/ä'><body>😀 &lt;&lt;&amp;&gt;</body>" in client.until(
        "</message>"
    )
    trickle(b"</stream:stream>")
    assert client.rest() == "</stream:stream>"


def test_a_client_need_not_wait_for_answers(connect: Connect) -> None:
    """Login, restart and binding in one write."""
    client = connect()
    bind = b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
    client.send(HEADER + plain("alice", "secret") + HEADER + bind + END)
    answer = client.rest()
    assert answer.count("<stream:stream ") == 2
    assert "<jid>alice@localhost/" in answer
    assert answer.endswith("</iq></stream:stream>")


def test_a_resource_is_generated(connect: Connect) -> None:
    jids = set()
    for client in (connect(), connect()):
        client.authenticate("alice")
        client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        jids.add(client.until("</jid>").partition("<jid>")[2])
    assert len(jids) == 2


def test_a_second_session_of_a_resource_replaces_the_first(connect: Connect) -> None:
    first = connect().login("alice", "one")
    second = connect().login("alice", "one")
    assert first.rest().startswith("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>")
    assert second.jid == "alice@localhost/one"
    assert second.nothing_before() == ""


def test_an_impossible_resource_is_an_error(connect: Connect) -> None:
    client = connect()
    client.authenticate("alice")
    client.send(
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
        "<resource>&#xE000;</resource></bind></iq>"
    )
    assert "<error type='modify'><bad-request" in client.until("</iq>")


def test_a_second_bind_is_an_error(connect: Connect) -> None:
    client = connect().login("alice")
    client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    assert "<error type='cancel'><not-allowed" in client.until("</iq>")


def test_a_session_request_is_answered(connect: Connect) -> None:
    client = connect().login("alice")
    client.send("<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>")
    assert client.until("/>") == "<iq type='result' id='s' to='alice@localhost/test'/>"


def test_a_stop_ends_every_stream_and_leaves_nothing() -> None:
    port = ReservedPort()  # so that no other program listens there afterwards
    server = DemoServer(accounts={"alice": "secret"}, port=port.number)
    server.start()
    waiting, bound = RawClient(server.port), RawClient(server.port).login("alice")
    waiting.open()
    farewells = [gevent.spawn(client.rest) for client in (waiting, bound)]
    server.stop()
    for farewell in farewells:
        assert farewell.get(timeout=SECONDS).startswith("<stream:error><system-shutdown ")
    assert len(server._connections) == len(server._writers) == 0
    with pytest.raises(ConnectionRefusedError):
        RawClient(server.port)
    for client in (waiting, bound):
        client.close()
    port.release()


def test_a_silent_client_does_not_delay_the_stop(server: DemoServer) -> None:
    client = RawClient(server.port).login("alice")
    with gevent.Timeout(4):
        server.stop()
    client.close()


def test_a_slow_reader_delays_no_other_client(connect: Connect) -> None:
    """A client that never reads is cut off; the sender and a third client continue."""
    alice, bob, carol = connect().login("alice"), connect().login("bob"), connect().login("carol")
    message = f"<message to='{bob.jid}'><body>{'x' * 100_000}</body></message>"
    taken, answer = 0, ""
    while not answer and taken < 4 * MAX_PENDING:
        alice.send(message)
        taken += len(message)
        answer = alice.nothing_before()
    assert "<service-unavailable " in answer
    assert taken > MAX_PENDING
    alice.send(f"<message to='{carol.jid}'><body>still here</body></message>")
    carol.until("still here")
