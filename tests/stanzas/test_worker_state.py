"""The state that a worker's sessions share: cutters, checkers, and the domains already logged."""

from __future__ import annotations

import pytest

from tests.stanzas.server.dialogues import EJABBERD_HEADER, KIB, MESSAGE
from wsgw.stanzas.cutter import MAX_NAMES, MAX_PARSED, STREAM_END, StanzaCutter
from wsgw.stanzas.parser import STREAMS, expanded_name
from wsgw.stanzas.server import ServerStream
from wsgw.stanzas.worker_state import Warned, checkers, cutters


def after_header() -> StanzaCutter:
    cutter = StanzaCutter()
    cutter.cut(EJABBERD_HEADER, [])
    return cutter


def idle_cutters() -> list[StanzaCutter]:
    return [cutter for idle in cutters.idle.values() for cutter in idle]


@pytest.fixture(autouse=True)
def _no_idle_cutters() -> None:
    cutters.idle.clear()


def test_streams_between_stanzas_share_a_parser_and_those_inside_one_do_not() -> None:
    streams = [ServerStream() for _ in range(3)]
    for number, stream in enumerate(streams):
        stream.feed(EJABBERD_HEADER.replace(b" id='", b" id='%d" % number))
    assert len(idle_cutters()) == 3, "each header has its own parser"
    for stream in streams * 2:
        assert stream.feed(b"<presence/>") == [(expanded_name("jabber:client", "presence"), b"<presence/>")]
    assert len(idle_cutters()) == 3
    for stream in streams:
        assert stream.feed(b"<message><body>") == []
    assert idle_cutters() == []
    for stream in streams:
        assert stream.feed(b"</body></message>") == [(MESSAGE, b"<message><body></body></message>")]
    assert len(idle_cutters()) == 3


def test_streams_whose_headers_bind_differently_share_nothing() -> None:
    one, other = ServerStream(), ServerStream()
    one.feed(b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' xmlns:x='a'>")
    other.feed(b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' xmlns:x='b'>")
    assert len(idle_cutters()) == 2
    assert one.feed(b"<x:y/>") == [(expanded_name("a", "y"), b"<x:y/>")]
    assert other.feed(b"<x:y/>") == [(expanded_name("b", "y"), b"<x:y/>")]


def test_a_failed_cutter_is_not_used_again() -> None:
    broken, sound = ServerStream(), ServerStream()
    broken.feed(EJABBERD_HEADER)
    sound.feed(EJABBERD_HEADER)
    assert broken.feed(b"<message></presence>") == []
    assert broken.failure is not None
    assert len(idle_cutters()) == 1, "the cutter of the other stream's header"
    assert sound.feed(b"<message/>") == [(MESSAGE, b"<message/>")]


def test_the_idle_cutters_are_bounded() -> None:
    for number in range(200):
        ServerStream().feed(
            b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' xmlns:x='%d'>"
            % number
        )
    assert len(idle_cutters()) == 64
    streams = [ServerStream() for _ in range(20)]
    for stream in streams:
        stream.feed(EJABBERD_HEADER + b"<message>")
    for stream in streams:
        stream.feed(b"</message>")
    assert len(idle_cutters()) == 63 + 8


def test_interned_names_are_bounded_and_the_output_stays_right() -> None:
    stream = ServerStream()
    stream.feed(EJABBERD_HEADER)
    known = []
    for number in range(3000):
        stanza = b"<message><n%d a%d='' xmlns='u%d'/><![CDATA[]]></message>" % (number, number, number)
        assert stream.feed(stanza) == [(MESSAGE, stanza)]
        known.append(max((len(cutter._parser.intern) for cutter in idle_cutters()), default=0))
    assert max(known) < 600
    assert 0 in known, "it was replaced"


def test_a_parser_is_replaced_after_a_while_because_expat_keeps_names() -> None:
    """Two hundred prefixes and two hundred names make forty thousand names in expat, four hundred here."""
    stream = ServerStream()
    stream.feed(EJABBERD_HEADER)
    most = parsed = 0
    for prefix in range(200):
        inside = b"".join(b"<p%d:n%d/>" % (prefix, name) for name in range(200))
        stanza = b"<message xmlns:p%d='u'>%s</message>" % (prefix, inside)
        assert stream.feed(stanza) == [(MESSAGE, stanza)]
        parsed += len(stanza)
        most = max(most, max((cutter._parsed for cutter in idle_cutters()), default=0))
    assert parsed > MAX_PARSED
    assert 0 < most <= MAX_PARSED + len(EJABBERD_HEADER)


def test_a_parser_is_not_replaced_inside_a_stanza() -> None:
    stream = ServerStream()
    stream.feed(EJABBERD_HEADER)
    pieces = [
        b"<message>",
        *(b"<n%d/>" % number for number in range(2000)),
        b"<t>" + b"x" * 300 * KIB,
        b"</t>",
    ]
    for piece in pieces:
        assert stream.feed(piece) == []
    assert stream.feed(b"</message>") == [(MESSAGE, b"".join(pieces) + b"</message>")]
    assert idle_cutters() == []
    assert stream.feed(b"<stream:a/>") == [(expanded_name(STREAMS, "a"), b"<stream:a/>")], (
        "the header's bindings hold"
    )
    assert stream.feed(b"</stream:stream>") == [(STREAM_END, b"")]


def test_a_cutter_is_chosen_by_the_bindings_of_its_header() -> None:
    one = after_header()
    cutters.give_back(one)
    assert cutters.take(one.bindings) is one
    assert cutters.take(one.bindings) is not one, "it is in use"


def test_an_exhausted_cutter_is_not_given_back() -> None:
    worn = after_header()
    for number in range(MAX_NAMES + 1):
        worn.cut(b"<n%d/>" % number, [])
    assert worn.exhausted
    cutters.give_back(worn)
    assert idle_cutters() == []


def test_checkers_are_shared_until_there_are_too_many() -> None:
    def root(number: int) -> bytes:
        return b"<r xmlns='u%d'>" % number

    first = checkers.get(root(0), 4, 5)
    assert first is checkers.get(root(0), 4, 5)
    first.check(b"<a/>")
    first.release()
    assert first._parser is not None, "other sessions may use it"
    for number in range(1, 65):
        checkers.get(root(number), 4, 5)
    assert first is not checkers.get(root(0), 4, 5)
    assert first.check(b"<a/>") == (expanded_name("u0", "a"), b"<a/>"), "its session keeps it, alone"
    first.release()
    assert first._parser is None


def test_each_domain_is_logged_once() -> None:
    warned = Warned()
    asked = [("channel binding", domain) for domain in ("a.example", "b.example", "a.example")]
    assert [warned.first_time(*each) for each in asked] == [True, True, False]
