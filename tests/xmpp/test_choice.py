"""The first root decides which framing a session has."""

from __future__ import annotations

import pytest

from tests.xmpp.framing.examples import OLD_STROPHE, OPEN, framing_of
from wsgw.errors import SessionError

CHOICES = {
    "RFC 7395": (OPEN, "rfc7395"),
    "as Strophe writes it": (
        b'<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="example.org" version="1.0" />', "rfc7395",
    ),
    "with a line break": (OPEN.replace(b"<open ", b"<open\n"), "rfc7395"),
    "with an end tag": (OPEN.replace(b"/>", b"></open>"), "rfc7395"),
    "with a prefix": (OPEN.replace(b"<open xmlns=", b"<f:open xmlns:f="), "rfc7395"),
    "with a declaration (3.3.3)": (b"<?xml version='1.0'?>" + OPEN, "rfc7395"),
    "'>' in a value": (OPEN.replace(b" to=", b" x='>' to="), "rfc7395"),
    "legacy, self-closed (old Strophe)": (OLD_STROPHE, "legacy"),
    "legacy, left open (the draft)": (OLD_STROPHE.replace(b" />", b">"), "legacy"),
    "legacy, with a declaration": (b"<?xml version='1.0'?>" + OLD_STROPHE, "legacy"),
    "legacy, another prefix (RFC 6120 4.8.1)": (OLD_STROPHE.replace(b"stream:", b"s:").replace(
        b"xmlns:stream", b"xmlns:s"), "legacy"),
    "legacy, no prefix": (b"<stream xmlns='http://etherx.jabber.org/streams' to='a'>", "legacy"),
}  # fmt: skip


@pytest.mark.rule("7395-3.4-first")
@pytest.mark.parametrize(("message", "name"), CHOICES.values(), ids=CHOICES)
def test_the_first_root_decides_the_framing(message: bytes, name: str) -> None:
    assert framing_of(message).name == name


@pytest.mark.rule("7395-3.3.2")
@pytest.mark.parametrize(
    ("message", "condition"),
    [
        (OPEN.replace(b"/>", b">"), "not-well-formed"),
        (b"<open xmlns='jabber:client' to='a'/>", "invalid-namespace"),
        (b"<open to='a'/>", "invalid-namespace"),
        (b"<open xmlns='%s'/>" % (b"x" * 5000), "invalid-namespace"),
        (b"<stream xmlns='jabber:client' to='a'/>", "invalid-namespace"),
        (b"<stream:stream xmlns:stream='urn:x' to='a'/>", "invalid-namespace"),
        (b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>", "bad-format"),
        (b"<message xmlns='jabber:client'/>", "bad-format"),
    ],
)
def test_a_root_that_opens_no_stream_is_an_error(message: bytes, condition: str) -> None:
    """RFC 7395 section 3.3.2: another namespace is ``invalid-namespace``."""
    with pytest.raises(SessionError) as caught:
        framing_of(message)
    assert caught.value.condition == condition
    assert len(caught.value.text) <= 200
