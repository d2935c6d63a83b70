"""An independent client, SleekXMPP, with the demo server over TCP."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sleekxmpp import ClientXMPP

from tests.demo.process import demo_process

TEXT = "&<>'\" ]]> äöüß 日本 👋🏽\n\tzwei Zeilen"


class Client(ClientXMPP):  # type: ignore[misc]
    """Puts its events into queues."""

    def __init__(self, name: str, password: str, mechanism: str) -> None:
        self._listens = threading.Event()
        super().__init__(f"{name}@localhost", password, sasl_mech=mechanism)
        self["feature_mechanisms"].unencrypted_plain = True
        # Its own callback asks a plain socket for channel binding, which fails.
        self["feature_mechanisms"].sasl_callback = lambda required, optional: {
            "username": name,
            "password": password,
            "authzid": "",
            "channel_binding": b"",
            "host": "localhost",
            "service": "xmpp",
            "service-name": "",
        }
        self.use_ipv6 = False
        self.scheduler.wait_timeout = 0.05  # between two checks whether it has to stop
        self.auto_authorize = self.auto_subscribe = None
        self.happened: queue.Queue[tuple[str, Any]] = queue.Queue()
        for event in (
            "session_start",
            "session_resumed",
            "sm_enabled",
            "failed_auth",
            "disconnected",
            "presence_subscribe",
            "presence_subscribed",
            "got_online",
            "got_offline",
            "roster_update",
            "message",
        ):
            self.add_event_handler(event, lambda data, event=event: self.happened.put((event, data)))

    def start(self, port: int) -> None:
        assert self.connect(("127.0.0.1", port), use_tls=False, use_ssl=False, reattempt=False)
        self.process(block=False)

    def register_handler(self, handler: Any, before: Any = None, after: Any = None) -> None:
        super().register_handler(handler, before, after)
        if handler.name == "resumed_or_failed":
            self._listens.set()

    def incoming_filter(self, xml: Any) -> Any:
        """SleekXMPP asks to resume before it listens for the answer, and misses a fast one: delay that."""
        if xml.tag == "{urn:xmpp:sm:3}resumed":
            assert self._listens.wait(10), "it does not listen"
        return xml

    def reconnect(self, reattempt: bool = True, wait: bool = False, send_close: bool = True) -> bool:
        """Disconnect without a closing tag: SleekXMPP's method would end the session."""
        former = self.socket, self.filesocket
        try:
            return bool(super().reconnect(reattempt, wait, send_close=False))
        finally:
            for each in former:
                each.close()  # it leaves a socket open that it cannot shut down

    def vanish(self) -> None:
        """End without a closing tag: ``disconnect`` waits for threads that wait for the connection."""
        self.auto_reconnect = False
        self.set_stop()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.abort()
        self.socket.close()
        self.filesocket.close()

    def wait(self, event: str, matches: Callable[[Any], bool] = lambda data: True) -> Any:
        """The next event of this kind; others are skipped."""
        while True:
            name, data = self.happened.get(timeout=10)
            if name == event and matches(data):
                return data


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with demo_process() as number:
        yield number


@pytest.fixture
def client(port: int) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(
        name: str, password: str, mechanism: str = "SCRAM-SHA-1", plugins: tuple[str, ...] = ()
    ) -> Client:
        made.append(Client(name, password, mechanism))
        for plugin in plugins:
            made[-1].register_plugin(plugin)
        made[-1].start(port)
        return made[-1]

    yield make
    for each in made:
        each.vanish()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_a_user_logs_in(client: Callable[..., Client], mechanism: str) -> None:
    alice = client("alice", "wonderland", mechanism)
    alice.wait("session_start")
    assert alice.boundjid.bare == "alice@localhost"
    assert alice.boundjid.resource


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_a_wrong_password_is_refused(client: Callable[..., Client], mechanism: str) -> None:
    client("alice", "wrong", mechanism).wait("failed_auth")


def test_messages_pass_both_ways(client: Callable[..., Client]) -> None:
    alice, bob = client("alice", "wonderland"), client("bob", "builder", "PLAIN")
    for each in (alice, bob):
        each.wait("session_start")
    for sender, recipient in ((alice, bob), (bob, alice)):
        sender.send_message(recipient.boundjid, TEXT, msubject="Grüße & Küsse", mtype="chat")
        message = recipient.wait("message")
        assert message["body"] == TEXT
        assert message["subject"] == "Grüße & Küsse"
        assert message["from"] == sender.boundjid


def test_an_error_comes_back(client: Callable[..., Client]) -> None:
    alice = client("alice", "wonderland")
    alice.wait("session_start")
    alice.send_message("nobody@localhost", TEXT)
    error = alice.wait("message", lambda message: message["type"] == "error")
    assert error["from"] == "nobody@localhost"
    assert error["error"]["condition"] == "service-unavailable"


def _is_from(client: Client, presence: Any) -> bool:
    return bool(presence["from"] == client.boundjid)


def test_roster_and_subscription_work(client: Callable[..., Client]) -> None:
    alice, bob = client("alice", "wonderland"), client("bob", "builder")
    for each in (alice, bob):
        each.wait("session_start")
        each.get_roster()
        each.send_presence(ppriority=1)
        each.wait("got_online", partial(_is_from, each))
    alice.update_roster("bob@localhost", name="Bob & Söhne", groups=["<bau>"])
    alice.send_presence_subscription("bob@localhost")
    assert bob.wait("presence_subscribe")["from"].bare == "alice@localhost"
    bob.send_presence_subscription("alice@localhost", ptype="subscribed")
    alice.wait("presence_subscribed")
    alice.wait("got_online", lambda presence: presence["from"] == bob.boundjid)
    item = alice.get_roster()["roster"]["items"]["bob@localhost"]
    assert (item["name"], item["subscription"], item["groups"]) == ("Bob & Söhne", "to", ["<bau>"])
    bob.disconnect(reconnect=False, wait=True)
    alice.wait("got_offline", lambda presence: presence["from"].bare == "bob@localhost")


def test_ping_and_discovery_work(client: Callable[..., Client]) -> None:
    alice = client("alice", "wonderland", plugins=("xep_0030", "xep_0199"))
    alice.wait("session_start")
    assert alice["xep_0199"].send_ping("localhost", timeout=10) is not False
    info = alice["xep_0030"].get_info(jid="localhost", timeout=10)["disco_info"]
    assert ("server", "im", None, None) in info["identities"]
    assert "urn:xmpp:ping" in info["features"]


@pytest.mark.slow
def test_a_session_is_resumed(client: Callable[..., Client]) -> None:
    alice, bob = client("alice", "wonderland", plugins=("xep_0198",)), client("bob", "builder")
    alice.wait("session_start")
    bob.wait("session_start")
    jid = alice.boundjid.full
    if not alice["xep_0198"].sm_id:
        alice.wait("sm_enabled")
    alice.socket.shutdown(2)  # the network is gone: no closing tag
    bob.send_message(jid, TEXT, mtype="chat")
    alice.wait("session_resumed")
    assert alice.wait("message")["body"] == TEXT
    alice.send_message(bob.boundjid, "back", mtype="chat")
    message = bob.wait("message")
    assert (message["body"], message["from"].full) == ("back", jid)
