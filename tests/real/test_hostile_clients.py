"""Clients continue after each kind of hostile stanza: strophe.js, @xmpp/client, and Converse in Chromium.

Mallory writes to Bob, whom ``clients/obedience.mjs`` and ``clients/converse.mjs`` play: Bob prints the
stanzas that he gets, and obeys the messages of Mallory.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.hostile_stanzas import KEPT, KINDS, Kind
from tests.real.test_clients import CLIENTS
from tests.real.xmpp_user import TcpWire, User
from tests.support.fixtures import Account, missing
from tests.support.gateway import Gateway
from tests.support.processes import ROOT, Child, wait_until
from tests.support.servers import Server

SECONDS = 150
PLAIN = Kind("plain", KEPT)


class Player:
    """One client program, which obeys ``mallory``."""

    def __init__(self, child: Child, mallory: User) -> None:
        self._child = child
        self._mallory = mallory
        self.jid = ""

    def steps(self, name: str) -> list[dict[str, Any]]:
        """The steps that the program has printed so far."""
        decoder = json.JSONDecoder()
        lines = [line for line in self._child.text().splitlines(keepends=True) if line.endswith("\n")]
        steps = [decoder.raw_decode(line)[0] for line in lines if line.startswith("{")]
        failed = [step for step in steps if step["step"] in ("failed", "page error")]
        assert not failed, json.dumps(failed, indent=1)
        return [step for step in steps if step["step"] == name]

    def await_step(self, name: str) -> dict[str, object]:
        def said() -> bool:
            assert self._child.returncode in (None, 0), self._child.tail(8000)
            return bool(self.steps(name))

        wait_until(said, SECONDS, f"{name}: {self._child.tail(1000)}")
        return self.steps(name)[-1]

    @property
    def heard(self) -> list[object]:
        return [step["body"] for step in self.steps("heard")]

    def await_heard(self, body: str) -> None:
        def heard() -> bool:
            assert self._child.returncode is None, self._child.tail(8000)
            return body in self.heard

        wait_until(heard, SECONDS, f"the message {body}: {self._child.tail(1000)}")

    def tell(self, body: str) -> None:
        self._mallory.say(f"<message to='{self.jid}' type='chat'><body>{body}</body></message>")


@pytest.fixture(params=["ejabberd", "prosody"])
def server(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Server:
    return start_server(request.param)


@pytest.fixture
def bob(server: Server, new_account: Callable[[Server], Account]) -> Account:
    """An account that keeps all messages in its archive."""
    account = new_account(server)
    user = User(TcpWire(server.c2s_port), account, "first").log_in()
    user.keep_an_archive()
    user.wire.leave()
    return account


@pytest.fixture
def mallory(server: Server, new_account: Callable[[Server], Account]) -> Iterator[User]:
    user = User(TcpWire(server.c2s_port), new_account(server), "tcp").log_in()
    yield user
    user.wire.cut()


@pytest.fixture
def player(
    request: pytest.FixtureRequest,
    client: str,
    gateway: Gateway,
    server: Server,
    bob: Account,
    mallory: User,
    tmp_path: Path,
) -> Iterator[Callable[[], Player]]:
    """``player()`` starts the client program and waits for its login."""
    argv = [request.getfixturevalue("node"), str(CLIENTS / f"{client}.mjs")]
    parameters = {
        "url": gateway.ws,
        "mechanism": "SCRAM",
        "domain": server.domain,
        "bob": {"user": bob.user, "password": bob.password},
        "timeout": SECONDS,
    }
    if client == "converse":
        parameters["chromium"] = chromium()
    children = []

    def start() -> Player:
        children.append(Child([*argv, json.dumps(parameters)], tmp_path / "client.log"))
        player = Player(children[-1], mallory)
        player.jid = str(player.await_step("login")["jid"])
        return player

    yield start
    for child in children:
        child.kill()


def chromium() -> str:
    if not (ROOT / "node_modules" / "converse.js").is_dir():
        missing("converse.js is not installed (npm ci)")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return found or missing("no Chromium found (Debian package chromium)")


@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.parametrize("client", ["strophe", "xmpp-client", "converse"])
def test_a_client_continues_after_hostile_stanzas(
    client: str, server: Server, bob: Account, mallory: User, player: Callable[[], Player]
) -> None:
    """From the offline store, live, from a room and the archive; and a resumption that loses nothing."""
    room = f"{bob.user}-room@{server.rooms}"
    live = [kind for kind in KINDS if server.name in kind.servers]
    stored = [kind for kind in live if server.name in kind.stored_by]
    light = [kind for kind in live if not kind.is_heavy]
    mallory.say(f"<presence to='{room}/mallory'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    for kind in [*stored, PLAIN]:
        body = f"<body>stored {kind.name}</body>"
        mallory.say(kind.stanza("message", f"to='{bob.jid}' type='chat'", body))
        mallory.say(
            kind.stanza("message", f"to='{room}' type='groupchat'", f"<body>history {kind.name}</body>")
        )
        mallory.hear_until(f">history {kind.name}<")

    user = player()
    user.await_heard("stored plain")
    user.tell("archive")
    count = user.await_step("archive")["count"]
    assert isinstance(count, int)
    assert count >= len(stored) + 1

    for kind in live:
        say_directly(mallory, user.jid, kind, "chat")
        user.tell(f"after {kind.name}")
    user.await_heard(f"after {live[-1].name}")

    user.tell(f"join {room}/bob")
    user.await_heard("history plain")
    for kind in light:
        mallory.say(kind.stanza("message", f"to='{room}' type='groupchat'", f"<body>room {kind.name}</body>"))
    user.await_heard(f"room {light[-1].name}")

    user.tell("lose")
    for kind in light:
        say_directly(mallory, user.jid, kind, "lost")
    user.tell("said during the loss")
    assert user.await_step("resumed")["resumed"] is True
    during = [*(f"lost {kind.name}" for kind in light), "said during the loss"]
    for body in during:
        user.await_heard(body)
    user.tell("leave")
    user.await_step("done")
    heard = [str(body) for body in user.heard if str(body).split()[0] not in ("history", "room")]
    loss = heard.index("lose")
    assert heard[:loss] == [
        *(f"stored {kind.name}" for kind in [*stored, PLAIN]),
        "archive",
        *(body for kind in live for body in (f"chat {kind.name}", f"after {kind.name}")),
        f"join {room}/bob",
    ]
    # ejabberd may change the order of stanzas that arrive while a session is being resumed.
    assert sorted(heard[loss:]) == sorted(["lose", *during, "leave"])
    # Converse enters the room once more after the loss, and gets its history again.
    in_room = [body for body in user.heard if str(body).startswith("room ")]
    assert in_room[: len(light)] == [f"room {kind.name}" for kind in light]
    for step in user.steps("kept"):
        assert set(heard) == set(step["texts"])


def say_directly(mallory: User, to: str, kind: Kind, word: str) -> None:
    """Not for the archive: it already has the kinds that the server can keep."""
    content = f"<body>{word} {kind.name}</body><no-permanent-store xmlns='urn:xmpp:hints'/>"
    mallory.say(kind.stanza("message", f"to='{to}' type='chat'", content))
    if kind.is_heavy:
        return
    mallory.say(kind.stanza("presence", f"to='{to}'"))
    mallory.say(kind.stanza("iq", f"to='{to}' type='get' id='{kind.name}'"))
