"""SASL2 (XEP-0388): its success says who has logged in, and what became of the session."""

from __future__ import annotations

import pytest

from tests.xmpp.login.answers import BIND, CONTINUE, IQ, SASL2, result, told
from wsgw.stanzas.element import MAX_SIZE


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
def test_sasl2_names_the_user(content: str, jid: str, resumed: bool, over: bool) -> None:
    login = told(SASL2, f"<success xmlns='urn:xmpp:sasl:2'>{content}</success>")
    assert login.succeeded
    assert (login.jid, login.resumed, login.over) == (jid, resumed, over)


AUTHORIZED = "<authorization-identifier>a@b/c</authorization-identifier>"


@pytest.mark.rule("xep-0198-inline")
@pytest.mark.parametrize(
    ("content", "resumed", "resumable"),
    [
        (
            "<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='i' resume='1'/></bound>",
            False,
            True,
        ),
        ("<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3'/></bound>", False, False),
        ("<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:carbons:2'/></bound>", False, False),
        ("<resumed xmlns='urn:xmpp:sm:3' h='1' previd='p'/>", True, True),
        (
            "<failed xmlns='urn:xmpp:sm:3'/>"
            "<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' resume='true'/></bound>",
            *(False, True),
        ),
        ("<bound xmlns='urn:xmpp:bind:0'><failed xmlns='urn:xmpp:sm:3'/></bound>", False, False),
        ("<x xmlns='x'><resumed xmlns='urn:xmpp:sm:3'/></x>", False, False),
    ],
    ids=["enabled", "not-resumable", "carbons", "resumed", "resume-failed", "enable-failed", "elsewhere"],
)
def test_stream_management_within_sasl2(content: str, resumed: bool, resumable: bool) -> None:
    login = told(SASL2, f"<success xmlns='urn:xmpp:sasl:2'>{AUTHORIZED}{content}</success>")
    assert (login.jid, login.over) == ("a@b/c", True)
    assert (login.resumed, login.resumable) == (resumed, resumable)


@pytest.mark.rule("xep-0388")
@pytest.mark.parametrize(
    ("size", "jid"), [(MAX_SIZE, "a@b/c"), (MAX_SIZE + 1, "")], ids=["read", "too-large"]
)
def test_a_sasl2_success_of_any_size_is_a_success(size: int, jid: str) -> None:
    """Its other content is unknown if it costs too much to read."""
    start, end = f"<success xmlns='urn:xmpp:sasl:2'>{AUTHORIZED}<x>", "</x></success>"
    login = told(SASL2, start + "x" * (size - len(start) - len(end)) + end)
    assert (login.succeeded, login.jid) == (True, jid)


@pytest.mark.rule("xep-0388-continue")
def test_a_further_task_restarts_the_deadline() -> None:
    login = told(
        CONTINUE, "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>HOTP-EXAMPLE</task></tasks></continue>"
    )
    assert (login.succeeded, login.refused) == (False, 0)
    assert login.restarts_deadline()
    assert not login.restarts_deadline()


def test_resource_binding_after_sasl2_names_the_user() -> None:
    login = told(
        SASL2,
        "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>a@b</authorization-identifier></success>",
    )
    told(IQ, result(f"<bind xmlns='{BIND}'><jid>a@b/c</jid></bind>"), login)
    assert (login.jid, login.over) == ("a@b/c", True)
