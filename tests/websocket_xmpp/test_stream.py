"""A session in RFC 7395 framing: login, restart, batches, limits, the server's errors."""

from __future__ import annotations

import pytest

from tests.support.wire import CLOSE_7395, END, SERVER_HEADER, SUCCESS, with_limits
from tests.websocket_xmpp.dialogue import (
    FEATURES,
    LIMITS,
    OPEN,
    OPEN_ANSWER,
    STAY,
    UPSTREAM_HEADER,
    Browser,
    in_state,
)
from wsgw.stanzas.element import MAX_SIZE
from wsgw.websocket_xmpp import WebSocketXmpp


@pytest.mark.rule("7395-3.7")
def test_a_session_logs_in_and_restarts_its_stream() -> None:
    dialogue = in_state("wait_for_upstream")
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER + FEATURES)
    declared = FEATURES.replace(b">", b' xmlns:stream="http://etherx.jabber.org/streams">', 1)
    assert dialogue.heard() == ([OPEN_ANSWER, with_limits(declared)], UPSTREAM_HEADER)
    assert dialogue.browser.max_message_size == 10_000
    dialogue.xmpp.process_request(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AGEAYg==</auth>")
    assert dialogue.heard() == ([], b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AGEAYg==</auth>")
    dialogue.server_says(SUCCESS)
    assert dialogue.heard() == ([SUCCESS], b"")
    assert dialogue.xmpp.login.succeeded
    assert dialogue.browser.max_message_size == LIMITS.max_stanza_size
    dialogue.xmpp.process_request(OPEN)
    assert dialogue.heard() == ([], UPSTREAM_HEADER)
    dialogue.server_says(SERVER_HEADER)
    assert dialogue.heard() == ([OPEN_ANSWER], b"")


@pytest.mark.rule("7395-3.7")
def test_success_and_the_new_header_may_come_in_one_chunk() -> None:
    dialogue = in_state("wait_for_upstream")
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER + SUCCESS + SERVER_HEADER.replace(b"s1", b"s2"))
    assert dialogue.heard()[0] == [OPEN_ANSWER, SUCCESS, OPEN_ANSWER.replace(b"s1", b"s2")]


@pytest.mark.parametrize(
    "inside", [b"<a/>" * (MAX_SIZE // 4), b"<a xmlns='%s'/>" % (b"u" * 5000)], ids=["elements", "namespace"]
)
@pytest.mark.parametrize("name", [b"features", b"error"])
def test_a_stanza_that_takes_too_much_to_be_read_ends_the_session(name: bytes, inside: bytes) -> None:
    dialogue = in_state("loop")
    dialogue.server_says(b"<stream:%s>%s</stream:%s>" % (name, inside, name))
    browser, server = dialogue.heard()
    assert browser[-1] == b"Close 1011 remote-connection-failed"
    assert server == END


def test_white_space_of_the_server_is_no_frame() -> None:
    dialogue = in_state("loop")
    dialogue.server_says(b" \n")
    assert dialogue.heard() == STAY


def test_stanzas_before_the_error_are_delivered() -> None:
    dialogue = in_state("loop")
    dialogue.server_says(b"<message/><a></b>")
    assert dialogue.heard()[0][0] == b"<message xmlns='jabber:client'/>"


ENABLED = b"<enabled xmlns='urn:xmpp:sm:3'/>"


@pytest.mark.rule("xep-0198-inline")
@pytest.mark.parametrize(
    "enabled",
    [
        ENABLED,
        ENABLED.replace(b"3", b"2"),
        b"<success xmlns='urn:xmpp:sasl:2'><bound xmlns='urn:xmpp:bind:0'>%s</bound></success>" % ENABLED,
    ],
    ids=["sm-3", "sm-2", "within-sasl2"],
)
def test_a_batch_ends_with_enabled(enabled: bytes) -> None:
    """The rest is for the next call, which comes a little later."""
    dialogue = in_state("loop")
    dialogue.server_says(b"<message/>" + enabled + b"<message/>" * 2)
    assert dialogue.heard()[0] == [b"<message xmlns='jabber:client'/>", enabled]
    assert dialogue.xmpp.pauses
    assert dialogue.xmpp.process_upstream(1000) is False
    assert dialogue.heard()[0] == [b"<message xmlns='jabber:client'/>"] * 2

    dialogue.xmpp.pauses = False
    dialogue.xmpp.upstream_data(enabled)
    assert dialogue.xmpp.process_upstream(1000) is True, "the next bytes are not read before, either"
    assert dialogue.xmpp.pauses
    assert dialogue.xmpp.process_upstream(1000) is False


def test_bytes_from_upstream_are_processed_in_slices() -> None:
    dialogue = in_state("loop")
    dialogue.xmpp.upstream_data(b"<message/>" * 5 + END)
    assert dialogue.xmpp.process_upstream(3) is True
    assert len(dialogue.heard()[0]) == 3
    assert dialogue.xmpp.process_upstream(3) is False
    assert dialogue.heard()[0][2:] == [CLOSE_7395, b"Close 1000"]


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        (b"<a><b><c><d><e><f/></e></d></c></b></a>", "policy-violation"),
        (b"<a b='1' c='2' d='3' e='4'/>", "policy-violation"),
        (b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>", "bad-format"),
    ],
)
def test_a_stanza_above_a_limit_ends_the_session(stanza: bytes, condition: str) -> None:
    dialogue = in_state("loop")
    dialogue.xmpp.process_request(stanza)
    browser, server = dialogue.heard()
    assert browser[-1] == f"Close 1008 {condition}".encode()
    assert server.startswith(f"<stream:error><{condition}".encode())


def test_see_other_host_gives_the_browser_the_other_address() -> None:
    dialogue = in_state("wait_for_upstream")
    dialogue.xmpp.upstream_connected()
    dialogue.heard()
    other = b"<see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>node2.example</see-other-host>"
    dialogue.server_says(SERVER_HEADER + b"<stream:error>" + other + b"</stream:error>" + END)
    assert dialogue.heard() == (
        [
            OPEN_ANSWER,
            b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" see-other-uri="wss://node2.example/ws" />',
            b"Close 1000 see-other-host",
        ],
        END,
    )


def test_a_server_that_requires_starttls_cannot_be_used() -> None:
    dialogue = in_state("wait_for_upstream")
    dialogue.xmpp.upstream_connected()
    dialogue.heard()
    starttls = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
    dialogue.server_says(SERVER_HEADER + b"<stream:features>" + starttls + b"</stream:features>")
    browser, server = dialogue.heard()
    assert b"starttls://" in browser[1]
    assert browser[-1] == b"Close 1011 remote-connection-failed"
    assert server == END


def test_a_stanza_that_one_client_may_send_another_may_receive() -> None:
    """The server adds a little to a stanza; the limit for its stanzas is above that for the clients'."""
    browser = Browser()
    limits = LIMITS._replace(max_stanza_size=10 * 1024 * 1024)
    xmpp = WebSocketXmpp(browser, limits, lambda to: to, 0.0)
    xmpp.process_request(OPEN)
    xmpp.upstream_connected()
    stanza = b"<message from='a@localhost'><body>%s</body></message>" % (b"x" * limits.max_stanza_size)
    xmpp.upstream_data(SERVER_HEADER + stanza)
    xmpp.process_upstream(10)
    assert [len(text) for text in browser.got][1] == len(stanza) + len(" xmlns='jabber:client'")
