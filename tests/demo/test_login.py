"""SASL: the mechanisms and every failure (RFC 6120 section 6)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable

import pytest
from scramp import ScramClient

from tests.demo.raw_client import RawClient, plain

Connect = Callable[[], RawClient]


def auth(mechanism: str, data: bytes | str) -> str:
    text = data if isinstance(data, str) else b64encode(data).decode()
    return f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{text}</auth>"


def response(data: bytes) -> str:
    return f"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{b64encode(data).decode()}</response>"


def decoded(element: str) -> str:
    return b64decode(element.partition(">")[2].partition("<")[0]).decode()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256"])
@pytest.mark.parametrize(("name", "password"), [("alice", "secret"), ("Alice", "secret"), ("jörg", "straße")])
def test_scram_logs_in(connect: Connect, mechanism: str, name: str, password: str) -> None:
    client, scram = connect(), ScramClient([mechanism], name, password)
    client.open()
    client.send(auth(mechanism, scram.get_client_first().encode()))
    scram.set_server_first(decoded(client.until("</challenge>")))
    client.send(response(scram.get_client_final().encode()))
    scram.set_server_final(decoded(client.until("</success>")))
    assert "<bind " in client.open()


@pytest.mark.parametrize(
    ("name", "password"), [("alice", "wrong"), ("nobody", "secret")], ids=["password", "account"]
)
def test_a_bad_scram_exchange_is_refused(connect: Connect, name: str, password: str) -> None:
    client, scram = connect(), ScramClient(["SCRAM-SHA-1"], name, password)
    client.open()
    client.send(auth("SCRAM-SHA-1", scram.get_client_first().encode()))
    if name == "alice":
        scram.set_server_first(decoded(client.until("</challenge>")))
        client.send(response(scram.get_client_final().encode()))
    assert "<not-authorized/>" in client.until("</failure>")


def test_plain_may_follow_an_empty_challenge(connect: Connect) -> None:
    client = connect()
    client.open()
    client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>")
    client.until("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
    client.send(response(b"\0alice\0secret"))
    client.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")


@pytest.mark.parametrize("authzid", ["", "alice", "alice@localhost", "alice@localhost/x"])
def test_an_authzid_must_be_the_own_account(connect: Connect, authzid: str) -> None:
    client = connect()
    client.open()
    client.send(auth("PLAIN", f"{authzid}\0alice\0secret".encode()))
    client.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")


@pytest.mark.parametrize(
    ("request_", "condition"),
    [
        (plain("alice", "wrong").decode(), "not-authorized"),
        (plain("nobody", "secret").decode(), "not-authorized"),
        (plain("", "secret").decode(), "not-authorized"),
        (plain("alice", "").decode(), "not-authorized"),
        (auth("PLAIN", b"bob\0alice\0secret"), "invalid-authzid"),
        (auth("PLAIN", b"alice@elsewhere\0alice\0secret"), "invalid-authzid"),
        (auth("CRAM-MD5", ""), "invalid-mechanism"),
        (auth("", ""), "invalid-mechanism"),
        (auth("PLAIN", "!!!"), "incorrect-encoding"),
        (auth("PLAIN", "YWJj="), "incorrect-encoding"),
        (auth("PLAIN", "="), "malformed-request"),
        (auth("PLAIN", b"\0alice"), "malformed-request"),
        (auth("PLAIN", b"\0alice\0\xff"), "malformed-request"),
        (auth("SCRAM-SHA-1", b"hello"), "malformed-request"),
        (auth("SCRAM-SHA-1", b"\xff"), "malformed-request"),
        (auth("SCRAM-SHA-1", b"p=tls-unique,,n=alice,r=abc"), "malformed-request"),
        (response(b"hello"), "malformed-request"),
        ("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "aborted"),
    ],
)
def test_a_failed_login_may_be_repeated(connect: Connect, request_: str, condition: str) -> None:
    client = connect()
    client.open()
    client.send(request_)
    failure = client.until("</failure>")
    assert failure.startswith(f"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{condition}/>")
    client.send(plain("alice", "secret"))
    client.until("<success")


def test_a_login_may_be_aborted(connect: Connect) -> None:
    client = connect()
    client.open()
    client.send(auth("SCRAM-SHA-1", b"n,,n=alice,r=abc"))
    client.until("</challenge>")
    client.send("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
    assert "<aborted/>" in client.until("</failure>")
    client.send(response(b"c=biws,r=abc,p=abc"))
    assert "<malformed-request/>" in client.until("</failure>")


def test_too_many_failures_end_the_stream(connect: Connect) -> None:
    client = connect()
    client.open()
    client.send(plain("alice", "wrong") * 10)
    answer = client.rest()
    assert answer.count("<not-authorized/>") == 5
    assert "<stream:error><policy-violation " in answer
