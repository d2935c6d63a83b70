"""The users of the tests of hostile stanzas, and the comparison of the stanzas that they get.

Mallory and Carol connect to the server itself, Bob through the gateway. Carol gets the same stanzas as Bob:
hers show what the server made of Mallory's bytes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.real.stanza_tree import Node, essence, is_namespace_well_formed, repaired, tree
from tests.real.xmpp_user import FramedWire, LegacyWire, TcpWire, User, Wire
from tests.support.fixtures import Account
from tests.support.gateway import Gateway
from tests.support.servers import Server

CLIENT = "xmlns='jabber:client'"
WIRES: dict[str, type[LegacyWire]] = {"legacy": LegacyWire, "rfc7395": FramedWire}
_MUC = "http://jabber.org/protocol/muc"
_GROUPCHAT = re.compile(r"<message\s[^>]*\btype=['\"]groupchat")


@dataclass
class Place:
    """A server, the gateway in front of it, and the framing that Bob uses."""

    server: Server
    gateway: Gateway
    framing: str
    new_account: Callable[[Server], Account]

    def tcp(self, account: Account) -> User:
        return User(TcpWire(self.server.c2s_port), account, "tcp").log_in()

    def web_wire(self) -> Wire:
        return WIRES[self.framing](self.gateway.ws_port)

    def web(self, account: Account) -> User:
        return User(self.web_wire(), account, "web", managed=True).log_in()


class Cast:
    """The three users, logged in; ``enter`` brings one into the room."""

    def __init__(self, place: Place) -> None:
        self.place = place
        mallory, carol, bob = (place.new_account(place.server) for _ in range(3))
        self.mallory = place.tcp(mallory)
        self.carol = place.tcp(carol)
        self.bob = place.web(bob)
        self.room = f"{mallory.user}@{place.server.rooms}"
        self._marks = 0

    def enter(self, user: User) -> list[str]:
        """Join the room; returns the stanzas that it sends to a new occupant."""
        user.say(
            f"<presence {CLIENT} to='{self.room}/{user.account.user}'><x xmlns='{_MUC}'>"
            "<history maxstanzas='100'/></x></presence>"
        )
        return user.hear_until("<subject")

    def collect(self, in_room: bool, in_order: bool = True) -> tuple[list[str], list[str]]:
        """The stanzas that Carol and Bob got before a next message to both, in person and in the room."""
        self._marks += 1
        marks = {f"mark {self._marks}"}
        for user in (self.carol, self.bob):
            self.mallory.say(
                f"<message to='{user.jid}' type='chat'><body>mark {self._marks}</body></message>"
            )
        if in_room:
            marks.add(f"groupmark {self._marks}")
            body = f"<body>groupmark {self._marks}</body>"
            self.mallory.say(f"<message to='{self.room}' type='groupchat'>{body}</message>")
        carols = _hear_all(self.carol, marks)
        return carols, _hear_all(self.bob, marks, 0 if in_order else len(carols))

    def compare(self, *, in_room: bool = False, in_order: bool = True) -> int:
        """Assert that Bob got the same stanzas as Carol; returns their number.

        ejabberd may change the order of stanzas that arrive while a session is being resumed.
        """
        carols, bobs = self.collect(in_room, in_order)
        if not in_order:
            carols, bobs = (sorted(heard, key=lambda stanza: stanza.split()[0]) for heard in (carols, bobs))
        for in_person in (True, False):
            hers, his = (
                [stanza for stanza in heard if (_GROUPCHAT.match(stanza) is None) is in_person]
                for heard in (carols, bobs)
            )
            assert_all_come(hers, his)
        return len(carols)

    def leave(self) -> None:
        for user in (self.mallory, self.carol, self.bob):
            with contextlib.suppress(OSError):
                user.wire.cut()


def _hear_all(user: User, marks: set[str], count: int = 0) -> list[str]:
    """Read until all ``marks`` have arrived, and ``count`` other stanzas."""
    heard: list[str] = []
    missing = {f">{mark}<" for mark in marks}
    while missing or len(heard) < count:
        stanza = user.hear()
        found = {mark for mark in missing if mark in stanza}
        missing -= found
        if not found:
            heard.append(stanza)
    return heard


class Stage:
    """Keeps one cast from test to test; a test that fails ends its cast."""

    def __init__(self, create: Callable[[], Cast]) -> None:
        self._create = create
        self._waiting: Cast | None = None

    @contextlib.contextmanager
    def cast(self) -> Iterator[Cast]:
        cast = self._waiting or self._create()
        self._waiting = None
        try:
            yield cast
            self._waiting = cast
        finally:
            if self._waiting is None:
                cast.leave()

    def close(self) -> None:
        if self._waiting is not None:
            self._waiting.leave()


def assert_all_come(expected: list[str], got: list[str]) -> None:
    """Assert as many stanzas, in the same order, each by ``assert_comes``."""
    heads = [[stanza[:160] for stanza in heard] for heard in (expected, got)]
    assert len(expected) == len(got), heads
    for one, other in zip(expected, got, strict=True):
        assert_comes(repaired(one), other)


def assert_comes(expected: Node, got: str) -> None:
    """Assert that ``got`` is namespace-well-formed and has the ``expected`` content."""
    assert is_namespace_well_formed(got), got[:2000]
    assert_same(expected, tree(got))


def assert_same(expected: Node, got: Node) -> None:
    if [child.name for child in expected.children] == [""]:  # an iq that has lost its child
        _assert_answerable(expected, got)
    elif essence(got) != essence(expected):
        texts = "\n".join(str(essence(node))[:2000] for node in (expected, got))
        pytest.fail(f"not what the server sent:\n{texts}", pytrace=False)


def _assert_answerable(expected: Node, iq: Node) -> None:
    hers, his = ({**node.attributes, "to": "", "xmlns": ""} for node in (expected, iq))
    assert hers == his
    (child,) = iq.children
    if his["type"] == "error":
        assert child.name == "error"
        assert [condition.name for condition in child.children] == ["undefined-condition"]
    else:
        assert child.attributes["xmlns"]
        assert not child.content
