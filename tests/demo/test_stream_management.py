"""Stream management and resumption (XEP-0198)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import gevent
import pytest

from tests.demo.raw_client import ENABLE, END, REQUEST, RawClient
from wsgw.demo import DemoServer
from wsgw.demo.acknowledgements import MAX_UNACKNOWLEDGED, Acknowledgements, HandledCountTooHigh
from wsgw.demo.elements import make

Connect = Callable[[], RawClient]


def enable(client: RawClient) -> str:
    """Enable stream management; returns the token for a resumption."""
    client.send(ENABLE)
    match = re.search(
        "<enabled xmlns='urn:xmpp:sm:3' id='([^']+)' resume='true' max='30'/>", client.until("/>")
    )
    assert match is not None
    return match[1]


def resume(client: RawClient, token: str, handled: int, name: str = "alice") -> str:
    client.authenticate(name)
    client.send(f"<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='{handled}'/>")
    return client.until("/>")


def chat(to: str, body: str) -> str:
    return f"<message type='chat' to='{to}'><body>{body}</body></message>"


def acknowledge(client: RawClient, handled: int) -> None:
    client.send(f"<a xmlns='urn:xmpp:sm:3' h='{handled}'/>")


def test_stanzas_are_counted(connect: Connect) -> None:
    alice = connect().login("alice")
    enable(alice)
    alice.send(REQUEST)
    assert alice.until("/>") == "<a xmlns='urn:xmpp:sm:3' h='0'/>"
    alice.send("<presence to='bob@localhost'/>" * 2 + chat("bob@localhost/x", "error comes back"))
    alice.send(REQUEST)
    alice.until("<a xmlns='urn:xmpp:sm:3' h='3'/>")


def test_enable_without_resume_gives_no_token(connect: Connect) -> None:
    alice = connect().login("alice")
    alice.send("<enable xmlns='urn:xmpp:sm:3'/>")
    assert alice.until("/>") == "<enabled xmlns='urn:xmpp:sm:3'/>"


def test_the_server_asks_until_all_stanzas_are_acknowledged(connect: Connect) -> None:
    alice, bob = connect().login("alice"), connect().login("bob")
    enable(alice)
    bob.send(chat(alice.jid, "one"))
    assert alice.until("<r xmlns='urn:xmpp:sm:3'/>").count("<message") == 1
    bob.send(chat(alice.jid, "two"))
    alice.until("</message>")
    acknowledge(alice, 1)
    alice.until("<r xmlns='urn:xmpp:sm:3'/>")
    acknowledge(alice, 2)
    assert alice.nothing_before() == ""


def test_a_resumption_delivers_the_missed_stanzas(connect: Connect) -> None:
    alice, bob = connect().login("alice").available(), connect().login("bob")
    token = enable(alice)
    bob.send(chat(alice.jid, "seen"))
    alice.until("<r xmlns='urn:xmpp:sm:3'/>")
    bob.send(chat(alice.jid, "on its way"))
    alice.until("on its way")
    alice.send("<message to='bob@localhost/x' type='headline'/>")
    alice.send(REQUEST)
    alice.until("h='1'/>")
    alice.close()
    bob.send(chat("alice@localhost", "while away"))
    assert bob.nothing_before() == ""
    again = connect()
    assert resume(again, token, 1) == f"<resumed xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>"
    missed = again.until("<r xmlns='urn:xmpp:sm:3'/>")
    assert re.findall("<body>(.*?)</body>", missed) == ["on its way", "while away"]
    again.send(chat(bob.jid, "back"))
    assert "from='alice@localhost/test'" in bob.until("</message>")
    acknowledge(again, 3)
    again.send(REQUEST)
    again.until("<a xmlns='urn:xmpp:sm:3' h='2'/>")


def test_a_resumption_takes_over_a_live_stream(connect: Connect) -> None:
    alice = connect().login("alice")
    token = enable(alice)
    again = connect()
    assert resume(again, token, 0).startswith("<resumed ")
    assert alice.rest().startswith("<stream:error><conflict ")
    again.send(REQUEST)
    again.until("h='0'/>")
    third = connect()
    assert resume(third, token, 0).startswith("<resumed ")


def test_contacts_do_not_notice_a_resumption(connect: Connect) -> None:
    alice, bob = connect().login("alice").available(), connect().login("bob")
    token = enable(alice)
    alice.send(f"<presence to='{bob.jid}'><status>here</status></presence>")
    bob.until("</presence>")
    alice.close()
    again = connect()
    resume(again, token, 0)
    assert bob.nothing_before() == ""
    again.end()
    assert "type='unavailable'" in bob.until("/>")


@pytest.mark.parametrize(
    ("name", "token"), [("alice", "unknown"), ("bob", None)], ids=["unknown", "not mine"]
)
def test_bind_is_possible_after_a_refused_resumption(connect: Connect, name: str, token: str | None) -> None:
    alice = connect().login("alice")
    real = enable(alice)
    client = connect()
    answer = resume(client, token or real, 0, name)
    assert answer.startswith(
        "<failed xmlns='urn:xmpp:sm:3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
    )
    client.until("</failed>")
    client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    assert "type='result'" in client.until("</iq>")


def test_a_closing_tag_ends_the_session(connect: Connect) -> None:
    alice = connect().login("alice")
    token = enable(alice)
    alice.send("<presence/>" + END.decode())
    assert alice.rest().endswith("<a xmlns='urn:xmpp:sm:3' h='1'/></stream:stream>")
    assert resume(connect(), token, 0).startswith("<failed ")


def test_a_stream_error_ends_the_session(connect: Connect) -> None:
    alice = connect().login("alice")
    token = enable(alice)
    alice.send("<!-- -->")
    assert "restricted-xml" in alice.rest()
    assert resume(connect(), token, 0).startswith("<failed ")


@pytest.mark.parametrize("nonza", ["<r xmlns='urn:xmpp:sm:3'/>", "<a xmlns='urn:xmpp:sm:3' h='0'/>"])
def test_requests_before_enable_are_refused(connect: Connect, nonza: str) -> None:
    alice = connect().login("alice")
    alice.send(nonza)
    assert "<failed xmlns='urn:xmpp:sm:3'><unexpected-request " in alice.until("</failed>")


def test_enable_in_the_wrong_place_is_refused(connect: Connect) -> None:
    alice = connect()
    alice.authenticate("alice")
    alice.send(ENABLE)
    assert "<unexpected-request " in alice.until("</failed>")
    bob = connect().login("bob")
    enable(bob)
    bob.send(ENABLE + b"<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>")
    for _ in range(2):
        assert "<unexpected-request " in bob.until("</failed>")


@pytest.mark.parametrize(
    ("handled", "condition"),
    [("1", "undefined-condition"), ("-1", "bad-format"), ("", "bad-format"), ("4294967296", "bad-format")],
)
def test_a_wrong_count_ends_the_stream(connect: Connect, handled: str, condition: str) -> None:
    alice = connect().login("alice")
    enable(alice)
    alice.send(f"<a xmlns='urn:xmpp:sm:3' h='{handled}'/>")
    answer = alice.rest()
    assert f"<stream:error><{condition} " in answer
    detail = "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='1' send-count='0'/>"
    assert (detail in answer) == (handled == "1")


def test_too_many_unacknowledged_stanzas_end_the_session(connect: Connect) -> None:
    """A session that waits for its client ends, and its stanzas return to their senders."""
    alice, bob = connect().login("alice"), connect().login("bob")
    token = enable(alice)
    alice.close()
    for number in range(MAX_UNACKNOWLEDGED + 1):
        bob.send(f"<message to='alice@localhost/test' id='m{number}'><body/></message>")
    returned = bob.until(f"id='m{MAX_UNACKNOWLEDGED}'")
    assert returned.count("type='error'") >= MAX_UNACKNOWLEDGED
    assert resume(connect(), token, 0).startswith("<failed ")


class TestShortWindow:
    """The client does not come back in time."""

    @pytest.fixture
    def server(self) -> Iterator[DemoServer]:
        accounts = {"alice": "secret", "bob": "secret"}
        with DemoServer("localhost", accounts, resumption_window=0.2) as running:
            yield running

    def lose(self, connect: Connect) -> tuple[RawClient, str]:
        alice, bob = connect().login("alice").available(5), connect().login("bob")
        alice.send("<enable xmlns='urn:xmpp:sm:3' resume='1'/>")
        token = alice.until("/>").partition("id='")[2].partition("'")[0]
        alice.send(f"<presence to='{bob.jid}'/>")
        bob.until("/>")
        alice.close()
        return bob, token

    def test_a_session_not_resumed_becomes_unavailable_and_returns_its_stanzas(
        self, connect: Connect
    ) -> None:
        bob, token = self.lose(connect)
        bob.send("<message to='alice@localhost' id='lost' type='chat'><body>x</body></message>")
        bob.send("<iq type='get' id='lost too' to='alice@localhost/test'><ping xmlns='urn:xmpp:ping'/></iq>")
        bob.send("<message to='alice@localhost/test' id='no' type='headline'/>")
        assert "type='unavailable'" in bob.until("/>")
        error = bob.until("</message>")
        assert "id='lost'" in error
        assert "<service-unavailable " in error
        assert "id='lost too'" in (error := bob.until("</iq>"))
        assert "<service-unavailable " in error
        assert resume(connect(), token, 0).startswith("<failed ")

    def test_another_resource_gets_the_stanzas_of_a_session_not_resumed(self, connect: Connect) -> None:
        bob, _ = self.lose(connect)
        other = connect().login("alice", "other").available(1)
        bob.send("<message to='alice@localhost' type='chat'><body>whoever</body></message>")
        assert "<body>whoever</body>" in other.until("</message>")


def test_no_timer_survives_the_server() -> None:
    server = DemoServer(accounts={"alice": "secret"})
    server.start()
    client = RawClient(server.port).login("alice")
    client.send(ENABLE)
    client.until("<enabled")
    client.close()
    timers = server._host.bindings._timers
    with gevent.Timeout(5):
        while not timers:
            gevent.sleep(0.01)
    (timer,) = timers.values()
    server.stop()
    gevent.sleep(0)
    assert timer.dead
    assert not timers


def test_counters_wrap_around() -> None:
    counters = Acknowledgements(None)
    counters._acknowledged = counters._handled = 2**32 - 1
    counters.handle()
    assert counters.handled == 0
    counters.keep(make("a", "b"))
    counters.keep(make("a", "b"))
    counters.acknowledge(0)
    assert len(counters.unacknowledged) == 1
    with pytest.raises(HandledCountTooHigh):
        counters.acknowledge(2)
