"""Logins without SASL or with SASL2, and refused logins."""

from __future__ import annotations

import pytest

from tests.support.wire import SERVER_HEADER
from tests.websocket_xmpp.dialogue import LEGACY, before_login, in_state


def test_a_non_sasl_login_counts_as_a_login() -> None:
    dialogue = in_state("wait_for_upstream", LEGACY)
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER)
    ask = b"<iq type='get' id='a1'><query xmlns='jabber:iq:auth'><username>a</username></query></iq>"
    dialogue.xmpp.process_request(ask)
    dialogue.server_says(b"<iq type='result' id='a1'><query xmlns='jabber:iq:auth'><password/></query></iq>")
    assert not dialogue.xmpp.login.succeeded
    dialogue.xmpp.process_request(
        b"<iq type='set' id='a2'><query xmlns='jabber:iq:auth'><username>a</username>"
        b"<password>x</password></query></iq>"
    )
    assert not dialogue.xmpp.login.succeeded
    dialogue.server_says(b"<iq type='result' id='a2'/>")
    assert dialogue.xmpp.login.succeeded


ATTEMPT = (
    b"<iq xmlns='jabber:client' type='set' id='result'><query xmlns='jabber:iq:auth'>"
    b"<username>admin</username><password>x</password><resource>r</resource></query></iq>"
)


@pytest.mark.rule("xep-0078")
def test_a_refused_login_changes_no_limit() -> None:
    dialogue = before_login()
    dialogue.xmpp.process_request(ATTEMPT)
    dialogue.server_says(b"<iq type='error' id='result'><error type='auth'/></iq>")
    login = dialogue.xmpp.login
    assert (login.succeeded, login.jid, login.refused) == (False, "", 1)
    assert dialogue.browser.max_message_size == 10_000
    assert not dialogue.xmpp.at_rest
    dialogue.heard()
    dialogue.xmpp.tick(60.0, reading=True)
    assert dialogue.heard()[0][-1] == b"Close 1008 policy-violation"


@pytest.mark.parametrize("namespace", [b"jabber:client", b"jabber:server"])
def test_another_request_with_the_same_id_is_no_login(namespace: bytes) -> None:
    """In any namespace: some server answers it."""
    dialogue = before_login()
    dialogue.xmpp.process_request(
        b"<iq xmlns='%s' type='get' id='result'><query xmlns='jabber:iq:register'/></iq>" % namespace
    )
    dialogue.xmpp.process_request(ATTEMPT)
    dialogue.server_says(b"<iq type='result' id='result'/><iq type='error' id='result'/>")
    assert not dialogue.xmpp.login.succeeded


@pytest.mark.rule("xep-0388")
def test_a_sasl2_success_counts_as_a_login() -> None:
    dialogue = in_state("wait_for_upstream")
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER + b"<success xmlns='urn:xmpp:sasl:2'/>")
    assert dialogue.xmpp.login.succeeded
