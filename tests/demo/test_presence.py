"""Presence, rosters and subscriptions (RFC 6121 sections 2 to 4)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.demo.raw_client import RawClient
from wsgw.demo import DemoServer

Connect = Callable[[], RawClient]


def set_item(client: RawClient, item: str) -> str:
    client.send(f"<iq type='set' id='set'><query xmlns='jabber:iq:roster'>{item}</query></iq>")
    answer = client.until("id='set'")
    return answer + client.until(">")


@pytest.fixture
def pair(connect: Connect) -> tuple[RawClient, RawClient]:
    """Alice and Bob, available, with their rosters read."""
    alice, bob = connect().login("alice"), connect().login("bob")
    for client in (alice, bob):
        assert "<query xmlns='jabber:iq:roster'/>" in client.roster()
        client.available()
    return alice, bob


def befriend(one: RawClient, other: RawClient) -> None:
    """Subscribe in both directions, with every stanza of RFC 6121 section 3.1."""
    for asker, asked in ((one, other), (other, one)):
        me, them = asker.jid.partition("/")[0], asked.jid.partition("/")[0]
        asker.send(f"<presence type='subscribe' to='{them}/any'/>")
        push = asker.until("</iq>")
        assert "ask='subscribe'" in push
        assert asked.until("/>") == f"<presence type='subscribe' to='{them}' from='{me}'/>"
        asked.send(f"<presence type='subscribed' to='{me}'/>")
        assert f"jid='{me}'" in asked.until("</iq>")
        assert asker.until("/>") == f"<presence type='subscribed' to='{me}' from='{them}'/>"
        assert f"jid='{them}'" in asker.until("</iq>")
        assert f"from='{asked.jid}'" in asker.until("</presence>")


def test_two_accounts_subscribe_to_each_other(pair: tuple[RawClient, RawClient]) -> None:
    alice, bob = pair
    befriend(alice, bob)
    assert "<item jid='bob@localhost' subscription='both'/>" in alice.roster()
    assert "<item jid='alice@localhost' subscription='both'/>" in bob.roster()


def test_presence_and_a_loss_are_broadcast(pair: tuple[RawClient, RawClient]) -> None:
    alice, bob = pair
    befriend(alice, bob)
    bob.send("<presence><show>away</show></presence>")
    assert alice.until("</presence>").endswith("<show>away</show></presence>")
    bob.close()
    gone = "<presence from='bob@localhost/test' type='unavailable' to='alice@localhost'/>"
    assert alice.until("/>") == gone


def test_unavailable_keeps_its_status(pair: tuple[RawClient, RawClient]) -> None:
    alice, bob = pair
    befriend(alice, bob)
    bob.send("<presence type='unavailable'><status>tea</status></presence>")
    assert "type='unavailable'" in (told := alice.until("</presence>"))
    assert "<status>tea</status>" in told
    bob.end()
    assert alice.nothing_before() == ""


def test_a_new_resource_gets_the_presence_of_others(
    pair: tuple[RawClient, RawClient], connect: Connect
) -> None:
    """Of contacts, and of other resources of its account."""
    alice, bob = pair
    befriend(alice, bob)
    second = connect().login("alice", "second").available()
    welcome = second.until("alice@localhost/test") + second.until("</presence>")
    assert "from='bob@localhost/test'" in welcome
    for client in (alice, bob):
        assert "from='alice@localhost/second'" in client.until("</presence>")


def test_acquainted_accounts_are_contacts_from_the_start(server: DemoServer, connect: Connect) -> None:
    server.acquaint("alice", "bob")
    alice, bob = (connect().login(name).available() for name in ("alice", "bob"))
    assert "from='bob@localhost/test'" in alice.until("</presence>")
    assert "jid='alice@localhost' subscription='both'" in bob.roster()


def test_a_subscription_request_waits_for_the_contact(connect: Connect) -> None:
    alice = connect().login("alice").available()
    alice.send("<presence type='subscribe' to='bob@localhost'><status>it is me</status></presence>")
    assert alice.nothing_before() == ""
    for _ in range(2):
        bob = connect().login("bob").available()
        assert "<status>it is me</status>" in bob.until("</presence>")
        bob.end()


def test_unsubscribe_ends_the_subscription(pair: tuple[RawClient, RawClient]) -> None:
    alice, bob = pair
    befriend(alice, bob)
    alice.send("<presence type='unsubscribe' to='bob@localhost'/>")
    assert "subscription='from'" in alice.until("</iq>")
    assert "type='unavailable'" in alice.until("/>")
    assert bob.until("/>") == "<presence type='unsubscribe' to='bob@localhost' from='alice@localhost'/>"
    assert "subscription='to'" in bob.until("</iq>")
    bob.send("<presence><show>dnd</show></presence>")
    bob.until("dnd")
    assert alice.nothing_before() == ""


def test_a_subscription_can_be_revoked(pair: tuple[RawClient, RawClient]) -> None:
    alice, bob = pair
    befriend(alice, bob)
    bob.send("<presence type='unsubscribed' to='alice@localhost'/>")
    assert "subscription='to'" in bob.until("</iq>")
    answer = alice.until("type='unsubscribed'") + alice.until("</iq>")
    assert "<presence from='bob@localhost/test' to='alice@localhost' type='unavailable'/>" in answer
    assert "subscription='from'" in answer


def test_a_subscription_request_can_be_denied(pair: tuple[RawClient, RawClient]) -> None:
    alice, bob = pair
    alice.send("<presence type='subscribe' to='bob@localhost'/>")
    bob.until("type='subscribe'")
    bob.until("/>")
    bob.send("<presence type='unsubscribed' to='alice@localhost'/>")
    alice.until("type='unsubscribed'")
    assert "<item jid='bob@localhost' subscription='none'/>" in alice.until("</iq>")
    assert bob.nothing_before() == ""


def test_an_approval_without_a_request_is_dropped(pair: tuple[RawClient, RawClient]) -> None:
    alice, bob = pair
    bob.send("<presence type='subscribed' to='alice@localhost'/>")
    assert bob.nothing_before() == ""
    assert alice.nothing_before() == ""


def test_a_request_to_an_unknown_account_is_denied(pair: tuple[RawClient, RawClient]) -> None:
    alice, _ = pair
    alice.send("<presence type='subscribe' to='nobody@localhost'/>")
    alice.until("ask='subscribe'")
    assert "type='unsubscribed'" in alice.until("type='unsubscribed'")
    assert "subscription='none'" in alice.until("</iq>")


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        ("<presence type='subscribe'/>", "bad-request"),
        ("<presence type='subscribe' to='alice@localhost'/>", "bad-request"),
        ("<presence type='subscribe' to='localhost'/>", "bad-request"),
        ("<presence type='subscribe' to='a@elsewhere'/>", "remote-server-not-found"),
        ("<presence type='hello'/>", "bad-request"),
        ("<presence><priority>high</priority></presence>", "bad-request"),
        ("<presence><priority>128</priority></presence>", "bad-request"),
        ("<presence to='@'/>", "jid-malformed"),
    ],
)
def test_bad_presence_is_refused(connect: Connect, stanza: str, condition: str) -> None:
    alice = connect().login("alice")
    alice.send(stanza)
    answer = alice.until("</presence>")
    assert "type='error'" in answer
    assert f"<{condition} " in answer


def test_directed_presence_reaches_a_stranger(connect: Connect) -> None:
    """To an account that is no contact, which gets the end too."""
    alice, bob = connect().login("alice"), connect().login("bob")
    alice.send(f"<presence to='{bob.jid}'><status>hi</status></presence>")
    assert "<status>hi</status>" in bob.until("</presence>")
    alice.close()
    assert bob.until("/>") == "<presence from='alice@localhost/test' type='unavailable' to='bob@localhost'/>"


def test_directed_unavailable_is_sent_once(connect: Connect) -> None:
    alice, bob = connect().login("alice"), connect().login("bob")
    alice.send(f"<presence to='{bob.jid}'/><presence to='{bob.jid}' type='unavailable'/>")
    bob.until("type='unavailable'")
    bob.until("/>")
    alice.end()
    assert bob.nothing_before() == ""


def test_a_roster_item_can_be_changed(connect: Connect) -> None:
    one, two = connect().login("alice", "one"), connect().login("alice", "two")
    one.roster()
    two.roster()
    groups = "<group>&lt;f&gt;</group><group>ü</group></item>"
    item = "<item jid='Bob@localhost/x' name='B &amp; O' subscription='both'>" + groups
    assert "type='result'" in set_item(one, item)
    stored = "<item jid='bob@localhost' subscription='none' name='B &amp; O'>" + groups
    assert stored in two.until("</iq>")
    assert stored in one.roster()
    assert "type='result'" in set_item(one, "<item jid='bob@localhost' subscription='remove'/>")
    assert "<item jid='bob@localhost' subscription='remove'" in two.until("</iq>")
    assert "<item" not in two.roster()


@pytest.mark.parametrize(
    ("items", "condition"),
    [
        ("", "bad-request"),
        ("<item jid='a@b'/><item jid='c@d'/>", "bad-request"),
        ("<item/>", "jid-malformed"),
        ("<item jid='@'/>", "jid-malformed"),
        ("<item jid='a@b'><group/></item>", "not-acceptable"),
        ("<item jid='a@b'><group>x</group><group>x</group></item>", "bad-request"),
        ("<item jid='alice@localhost'/>", "not-allowed"),
        ("<item jid='a@b' subscription='remove'/>", "item-not-found"),
    ],
)
def test_a_bad_roster_set_is_refused(connect: Connect, items: str, condition: str) -> None:
    alice = connect().login("alice")
    alice.send(f"<iq type='set' id='set'><query xmlns='jabber:iq:roster'>{items}</query></iq>")
    assert f"<{condition} " in alice.until("</iq>")


def test_removing_a_friend_ends_both_subscriptions(pair: tuple[RawClient, RawClient]) -> None:
    alice, bob = pair
    befriend(alice, bob)
    alice.send(
        "<iq type='set' id='set'><query xmlns='jabber:iq:roster'>"
        "<item jid='bob@localhost' subscription='remove'/></query></iq>"
    )
    assert "<item" not in alice.nothing_before().partition("subscription='remove'")[2]
    told = bob.nothing_before()
    assert "type='unsubscribe'" in told
    assert "type='unsubscribed'" in told
    assert "<presence from='alice@localhost/test' to='bob@localhost' type='unavailable'/>" in told
    assert told.rindex("subscription='none'") > told.index("subscription='to'")
