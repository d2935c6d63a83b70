"""The limits of wsgw are announced in the server's features, and no other byte of them changes (XEP-0478)."""

from __future__ import annotations

import math
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.stanzas.parser import CLIENT, STREAMS
from wsgw.xmpp.features import for_client
from wsgw.xmpp.header import bindings
from wsgw.xmpp.stream_limits import StreamLimits

ROOT = bindings((("stream", STREAMS), ("s", STREAMS), ("", CLIENT)))
NAMESPACE = "urn:xmpp:stream-limits:0"
START = b"<limits xmlns='urn:xmpp:stream-limits:0'>"
OURS = StreamLimits(65_536, 300)
BYTES, IDLE = b"<max-bytes>65536</max-bytes>", b"<idle-seconds>300</idle-seconds>"
ADDED = START + BYTES + IDLE + b"</limits>"


def read(features: bytes) -> ElementTree.Element:
    """The features as another parser reads them, inside the header of the stream."""
    return ElementTree.fromstring(ROOT + features + b"</root>")[0]


def numbers(features: ElementTree.Element) -> list[tuple[str | None, str | None]]:
    """(max-bytes, idle-seconds) of each ``<limits/>``."""
    names = [f"{{{NAMESPACE}}}{name}" for name in ("max-bytes", "idle-seconds")]
    found = features.findall(f"{{{NAMESPACE}}}limits")
    return [(limits.findtext(names[0]), limits.findtext(names[1])) for limits in found]


@pytest.mark.rule("xep-0478-bytes", "xep-0478-idle")
@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (b"<stream:features/>", b"<stream:features>%s</stream:features>"),
        (b"<stream:features a='/>' \n/>", b"<stream:features a='/>' \n>%s</stream:features>"),
        (b"<stream:features></stream:features >", b"<stream:features>%s</stream:features >"),
        (b"<s:features><a xmlns='u'/>\n</s:features>", b"<s:features><a xmlns='u'/>\n%s</s:features>"),
        (
            b"<features xmlns='http://etherx.jabber.org/streams'><bind/></features>",
            b"<features xmlns='http://etherx.jabber.org/streams'><bind/>%s</features>",
        ),
        (b"<stream:features xmlns='urn:x'/>", b"<stream:features xmlns='urn:x'>%s</stream:features>"),
        (
            b"<stream:features><![CDATA[</stream:features>]]></stream:features>",
            b"<stream:features><![CDATA[</stream:features>]]>%s</stream:features>",
        ),
        (
            b"<s:features><a xmlns='u'><limits xmlns='urn:xmpp:stream-limits:0'/></a></s:features>",
            b"<s:features><a xmlns='u'><limits xmlns='urn:xmpp:stream-limits:0'/></a>%s</s:features>",
        ),
        (
            b"<stream:features><limits xmlns='urn:x'/></stream:features>",
            b"<stream:features><limits xmlns='urn:x'/>%s</stream:features>",
        ),
        (
            b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
            b"<stream:features>%s</stream:features>",
        ),
    ],
    ids=[
        "empty element", "empty, attributes", "no content", "another prefix", "no prefix",
        "another default", "CDATA", "limits in a feature", "other limits", "STARTTLS",
    ],
)  # fmt: skip
def test_limits_are_added_where_the_server_announces_none(features: bytes, expected: bytes) -> None:
    assert for_client(ROOT, features, OURS)[0] == expected % ADDED


@pytest.mark.rule("xep-0478-idle")
def test_a_limit_without_end_is_not_announced() -> None:
    edited, _ = for_client(ROOT, b"<stream:features/>", StreamLimits(65_536, math.inf))
    assert edited == b"<stream:features>%s</stream:features>" % ADDED.replace(IDLE, b"")
    edited, _ = for_client(ROOT, b"<stream:features/>", StreamLimits(sys.maxsize, 300.9))
    assert edited == b"<stream:features>%s</stream:features>" % ADDED.replace(BYTES, b"")
    assert for_client(ROOT, b"<s:features/>", StreamLimits(sys.maxsize, math.inf))[0] == b"<s:features/>"
    theirs = b"<stream:features>%s</stream:features>" % ADDED.replace(b"300", b"900")
    assert for_client(ROOT, theirs, StreamLimits(sys.maxsize, math.inf))[0] == theirs
    assert for_client(ROOT, theirs, StreamLimits(65_536, math.inf))[0] == theirs


@pytest.mark.rule("xep-0478-bytes", "xep-0478-idle")
@pytest.mark.parametrize(
    "features", [b"<limits xmlns='%s'/>", b"<limits xmlns='%s' ></limits>", b"<l:limits xmlns:l='%s'/>"]
)
def test_limits_without_content_get_ours(features: bytes) -> None:
    element = b"<stream:features>%s</stream:features>" % (features % NAMESPACE.encode())
    assert numbers(read(for_client(ROOT, element, OURS)[0])) == [("65536", "300")]


#: What a server writes, and what a client gets for it, ``@`` for our max-bytes; None if nothing changes.
SPELLINGS = {
    "above": (b"<max-bytes>99999</max-bytes>", BYTES),
    "just above": (b"<max-bytes>65537</max-bytes>", BYTES),
    "equal": (BYTES, None),
    "leading zeros": (b"<max-bytes>0099</max-bytes>", None),
    "white space": (b"<max-bytes >\n 99999 </max-bytes >", b"<max-bytes >\n 65536 </max-bytes >"),
    "attributes": (b"<max-bytes a='>'>99999</max-bytes>", b"<max-bytes a='>'>65536</max-bytes>"),
    "huge": (b"<a/><max-bytes>%s</max-bytes>" % (b"9" * 50), b"<a/>" + BYTES),
    "reference": (b"<max-bytes>&#57;9999</max-bytes>", BYTES),
    "CDATA": (b"<max-bytes><![CDATA[99999]]></max-bytes>", BYTES),
    "many zeros": (b"<max-bytes>00000000099999</max-bytes>", BYTES),
    "element": (b"<max-bytes>99999<x>5</x></max-bytes>", BYTES),
    "twice": (b"<max-bytes>99999</max-bytes><max-bytes>1</max-bytes>", BYTES + b"<max-bytes>1</max-bytes>"),
    "empty element": (b"<max-bytes/>", None),
    "empty": (b"<max-bytes></max-bytes>", None),
    "no number": (b"<max-bytes>lots</max-bytes>", None),
    "deeper": (b"<a><max-bytes>99999</max-bytes></a>", b"<a><max-bytes>99999</max-bytes></a>@"),
    "in a value": (b"<a b='&lt;max-bytes>9&lt;/max-bytes>'/>", b"<a b='&lt;max-bytes>9&lt;/max-bytes>'/>@"),
    "foreign": (b"<max-bytes xmlns='urn:x'>9</max-bytes>", b"<max-bytes xmlns='urn:x'>9</max-bytes>@"),
    "another limit": (b"<a>9</a>\n", b"<a>9</a>\n@"),
    "nothing": (b"", b"@"),
}
ONLY_BYTES, ONLY_IDLE = StreamLimits(65_536, math.inf), StreamLimits(sys.maxsize, 65_536.0)


@pytest.mark.rule("xep-0478-bytes", "xep-0478-idle")
@pytest.mark.parametrize(("inside", "expected"), SPELLINGS.values(), ids=SPELLINGS)
def test_only_the_number_is_edited(inside: bytes, expected: bytes | None) -> None:
    """Or our number is added, with the prefix of the server's ``<limits/>``."""
    prefixed = b'<l:limits xmlns="urn:xmpp:stream-limits:0" xmlns:l="urn:xmpp:stream-limits:0" >'
    for start, end, ours in (
        (START, b"</limits>", BYTES),
        (prefixed, b"</l:limits>", b"<l:max-bytes>65536</l:max-bytes>"),
    ):
        before = b"<stream:features><a xmlns='u'/>" + start
        after = end + b"<b xmlns='u'><max-bytes>99999</max-bytes></b></stream:features>"
        sent = before + inside + after
        wanted = before + (inside if expected is None else expected.replace(b"@", ours)) + after
        assert for_client(ROOT, sent, ONLY_BYTES) == (wanted, False)
        sent, wanted = (each.replace(b"max-bytes", b"idle-seconds") for each in (sent, wanted))
        assert for_client(ROOT, sent, ONLY_IDLE) == (wanted, False)


OTHERS = st.lists(
    st.sampled_from(
        [
            "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>",
            "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>X-PLUS</mechanism></mechanisms>",
            f"<a xmlns='urn:a' b='>'><limits xmlns='{NAMESPACE}'><max-bytes>9</max-bytes></limits></a>",
            "<l:limits xmlns:l='urn:x'/>",
            "text &lt; <![CDATA[</limits>]]>",
        ]
    ),
    max_size=4,
)


@st.composite
def limits_elements(draw: st.DrawFn) -> str:
    """The ``<limits/>`` of a server, with any numbers in any order, or none."""
    prefix = draw(st.sampled_from(["", "l:"]))
    parts = [
        f"<{prefix}{name}>{number}</{prefix}{name}>"
        for name in draw(st.permutations(["max-bytes", "idle-seconds"]))
        if (number := draw(st.none() | st.integers(0, 10**25))) is not None
    ]
    start = f"<{prefix}limits xmlns{':l' * bool(prefix)}='{NAMESPACE}'"
    if not parts and draw(st.booleans()):
        return start + "/>"
    return f"{start}>{draw(st.sampled_from(['', ' ', chr(10)])).join(parts)}</{prefix}limits>"


@pytest.mark.rule("xep-0478-bytes", "xep-0478-idle", "xep-0440")
@given(
    name=st.sampled_from(["stream:features", "s:features"]),
    before=OTHERS,
    after=OTHERS,
    theirs=st.none() | limits_elements(),
    ours=st.builds(StreamLimits, st.integers(1, 10**9), st.just(math.inf) | st.integers(1, 86_400)),
)
def test_only_limits_change(
    name: str, before: list[str], after: list[str], theirs: str | None, ours: StreamLimits
) -> None:
    """As another parser reads the features: the lower of both numbers, and all other nodes as they were."""
    inside = "".join([*before, theirs or "", *after])
    features = (f"<{name}>{inside}</{name}>" if inside else f"<{name}/>").encode()
    edited, requires_starttls = for_client(ROOT, features, ours)
    assert not requires_starttls
    sent, got = read(features), read(edited)
    ((max_bytes, idle_seconds),) = numbers(got)
    ((their_bytes, their_idle),) = numbers(sent) or [(None, None)]
    assert max_bytes == lower(their_bytes, ours.max_bytes)
    assert idle_seconds == lower(their_idle, ours.idle_seconds)
    assert others(got) == others(sent)
    assert for_client(ROOT, edited, ours) == (edited, False), "a second gateway changes nothing"


def lower(theirs: str | None, ours: float) -> str | None:
    lowest = ours if theirs is None else min(int(theirs), ours)
    return None if lowest == math.inf else str(lowest)


def others(features: ElementTree.Element) -> str:
    """The canonical form of all nodes that are not limits of the stream."""
    parts = [features.text or ""]
    for child in features:
        following, child.tail = child.tail or "", None
        if child.tag != f"{{{NAMESPACE}}}limits":
            parts.append(ElementTree.canonicalize(ElementTree.tostring(child)))
        parts.append(following)
    return "".join(parts)
