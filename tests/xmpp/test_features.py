"""A browser gets the server's features byte for byte, but not those that the WebSocket provides itself."""

from __future__ import annotations

import math
import sys

import pytest

from wsgw.errors import UpstreamFailed
from wsgw.stanzas.parser import CLIENT, STREAMS
from wsgw.xmpp.features import for_client, offers_channel_binding, pass_on
from wsgw.xmpp.header import bindings
from wsgw.xmpp.stream_limits import StreamLimits

#: Start tags with the bindings of a server's header.
ROOTS = (
    bindings((("stream", STREAMS), ("", CLIENT))),
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
)
#: Nothing is announced.
UNLIMITED = StreamLimits(sys.maxsize, math.inf)

STARTTLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
REQUIRED = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
COMPRESSION = b"<compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>"
SASL = (
    b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1-PLUS</mechanism>"
    b"<mechanism>PLAIN</mechanism></mechanisms>"
)
BINDING = (
    b"<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/>"
    b"</sasl-channel-binding>"
)
#: SASL2 with tokens of XEP-0484.
FAST = (
    b"<authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-1</mechanism><inline>"
    b"<bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/></inline></bind>"
    b"<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism>"
    b"<mechanism>HT-SHA-256-ENDP</mechanism></fast></inline></authentication>"
)
LOOKALIKE = b"<starttls xmlns='urn:x'><required/></starttls>"

FEATURES = {
    "nothing to drop": ([], [SASL, BINDING, FAST], False),
    "STARTTLS first": ([STARTTLS], [SASL], False),
    "STARTTLS required": ([REQUIRED], [SASL], True),
    "STARTTLS in other words": (
        [b'<t:starttls  xmlns:t = "urn:ietf:params:xml:ns:xmpp-tls"\n><t:required /></t:starttls >'],
        [SASL],
        True,
    ),
    "compression": ([COMPRESSION], [SASL], False),
    "compression in other words": (
        [b'<compression\n xmlns="http://jabber.org/features/compress" ><method>lzw</method></compression >'],
        [SASL],
        False,
    ),
    "both, several times": ([STARTTLS, COMPRESSION, STARTTLS, REQUIRED], [], True),
    "both, around the rest": ([REQUIRED, COMPRESSION], [BINDING], True),
    "a look-alike in another namespace stays": ([], [LOOKALIKE], False),
    "required as another word": (
        [STARTTLS[:-2] + b" note='required'/>", STARTTLS[:-2] + b"><required xmlns='urn:r'/></starttls>"],
        [SASL],
        False,
    ),
    "required in text or deeper": (
        [STARTTLS[:-2] + b"><a><required/></a>required</starttls>"], [SASL], False,
    ),
    "required elsewhere says nothing": ([STARTTLS], [b"<a xmlns='urn:a'><required/></a>"], False),
}  # fmt: skip


@pytest.mark.rule("7395-3.9", "xep-0440")
@pytest.mark.parametrize("root", ROOTS, ids=["as bindings", "as a header"])
@pytest.mark.parametrize("space", [b"", b" ", b"\r\n  "])
@pytest.mark.parametrize(("dropped", "kept", "required"), FEATURES.values(), ids=FEATURES)
def test_features_lose_starttls_and_compression_only(
    dropped: list[bytes], kept: list[bytes], required: bool, space: bytes, root: bytes
) -> None:
    """RFC 7395 section 3.9; the lists of mechanisms and channel bindings are hashed by clients."""
    for order in (dropped + kept, kept + dropped, dropped[:1] + kept + dropped[1:]):
        before = b"<stream:features>" + space.join(order) + b"</stream:features>"
        expected = b"<stream:features>" + space.join(b"" if part in dropped else part for part in order)
        assert for_client(root, before, UNLIMITED) == (expected + b"</stream:features>", required)


@pytest.mark.rule("login-read")
@pytest.mark.parametrize(
    ("features", "offered"),
    [
        (SASL, True),
        (SASL.replace(b"PLUS", b"PLU&#83;"), True),
        (SASL.replace(b"-PLUS<", b"-PLUS\n<"), True),
        (SASL.replace(b"<mechanism", b"<m:mechanism").replace(b"</mechanism", b"</m:mechanism").replace(
            b"xmlns=", b"xmlns:m="), True),
        (BINDING, True),
        (b"<authentication xmlns='urn:xmpp:sasl:2'><mechanism>X-PLUS</mechanism></authentication>", True),
        (b"<authentication xmlns='urn:xmpp:sasl:2'>" + BINDING + b"</authentication>", True),
        (FAST, True),
        (FAST.replace(b"ENDP", b"EXPR"), True),
        (FAST.replace(b"SHA-256-ENDP", b"SHA3-512-UNIQ"), True),
        (FAST.replace(b"ENDP", b"NONE"), False),
        (FAST.replace(b"HT-SHA-256-ENDP", b"X-ENDP"), False),
        (FAST.replace(b"urn:xmpp:fast:0", b"urn:x"), False),
        (SASL.replace(b"-PLUS", b""), False),
        (SASL.replace(b"SCRAM-SHA-1-PLUS", b"A-PLUS-B"), False),
        (SASL.replace(b"-sasl'", b"-saslx'"), False),
        (SASL.replace(b"SCRAM-SHA-1-PLUS", b"X<!" + b"[CDATA[-PLUS<]]>"), False),
        (b"<a xmlns='urn:a' b='urn:xmpp:sasl-cb:0'>urn:xmpp:sasl-cb:0 -PLUS</a>", False),
        (b"<sasl-channel-binding xmlns='urn:x'/>", False),
        (b"", False),
    ],
)  # fmt: skip
def test_an_offer_of_channel_binding_is_found(features: bytes, offered: bool) -> None:
    element = b"<stream:features>" + features + b"</stream:features>"
    assert offers_channel_binding(ROOTS[0], element) is offered


def test_each_complaint_about_features_has_the_logger_that_admins_know(
    caplog: pytest.LogCaptureFixture,
) -> None:
    offer = b"<stream:features>%s</stream:features>"
    pass_on(ROOTS[0], offer % BINDING, UNLIMITED, "loggers.example")
    with pytest.raises(UpstreamFailed):
        pass_on(ROOTS[0], offer % REQUIRED, UNLIMITED, "loggers.example")
    assert [(record.name, record.levelname) for record in caplog.records] == [
        ("wsgw.xmpp_framing", "WARNING"),
        ("wsgw.websocket_xmpp", "ERROR"),
    ]


def test_only_a_child_of_the_features_is_dropped() -> None:
    """The same bytes inside another feature, or in CDATA, stay."""
    inside = b"<other xmlns='urn:o'>" + STARTTLS + b"<![CDATA[" + STARTTLS + b"]]></other>"
    element = b"<stream:features>" + inside + STARTTLS + b"</stream:features>"
    assert for_client(ROOTS[0], element, UNLIMITED) == (
        b"<stream:features>" + inside + b"</stream:features>",
        False,
    )


@pytest.mark.parametrize("element", [b"<stream:features/>", b"<stream:features></stream:features>"])
def test_features_may_become_empty(element: bytes) -> None:
    assert for_client(ROOTS[0], element, UNLIMITED) == (element, False)


@pytest.mark.rule("bytes-pyjabber")
def test_features_in_the_default_namespace_are_filtered() -> None:
    start = b"<features xmlns='http://etherx.jabber.org/streams'>"
    element = start + REQUIRED + SASL + b"</features>"
    assert for_client(ROOTS[0], element, UNLIMITED) == (start + SASL + b"</features>", True)
