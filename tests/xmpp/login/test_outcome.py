"""The outcome of a login: the JID, resumability, failures. Only the server's answers count."""

from __future__ import annotations

import pytest

from tests.xmpp.login.answers import BIND, IQ, SASL, SASL2, nothing_is_known, result, told
from wsgw.stanzas.parser import expanded_name
from wsgw.xmpp.login import MAX_JID, Login


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
def test_resource_binding_names_the_user(content: str, jid: str, over: bool) -> None:
    login = told(IQ, result(content))
    assert (login.jid, login.over) == (jid, over)
    assert not login.succeeded, "SASL reports the success"


def test_an_error_names_no_user() -> None:
    login = told(IQ, result(f"<bind xmlns='{BIND}'><jid>a@b/c</jid></bind>", "type='error' id='b'"))
    assert (login.jid, login.over) == ("", False)


def test_sasl_names_no_user() -> None:
    login = told(SASL, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
    assert (login.succeeded, login.jid, login.over) == (True, "", False)


@pytest.mark.parametrize("version", [2, 3])
def test_a_resumed_session_has_no_name(version: int) -> None:
    login = told(
        expanded_name(f"urn:xmpp:sm:{version}", "resumed"),
        f"<resumed xmlns='urn:xmpp:sm:{version}' previd='p'/>",
    )
    assert (login.jid, login.resumed, login.over) == ("", True, True)


SM = "urn:xmpp:sm:3"
ENABLED = expanded_name(SM, "enabled")


@pytest.mark.rule("login-read")
@pytest.mark.parametrize(
    ("name", "element", "resumable"),
    [
        (ENABLED, f"<enabled xmlns='{SM}' id='i' resume='true'/>", True),
        (ENABLED, f"<enabled xmlns='{SM}' id='i' resume='1'/>", True),
        (ENABLED, f"<x:enabled resume = '&#116;rue' xmlns:x='{SM}'/>", True),
        (ENABLED, f"<enabled xmlns='{SM}' location='>' resume='true'/>", True),
        (expanded_name("urn:xmpp:sm:2", "enabled"), "<enabled xmlns='urn:xmpp:sm:2' resume='true'/>", True),
        (ENABLED, f"<enabled xmlns='{SM}'/>", False),
        (ENABLED, f"<enabled xmlns='{SM}' resume='false'/>", False),
        (ENABLED, f"<enabled xmlns='{SM}' id=\" resume='true' \"/>", False),
        (ENABLED, f"<enabled xmlns='{SM}' x:resume='true' xmlns:x='x'/>", False),
        (ENABLED, f"<enabled xmlns='{SM}'><enabled resume='true'/></enabled>", False),
        (ENABLED, f"<enabled xmlns='{SM}'><![CDATA[<resumed />]]></enabled>", False),
        (expanded_name(SM, "resumed"), f"<resumed xmlns='{SM}' h='1' previd='p'/>", True),
        (SASL2, f"<success xmlns='urn:xmpp:sasl:2'><resumed xmlns='{SM}' h='1' previd='p'/></success>", True),
        (
            SASL2,
            "<success xmlns='urn:xmpp:sasl:2'><bound xmlns='urn:xmpp:bind:0'>"
            f"<enabled xmlns='{SM}' id='i' resume='1'/></bound></success>",
            True,
        ),
        (
            SASL2,
            "<success xmlns='urn:xmpp:sasl:2'><additional-data>&lt;resumed /></additional-data></success>",
            False,
        ),
        (SASL2, "<success xmlns='urn:xmpp:sasl:2'><enabled xmlns='x' resume='true'/></success>", False),
        (expanded_name("urn:x", "enabled"), "<enabled xmlns='urn:x' resume='true'/>", False),
    ],
)
def test_a_session_that_can_be_resumed_is_known(name: str, element: str, resumable: bool) -> None:
    assert told(name, element).resumable is resumable


def test_resumption_is_enabled_after_the_login() -> None:
    login = told(IQ, result(f"<bind xmlns='{BIND}'><jid>a@b/c</jid></bind>"))
    assert login.over
    told(ENABLED, f"<enabled xmlns='{SM}' resume='true'/>", login)
    assert login.resumable


def test_failures_are_counted() -> None:
    login = Login()
    for namespace in ("urn:ietf:params:xml:ns:xmpp-sasl", "urn:xmpp:sasl:2", "urn:x"):
        told(expanded_name(namespace, "failure"), f"<failure xmlns='{namespace}'/>", login)
    assert login.refused == 2
    assert nothing_is_known(login)


def test_a_callback_for_the_jid_is_called_once() -> None:
    login = Login()
    called: list[str] = []
    login.when_over = lambda: called.append(login.jid)
    told(SASL, "<success/>", login)
    assert not called
    told(IQ, result(f"<bind xmlns='{BIND}'><jid>a@b/c</jid></bind>"), login)
    told(IQ, result(f"<bind xmlns='{BIND}'><jid>eve@b/c</jid></bind>"), login)
    assert called == ["a@b/c"]
