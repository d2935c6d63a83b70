"""In-band registration (XEP-0077)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.demo.raw_client import RawClient, plain
from wsgw.demo import DemoServer

Connect = Callable[[], RawClient]


def register(fields: str) -> str:
    return f"<iq type='set' id='r'><query xmlns='jabber:iq:register'>{fields}</query></iq>"


def account(name: str, password: str) -> str:
    return register(f"<username>{name}</username><password>{password}</password>")


def test_a_registered_account_logs_in(connect: Connect) -> None:
    client = connect()
    client.open()
    client.send("<iq type='get' id='f'><query xmlns='jabber:iq:register'/></iq>")
    form = client.until("</iq>")
    assert "<username/><password/>" in form
    client.send(account("Ümit", "pässwörd"))
    assert client.until("/>") == "<iq type='result' id='r'/>"
    client.send(plain("ümit", "pässwörd"))
    client.until("<success")


@pytest.mark.parametrize(
    ("request_", "condition"),
    [
        (account("alice", "other"), "conflict"),
        (account("ALICE", "other"), "conflict"),
        (account("a b", "other"), "not-acceptable"),
        (account("a@b", "other"), "not-acceptable"),
        (account("", "other"), "not-acceptable"),
        (account("dave", ""), "not-acceptable"),
        (register(""), "not-acceptable"),
    ],
)
def test_a_bad_registration_is_refused(connect: Connect, request_: str, condition: str) -> None:
    client = connect()
    client.open()
    client.send(request_)
    assert f"<{condition} " in client.until("</iq>")
    client.send(plain("alice", "secret"))
    client.until("<success")


def test_a_password_can_be_changed(connect: Connect) -> None:
    client = connect().login("alice")
    client.send("<iq type='get' id='f'><query xmlns='jabber:iq:register'/></iq>")
    assert "<registered/><username>alice</username>" in client.until("</iq>")
    client.send(account("bob", "mine"))
    assert "<not-allowed " in client.until("</iq>")
    client.send(account("alice", "changed"))
    assert "type='result'" in client.until("/>")
    again = connect()
    again.open()
    again.send(plain("alice", "secret"))
    again.until("</failure>")
    again.send(plain("alice", "changed"))
    again.until("<success")


def test_an_account_can_be_cancelled(connect: Connect) -> None:
    client, other = connect().login("alice", "one"), connect().login("alice", "two")
    client.send(register("<remove/>"))
    answer = client.rest()
    assert answer.startswith("<iq type='result' id='r'")
    assert answer.count("<iq ") == 1
    for words in (answer, other.rest()):
        assert "<stream:error><not-authorized " in words
    again = connect()
    again.open()
    again.send(plain("alice", "secret"))
    assert "<not-authorized/>" in again.until("</failure>")


def test_registration_can_be_closed() -> None:
    with DemoServer(accounts={"alice": "secret"}, allow_registration=False) as server:
        client = RawClient(server.port)
        assert "iq-register" not in client.open()
        client.send(account("dave", "secret"))
        assert "<not-allowed " in client.until("</iq>")
        client.close()
        client = RawClient(server.port).login("alice")
        client.send(account("alice", "changed"))
        assert "type='result'" in client.until("/>")
        client.close()
