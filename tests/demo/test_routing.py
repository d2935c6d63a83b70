"""The recipients of messages and requests, and the errors (RFC 6121 section 8.5, RFC 6120 section 8)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.demo.raw_client import RawClient

Connect = Callable[[], RawClient]

BODY = "<body>&amp; &lt;b&gt; '\" äöü 👋</body>"


def message(to: str, kind: str = "chat") -> str:
    return f"<message to='{to}' type='{kind}' id='m'>{BODY}</message>"


def test_a_message_to_a_full_jid_reaches_that_resource(connect: Connect) -> None:
    alice, bob = connect().login("alice"), connect().login("bob")
    alice.send(message(bob.jid))
    expected = (
        f"<message to='bob@localhost/test' type='chat' id='m' from='alice@localhost/test'>{BODY}</message>"
    )
    assert bob.until("</message>") == expected


def test_a_message_to_a_bare_jid_reaches_the_highest_priority(connect: Connect) -> None:
    alice = connect().login("alice")
    low, one, two, unwilling, silent = (connect().login("bob", name) for name in "abcde")
    for client, priority in ((low, 1), (one, 5), (two, 5), (unwilling, -1)):
        client.available(priority)
    alice.send(message("bob@localhost"))
    for client in (one, two):
        assert BODY in client.until("</message>")
    for client in (low, unwilling, silent):
        assert "<message" not in client.nothing_before()


def test_a_headline_reaches_all_available_resources(connect: Connect) -> None:
    alice = connect().login("alice")
    low, high = connect().login("bob", "low").available(1), connect().login("bob", "high").available(5)
    alice.send(message("bob@localhost", "headline"))
    for client in (low, high):
        assert BODY in client.until("</message>")


def test_a_message_without_an_address_is_for_the_own_account(connect: Connect) -> None:
    one, two = connect().login("alice", "one").available(), connect().login("alice", "two").available()
    two.send(f"<message>{BODY}</message>")
    for client in (one, two):
        assert BODY in client.until("</message>")


def test_a_message_to_a_lost_resource_is_for_its_account(connect: Connect) -> None:
    alice, bob = connect().login("alice"), connect().login("bob").available()
    alice.send(message("bob@localhost/gone"))
    assert BODY in bob.until("</message>")


@pytest.mark.parametrize(
    ("to", "kind", "condition"),
    [
        ("bob@localhost", "chat", "service-unavailable"),
        ("bob@localhost/gone", "chat", "service-unavailable"),
        ("bob@localhost/gone", "groupchat", "service-unavailable"),
        ("nobody@localhost", "chat", "service-unavailable"),
        ("localhost", "normal", "service-unavailable"),
        ("bob@elsewhere.example", "chat", "remote-server-not-found"),
        ("@", "chat", "jid-malformed"),
        ("bob@localhost/", "chat", "jid-malformed"),
    ],
)
def test_an_undeliverable_message_is_refused(connect: Connect, to: str, kind: str, condition: str) -> None:
    alice = connect().login("alice")
    alice.send(message(to, kind))
    answer = alice.until("</message>")
    assert answer.startswith("<message ")
    assert f"from='{to}'" in answer
    assert "type='error'" in answer
    assert f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>" in answer
    assert BODY in answer


@pytest.mark.parametrize(("to", "kind"), [("bob@localhost", "error"), ("bob@localhost", "headline")])
def test_an_undeliverable_error_or_headline_is_dropped(connect: Connect, to: str, kind: str) -> None:
    alice = connect().login("alice")
    alice.send(message(to, kind))
    assert alice.nothing_before() == ""


def test_a_client_may_give_its_own_address(connect: Connect) -> None:
    alice = connect().login("alice")
    for sender in ("alice@localhost", "Alice@LOCALHOST", "alice@localhost/test"):
        alice.send(f"<message from='{sender}' to='{alice.jid}'>{BODY}</message>")
        assert "from='alice@localhost/test'" in alice.until("</message>")


def test_foreign_namespaces_and_attributes_survive(connect: Connect) -> None:
    alice, bob = connect().login("alice"), connect().login("bob")
    alice.send(
        f"<message to='{bob.jid}' xml:lang='de' xmlns:p='a:b' p:q='1&#10;2'>"
        "<p:x p:y='&apos;'><none xmlns=''/></p:x>"
        "<body>a<b/>c</body></message>"
    )
    assert bob.until("</message>") == (
        "<message to='bob@localhost/test' xml:lang='de' xmlns:ns1='a:b' ns1:q='1&#xA;2'"
        " from='alice@localhost/test'><x xmlns='a:b' xmlns:ns1='a:b' ns1:y='&apos;'><none xmlns=''/></x>"
        "<body>a<b/>c</body></message>"
    )


def test_a_request_passes_between_clients(connect: Connect) -> None:
    alice, bob = connect().login("alice"), connect().login("bob")
    alice.send(f"<iq type='get' id='v' to='{bob.jid}'><query xmlns='jabber:iq:version'/></iq>")
    assert "from='alice@localhost/test'" in bob.until("</iq>")
    bob.send(f"<iq type='result' id='v' to='{alice.jid}'/>")
    assert (
        alice.until("/>") == "<iq type='result' id='v' to='alice@localhost/test' from='bob@localhost/test'/>"
    )


@pytest.mark.parametrize("to", ["", " to='localhost'", " to='alice@localhost'"])
def test_a_ping_is_answered(connect: Connect, to: str) -> None:
    alice = connect().login("alice")
    alice.send(f"<iq type='get' id='p'{to}><ping xmlns='urn:xmpp:ping'/></iq>")
    assert alice.until("/>").startswith("<iq type='result' id='p' to='alice@localhost/test'")


def test_discovery_is_answered(connect: Connect) -> None:
    alice = connect().login("alice").available()
    for to, identity in (
        ("localhost", "category='server' type='im'"),
        ("alice@localhost", "category='account'"),
    ):
        alice.send(
            f"<iq type='get' id='d' to='{to}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        )
        answer = alice.until("</iq>")
        assert identity in answer
        assert "<feature var='urn:xmpp:ping'/>" in answer
    alice.send(
        "<iq type='get' id='i' to='localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>"
    )
    assert "<query xmlns='http://jabber.org/protocol/disco#items'/>" in alice.until("</iq>")
    alice.send("<iq type='get' id='i'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>")
    assert f"<item jid='{alice.jid}'/>" in alice.until("</iq>")


@pytest.mark.parametrize(
    ("attributes", "payload", "condition"),
    [
        ("type='get' id='1'", "<query xmlns='jabber:iq:unknown'/>", "service-unavailable"),
        ("type='set' id='1'", "<ping xmlns='urn:xmpp:ping'/>", "feature-not-implemented"),
        ("type='get' id='1' to='bob@localhost'", "<ping xmlns='urn:xmpp:ping'/>", "service-unavailable"),
        ("type='get' id='1' to='bob@localhost'", "<query xmlns='jabber:iq:roster'/>", "forbidden"),
        ("type='get' id='1' to='bob@localhost/x'", "<ping xmlns='urn:xmpp:ping'/>", "service-unavailable"),
        ("type='get' id='1' to='bob@elsewhere'", "<ping xmlns='urn:xmpp:ping'/>", "remote-server-not-found"),
        ("type='get' id='1'", "", "bad-request"),
        ("type='get' id='1'", "<a xmlns='b'/><c xmlns='d'/>", "bad-request"),
        ("type='get'", "<ping xmlns='urn:xmpp:ping'/>", "bad-request"),
        (
            "type='get' id='1'",
            "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>",
            "item-not-found",
        ),
    ],
)
def test_a_bad_request_is_refused(connect: Connect, attributes: str, payload: str, condition: str) -> None:
    alice = connect().login("alice")
    alice.send(f"<iq {attributes}>{payload}</iq>")
    answer = alice.until("</iq>")
    assert "type='error'" in answer
    assert f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>" in answer
    assert payload in answer


@pytest.mark.parametrize(
    "stanza", ["<iq type='result' id='x'/>", "<iq type='error' id='x' to='bob@localhost/gone'/>"]
)
def test_answers_without_a_request_are_dropped(connect: Connect, stanza: str) -> None:
    alice = connect().login("alice")
    alice.send(stanza)
    assert alice.nothing_before() == ""
