"""Whose session it is, read from what the server says; and what a client cannot make of it."""

from __future__ import annotations

import pytest

from wsgw.login import MAX_JID, Login
from wsgw.xml_parser import expanded_name

ROOT = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
IQ = expanded_name("jabber:client", "iq")
SASL2 = expanded_name("urn:xmpp:sasl:2", "success")


def told(name: str, element: str, login: Login | None = None) -> Login:
    login = login or Login()
    login.from_server(name, ROOT, element.encode())
    return login


def result(content: str, attributes: str = "type='result' id='b'") -> str:
    return f"<iq {attributes}>{content}</iq>"


@pytest.mark.parametrize(
    ("content", "jid", "over"),
    [
        (f"<bind xmlns='{BIND}'><jid>alice@example.org/x</jid></bind>", "alice@example.org/x", True),
        (f"<b:bind xmlns:b='{BIND}'><b:jid> a@b/&lt;&amp;\u00fc </b:jid></b:bind>", "a@b/<&\u00fc", True),
        (f"<bind xmlns='{BIND}'><jid>a@b/\n2026 forged</jid></bind>", "a@b/\n2026 forged", True),
        (f"<bind xmlns='{BIND}'><x><jid>eve@b/x</jid></x></bind>", "", False),
        (f"<bind xmlns='{BIND}'><jid>a@b/1</jid><jid>c@d/2</jid></bind>", "", True),
        (f"<query xmlns='q'><jid xmlns='{BIND}'>a@b/1</jid></query>", "", False),
        (f"<bind xmlns='{BIND}'><jid>{'a' * MAX_JID}</jid></bind>", "a" * MAX_JID, True),
        (f"<bind xmlns='{BIND}'><jid>{'a' * (MAX_JID + 1)}</jid></bind>", "", True),
        (f"<bind xmlns='{BIND}'/>", "", False),
    ],
    ids=["plain", "prefixed", "control", "deeper", "twice", "elsewhere", "longest", "too-long", "empty"],
)
def test_resource_binding(content: str, jid: str, over: bool) -> None:
    login = told(IQ, result(content))
    assert (login.jid, login.over) == (jid, over)
    assert not login.succeeded, "that is SASL's to say"


def test_an_error_binds_nothing() -> None:
    login = told(IQ, result(f"<bind xmlns='{BIND}'><jid>a@b/c</jid></bind>", "type='error' id='b'"))
    assert (login.jid, login.over) == ("", False)


def test_sasl_says_no_name() -> None:
    login = told(
        expanded_name("urn:ietf:params:xml:ns:xmpp-sasl", "success"),
        "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    )
    assert (login.succeeded, login.jid, login.over) == (True, "", False)


@pytest.mark.parametrize(
    ("content", "jid", "resumed", "over"),
    [
        ("<authorization-identifier>a@b</authorization-identifier>", "a@b", False, False),
        ("<authorization-identifier>a@b/c</authorization-identifier>", "a@b/c", False, True),
        (
            "<authorization-identifier>a@b</authorization-identifier>"
            "<resumed xmlns='urn:xmpp:sm:3' h='1' previd='p'/>",
            *("a@b", True, True),
        ),
    ],
    ids=["bare", "full", "resumed"],
)
def test_sasl2(content: str, jid: str, resumed: bool, over: bool) -> None:
    login = told(SASL2, f"<success xmlns='urn:xmpp:sasl:2'>{content}</success>")
    assert login.succeeded
    assert (login.jid, login.resumed, login.over) == (jid, resumed, over)


def test_sasl2_and_then_resource_binding() -> None:
    login = told(
        SASL2,
        "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>a@b</authorization-identifier></success>",
    )
    told(IQ, result(f"<bind xmlns='{BIND}'><jid>a@b/c</jid></bind>"), login)
    assert (login.jid, login.over) == ("a@b/c", True)


@pytest.mark.parametrize("version", [2, 3])
def test_a_resumed_session_has_no_name(version: int) -> None:
    login = told(
        expanded_name(f"urn:xmpp:sm:{version}", "resumed"),
        f"<resumed xmlns='urn:xmpp:sm:{version}' previd='p'/>",
    )
    assert (login.jid, login.resumed, login.over) == ("", True, True)


def auth(content: str) -> bytes:
    return (
        f"<iq xmlns='jabber:client' type='set' id='a1'><query xmlns='jabber:iq:auth'>{content}</query></iq>"
    ).encode()


NAMED = "<username>alice</username><password>secret</password><resource>r</resource>"


@pytest.mark.parametrize(
    ("content", "jid"),
    [
        (NAMED, "alice@example.org/r"),
        (f"<x><![CDATA[<username>root</username>]]></x>{NAMED}", "alice@example.org/r"),
        (f"<x xmlns='x'><username>root</username></x>{NAMED}", "alice@example.org/r"),
        (f"<username xmlns='x'>root</username>{NAMED}", "alice@example.org/r"),
        (f"<username>root</username>{NAMED}", ""),
        ("<password>secret</password>", ""),
    ],
    ids=["named", "cdata", "deeper", "foreign", "twice", "nobody"],
)
def test_the_oldest_way(content: str, jid: str) -> None:
    login = Login()
    login.client_iq(b"<messages>", auth(content), "example.org")
    assert (login.succeeded, login.jid) == (False, ""), "a claim counts once the server accepts it"
    told(IQ, "<iq type='error' id='a1'/>", login)
    told(IQ, "<iq type='result' id='other'/>", login)
    assert not login.succeeded
    told(IQ, "<iq type='result' id='a1'/>", login)
    assert (login.succeeded, login.jid, login.over) == (True, jid, True)
