"""What the browser hears with an error."""

from __future__ import annotations

from tests.support.wire import CLOSINGS


def error(framing: str, condition: str) -> tuple[bytes, bytes]:
    """How a stream error of the gateway begins and what it holds, for the browser."""
    declaration = b' xmlns:stream="http://etherx.jabber.org/streams"' if framing == "rfc7395" else b""
    start = b"<stream:error" + declaration + b"><" + condition.encode()
    return start, b"xmlns='urn:ietf:params:xml:ns:xmpp-streams'"


def assert_error(framing: str, messages: list[bytes], condition: str) -> None:
    """The last two messages: the error, and what ends the stream."""
    start, namespace = error(framing, condition)
    assert messages[-2].startswith(start), messages
    assert namespace in messages[-2]
    assert messages[-1] == CLOSINGS[framing]


def assert_header(framing: str, message: bytes) -> None:
    starts = {
        "rfc7395": b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'",
        "legacy": b"<stream:stream ",
    }
    assert message.startswith(starts[framing]), message
    assert b"version='1.0'" in message
