"""The end of a stream and stream errors, in the bytes that clients compare."""

from __future__ import annotations

import pytest

from tests.xmpp.framing.examples import OLD_STROPHE, OPEN, STANZAS_NS, answered, framing_of
from wsgw.xmpp.framing import LegacyFraming, Rfc7395Framing
from wsgw.xmpp.header import condition_of, stream_error


@pytest.mark.rule("bytes-close")
def test_close_is_the_string_that_strophe_compares() -> None:
    assert Rfc7395Framing.close == b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" />'
    assert LegacyFraming.close == b"</stream:stream>"


@pytest.mark.rule("7395-3.6.1")
def test_close_may_name_another_address() -> None:
    """RFC 7395 section 3.6.1."""
    assert framing_of(OPEN).close_towards('wss://b/?c="&') == (
        b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" see-other-uri="wss://b/?c=&quot;&amp;" />'
    )
    assert framing_of(OLD_STROPHE).close_towards("wss://b/") == b"</stream:stream>"


def test_the_gateways_own_errors_are_stream_errors() -> None:
    children = (
        b"<host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
        b"<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>a &lt; b &amp; c</text>"
    )
    rfc7395 = (
        b'<stream:error xmlns:stream="http://etherx.jabber.org/streams">' + children + b"</stream:error>"
    )
    assert framing_of(OPEN).error("host-unknown", "a < b & c") == rfc7395
    assert framing_of(OLD_STROPHE).error("host-unknown", "a < b & c") == (
        b"<stream:error>" + children + b"</stream:error>"
    ), "old Strophe looks for the bare tag"
    assert stream_error("", "host-unknown", "a < b & c") == b"<error>" + children + b"</error>"


@pytest.mark.rule("login-read")
@pytest.mark.parametrize("message", [OPEN, OLD_STROPHE], ids=["rfc7395", "legacy"])
@pytest.mark.parametrize(
    ("element", "condition"),
    [
        (
            b"<stream:error><conflict xmlns='%s'/><text xmlns='%s'>Replaced</text></stream:error>",
            ("conflict", ""),
        ),
        (
            b"<stream:error><text xmlns='%s'>Bye</text>\n<shutdown xmlns='%s'></shutdown></stream:error>",
            ("shutdown", ""),
        ),
        (
            b"<stream:error><see-other-host xmlns='%s'>[2001:db8::1]:5222</see-other-host></stream:error>",
            ("see-other-host", "[2001:db8::1]:5222"),
        ),
        (
            b"<stream:error><!" + b"[CDATA[<conflict xmlns='%s'/>]]><s:see-other-host x='>' xmlns:s='%s'>"
            b"a&#46;b<![CDATA[>]]></s:see-other-host></stream:error>",
            ("see-other-host", "a.b>"),
        ),
        (
            b"<stream:error><x xmlns='urn:x'><conflict xmlns='%s'/></x></stream:error>",
            ("undefined-condition", ""),
        ),
        (b"<stream:error><x xmlns='urn:x'>y</x><reset xmlns='%s'/></stream:error>", ("reset", "")),
        (b"<stream:error><x xmlns='urn:x'/></stream:error>", ("undefined-condition", "")),
        (b"<stream:error/>", ("undefined-condition", "")),
    ],
)
def test_the_condition_of_a_server_error_is_read(
    message: bytes, element: bytes, condition: tuple[str, str]
) -> None:
    element = element.replace(b"%s", STANZAS_NS.encode())
    assert condition_of(answered(message).server_root, element) == condition
