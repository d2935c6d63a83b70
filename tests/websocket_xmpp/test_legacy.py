"""A session in the framing of the draft before RFC 7395."""

from __future__ import annotations

import pytest

from tests.support.wire import END, SERVER_HEADER, SUCCESS, with_limits
from tests.websocket_xmpp.dialogue import FEATURES, LEGACY, OPEN, Dialogue, in_state


def test_a_legacy_session_logs_in_and_ends() -> None:
    dialogue = in_state("wait_for_upstream", LEGACY)
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER + FEATURES + SUCCESS)
    header = SERVER_HEADER.partition(b"?>")[2]
    assert dialogue.heard() == (
        [header, with_limits(FEATURES), SUCCESS],
        b"<?xml version='1.0'?>" + LEGACY.replace(b" />", b">"),
    )
    dialogue.xmpp.process_request(LEGACY)
    assert dialogue.heard()[1] == b"<?xml version='1.0'?>" + LEGACY.replace(b" />", b">")
    dialogue.xmpp.process_request(b"<presence/>")
    assert dialogue.heard()[1] == b"<presence/>"
    dialogue.server_says(b"<message/>")
    assert dialogue.heard()[0] == [b"<message/>"]
    dialogue.xmpp.process_request(END)
    assert dialogue.heard() == ([], END)
    dialogue.server_says(END)
    assert dialogue.heard() == ([END, b"Close 1000"], b"")


@pytest.mark.rule("7395-3.8")
@pytest.mark.parametrize("blank", [b"", b" ", b"   "])
def test_a_blank_ping_is_answered(blank: bytes) -> None:
    dialogue = in_state("loop", LEGACY)
    dialogue.xmpp.process_request(blank)
    assert dialogue.heard() == ([b" "], b"")


@pytest.mark.parametrize("opening", [OPEN, LEGACY], ids=["rfc7395", "legacy"])
@pytest.mark.parametrize("text", [b"\x0c", b" \x0b ", b"</stream:stream\x0c>", b"</stream:stream>\x0b"])
def test_characters_that_are_white_space_only_to_python_are_no_ping(text: bytes, opening: bytes) -> None:
    dialogue = in_state("loop", opening)
    dialogue.xmpp.process_request(text)
    assert dialogue.heard()[0][-1] == b"Close 1008 not-well-formed"


def test_an_end_tag_of_another_name_is_not_the_end() -> None:
    dialogue = in_state("loop", LEGACY)
    dialogue.xmpp.process_request(b"</stream:other>")
    assert dialogue.heard()[0][-1] == b"Close 1008 not-well-formed"


@pytest.mark.rule("6120-4.8.1")
def test_a_header_may_have_any_prefix() -> None:
    dialogue = Dialogue()
    opening = b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' to='localhost'>"
    dialogue.xmpp.process_request(opening)
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER)
    assert dialogue.heard()[1] == b"<?xml version='1.0'?>" + opening
    dialogue.xmpp.process_request(b"</s:stream>")
    assert dialogue.heard()[1] == b"</s:stream>"


def test_a_legacy_error_at_the_opening_is_three_messages() -> None:
    dialogue = Dialogue()
    dialogue.xmpp.process_request(LEGACY.replace(b"localhost", b"elsewhere"))
    header, error, end, close = dialogue.heard()[0]
    assert header.startswith(b"<stream:stream xmlns='jabber:client'")
    assert not header.endswith(b"/>")
    assert error.startswith(b"<stream:error><host-unknown xmlns=")
    assert (end, close) == (END, b"Close 1008 host-unknown")
