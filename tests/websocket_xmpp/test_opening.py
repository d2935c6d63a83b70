"""The first header of a client, its domain, and later headers, which must be for the same domain."""

from __future__ import annotations

import pytest

from tests.support.wire import CLOSE_7395, END, SERVER_HEADER, SUCCESS
from tests.websocket_xmpp.dialogue import LEGACY, OPEN, UPSTREAM_HEADER, Dialogue, in_state


@pytest.mark.rule("7395-3.4-first")
@pytest.mark.parametrize(
    ("first", "condition"),
    [
        (b"<message xmlns='jabber:client' to='a@localhost'><body>hi</body></message>", "bad-format"),
        (b"<message to='a@localhost'><body>hi</body></message>", "bad-format"),
        (b"<presence>hi</presence>", "bad-format"),
        (b"<iq type='get'><ping xmlns='urn:xmpp:ping'/>", "bad-format"),
        (b"<iq><a></b></iq>", "bad-format"),
        (b"<message><!-- x --></message>", "bad-format"),
        (b"<message/><message/>", "bad-format"),
        (b"<message/>text", "bad-format"),
        (b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>", "bad-format"),
        (b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'>x</close>", "bad-format"),
        (b"<open xmlns='jabber:client'><a/></open>", "invalid-namespace"),
        (b"<stream xmlns='jabber:client'><a/></stream>", "invalid-namespace"),
        (b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost'><a/></open>", "not-well-formed"),
        (b"<message", "not-well-formed"),
        (b"<message a='1' a='2'><body/></message>", "not-well-formed"),
        (b"<x:message><body/></x:message>", "not-well-formed"),
        (b"<!-- x --><message/>", "restricted-xml"),
        (b"text<message/>", "not-well-formed"),
    ],
)
def test_the_name_of_the_first_root_is_checked_first(first: bytes, condition: str) -> None:
    dialogue = Dialogue()
    dialogue.xmpp.process_request(first)
    browser, _ = dialogue.heard()
    assert browser[-1] == f"Close 1008 {condition}".encode()


@pytest.mark.parametrize(
    ("first", "legacy"),
    [
        (b"<stream:stream xmlns:stream='urn:x' to='a'>", True),
        (b"<s:stream to='a'>", True),
        (b"<stream xmlns='urn:x'/>", True),
        (b"<stream:stream", True),
        (b"<open xmlns='urn:x' to='stream'/>", False),
        (b"<message id='stream:stream'/>", False),
        (b"<x a='1' stream:stream=''/>", False),
        (b"<streams/>", False),
        (b"<opening xmlns='stream'/>", False),
    ],
)
def test_a_refused_opening_is_answered_in_its_framing(first: bytes, legacy: bool) -> None:
    dialogue = Dialogue()
    dialogue.xmpp.process_request(first)
    browser, _ = dialogue.heard()
    assert browser[0].startswith(b"<stream:stream " if legacy else b"<open "), browser
    assert browser[2] == (END if legacy else CLOSE_7395)


def test_an_opening_asks_for_the_normalised_domain() -> None:
    dialogue = Dialogue()
    dialogue.xmpp.process_request(OPEN.replace(b"localhost", b"LocalHost"))
    assert dialogue.xmpp.connect_to == "localhost"
    dialogue.xmpp.upstream_connected()
    assert b"to='LocalHost'" in dialogue.heard()[1]


@pytest.mark.parametrize(
    "opening",
    [
        b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'></open>",
        b'<open\n\txmlns="urn:ietf:params:xml:ns:xmpp-framing"\n to="localhost" version="1.0" />',
        b"<f:open xmlns:f='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>",
        b"<?xml version='1.0' encoding='UTF-8'?><open xmlns='urn:ietf:params:xml:ns:xmpp-framing'"
        b" to='localhost' version='1.0'/>",
    ],
)
def test_open_in_any_spelling_opens_the_stream(opening: bytes) -> None:
    dialogue = Dialogue()
    dialogue.xmpp.process_request(opening)
    dialogue.xmpp.upstream_connected()
    assert dialogue.heard()[1] == UPSTREAM_HEADER


# -- a later header is for the domain of the first -------------------------------------------------------


@pytest.mark.rule("6120-4.7-to")
@pytest.mark.parametrize("opening", [OPEN, LEGACY], ids=["rfc7395", "legacy"])
@pytest.mark.parametrize(
    "to", [b"elsewhere.example", b"localhost.", b"", b" localhost", b"localhost/x", b"&#10;"]
)
def test_a_later_header_cannot_move_to_another_domain(opening: bytes, to: bytes) -> None:
    dialogue = in_state("loop", opening)
    dialogue.xmpp.process_request(opening.replace(b"to='localhost'", b"to='%s'" % to))
    browser, server = dialogue.heard()
    if to == b"localhost.":
        assert (browser, dialogue.xmpp.state_name) == ([], "loop"), "the same domain in another spelling"
        return
    assert browser[-1] == b"Close 1008 host-unknown"
    assert server.startswith(b"<stream:error><host-unknown ")
    assert server.endswith(b"</stream:error>" + END)


@pytest.mark.rule("6120-4.7-to")
def test_a_later_header_cannot_move_to_another_served_domain() -> None:
    dialogue = in_state("loop")
    dialogue.xmpp._serves = lambda to: to
    dialogue.xmpp.process_request(OPEN.replace(b"localhost", b"other.example"))
    assert dialogue.heard()[0][-1] == b"Close 1008 host-unknown"


@pytest.mark.rule("6120-4.7-to")
@pytest.mark.parametrize("opening", [OPEN, LEGACY], ids=["rfc7395", "legacy"])
def test_a_later_header_without_to_is_for_the_first_ones_domain(opening: bytes) -> None:
    """The server, which may serve several, gets that domain."""
    dialogue = in_state("wait_for_upstream", opening.replace(b"localhost", b"LocalHost"))
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER + SUCCESS)
    first = dialogue.heard()[1]
    for _ in range(2):
        dialogue.xmpp.process_request(opening.replace(b" to='localhost'", b""))
        assert dialogue.heard() == ([], first)
    dialogue.xmpp.process_request(opening)
    assert dialogue.heard() == ([], first.replace(b"LocalHost", b"localhost"))
