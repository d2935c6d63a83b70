"""The messages that the browser gets with an error."""

from __future__ import annotations

from tests.support.wire import CLOSINGS


def error(framing: str, condition: str) -> tuple[bytes, bytes]:
    """The beginning of the gateway's stream error for the browser, and the condition in it."""
    declaration = b' xmlns:stream="http://etherx.jabber.org/streams"' if framing == "rfc7395" else b""
    start = b"<stream:error" + declaration + b"><" + condition.encode()
    return start, b"xmlns='urn:ietf:params:xml:ns:xmpp-streams'"


def assert_error(framing: str, messages: list[bytes], condition: str) -> None:
    """Assert that the last two messages are the error and the end of the stream."""
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
