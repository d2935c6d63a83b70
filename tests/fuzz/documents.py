"""Targets for documents: both directions of XML, and the two formats of configuration."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable
from pathlib import Path
from xml.parsers import expat

from tests.fuzz.oracles import chunkings, content, is_one_element, records, stanzas_of, tree
from wsgw.config import describe, load
from wsgw.errors import ConfigError, SessionError, StreamError
from wsgw.stanzas.client import ClientStanzas
from wsgw.stanzas.cutter import STREAM_END
from wsgw.stanzas.fast_path import SHALLOW_SIZE
from wsgw.stanzas.parser import STREAM
from wsgw.stanzas.server import ServerStream
from wsgw.stanzas.start_tag import parse_opening, without_declaration
from wsgw.xmpp import features
from wsgw.xmpp.choice import choose_framing
from wsgw.xmpp.features import FEATURES
from wsgw.xmpp.framing import Framing, LegacyFraming, Rfc7395Framing
from wsgw.xmpp.header import ERROR, condition_of
from wsgw.xmpp.stream_limits import StreamLimits

#: The smallest limit at which a server's stanzas are recognised without a parser.
LIMIT = SHALLOW_SIZE
MAX_DEPTH, MAX_ATTRIBUTES = 10, 10
_STREAM_TAG = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"


def _server_events(pieces: Iterable[bytes]) -> tuple[list[tuple[str, bytes]], bool]:
    """The stanzas, and whether the server was given up; of several errors any may be found first."""
    stream = ServerStream(LIMIT)
    events: list[tuple[str, bytes]] = []
    for piece in pieces:
        events += stream.feed(piece)
        while stream.busy:
            events += stream.feed(b"")
    return events, stream.failure is not None


def server(data: bytes) -> None:
    """Bytes of an XMPP server: in any chunks the same stanzas, with the same meaning in both framings."""
    events, failure = _server_events([data])
    for pieces in chunkings(data):
        cut, failed = _server_events(pieces)
        assert cut == events
        # Bytes after the end are not read; expat waits for the end of a quoted text there.
        assert failed == failure or events[-1:] == [(STREAM_END, b"")]
    opening = parse_opening(_STREAM_TAG)
    for framing in (Rfc7395Framing(opening), LegacyFraming(opening)):
        with contextlib.suppress(StreamError):
            _frame_all(framing, events)


def stanzas(data: bytes) -> None:
    """Stanzas of other users inside a server's stream: an independent parser determines the result."""
    if b"<?xml" in data or b"etherx" in data or b"stream:stream" in data:
        return  # a restart and an end are for ``server``
    expected, goes_on = stanzas_of(_STREAM_TAG, data)
    for pieces in ([data], *chunkings(data)):
        stream = ServerStream()
        stream.feed(_STREAM_TAG)
        got: list[bytes] = []
        for piece in pieces:
            got += [element for name, element in stream.feed(piece) if name != STREAM_END]
            while stream.busy:
                got += [element for _, element in stream.feed(b"")]
        assert len(got) == len(expected), (got, expected)
        assert stream.failure is None or not goes_on, stream.failure
        for element, meant in zip(got, expected, strict=True):
            assert is_one_element(tree(element, _STREAM_TAG)), element
            assert meant is None or content(element) == content(meant), (element, meant)


def _frame_all(framing: Framing, events: list[tuple[str, bytes]]) -> None:
    root = b""
    for name, element in events:
        if name == STREAM:
            root = element
            message = framing.server_header(element)
            if isinstance(framing, Rfc7395Framing):
                assert is_one_element(tree(message))
        elif name == ERROR:
            condition_of(framing.server_root, element)
            _same(framing, root, element)
        elif name == FEATURES:
            element, _ = features.for_client(framing.server_root, element, StreamLimits(LIMIT, 300))
            _same(framing, root, element)
        elif name != STREAM_END:
            _same(framing, root, element)


def _same(framing: Framing, root: bytes, element: bytes) -> None:
    """Assert that the browser reads the server's stanza."""
    meant = tree(element, root)
    assert is_one_element(meant), element
    message = framing.stanza(element)
    context = b"" if isinstance(framing, Rfc7395Framing) else root
    assert tree(message, context) == meant, (element, message)


def client(data: bytes) -> None:
    """Messages of a browser, the first one opening a stream."""
    first, *messages = records(data)
    try:
        framing = choose_framing(parse_opening(without_declaration(first)))
    except SessionError:
        framing = choose_framing(parse_opening(_STREAM_TAG))
    tree(framing.upstream_header + framing.upstream_end)
    stanzas = _checker(framing)
    for message in messages:
        try:
            name, element = stanzas.check(message)
        except SessionError as error:
            _assert_refused_rightly(message, framing.client_root)
            _same_verdict(framing, message, error.condition)
            stanzas = _checker(framing)
            continue
        _same_verdict(framing, message, name)
        if name == STREAM:
            with contextlib.suppress(SessionError):
                framing.restart(parse_opening(element))
                tree(framing.upstream_header + framing.upstream_end)
            stanzas = _checker(framing)
            continue
        assert is_one_element(tree(element, framing.client_root)), element
        assert element in message


def _checker(framing: Framing) -> ClientStanzas:
    return ClientStanzas(framing.client_root, MAX_DEPTH, MAX_ATTRIBUTES)


def _same_verdict(framing: Framing, message: bytes, verdict: str) -> None:
    """Assert that the messages before in the same stream change nothing."""
    try:
        fresh = _checker(framing).check(message)[0]
    except SessionError as error:
        fresh = error.condition
    assert fresh == verdict


def _assert_refused_rightly(message: bytes, root: bytes) -> None:
    """Assert that a message of one harmless element is not refused."""
    text = message.strip(b" \t\r\n")
    if b"<?" in text or b"<!" in text:
        return
    try:
        seen = tree(text, root)
    except expat.ExpatError:
        return
    if not is_one_element(seen):
        return
    depth = deepest = 0
    for event in seen:
        depth += (event[0] == "start") - (event[0] == "end")
        deepest = max(deepest, depth)
    crowded = text.count(b"=") > MAX_ATTRIBUTES
    assert deepest > MAX_DEPTH or crowded or seen[0][1] == STREAM, f"refused: {message!r}"


def erlang(data: bytes) -> None:
    """A configuration of Erlang terms."""
    _configuration(data, "ejabberd.cfg")
    _configuration(data, "wsgw.cfg")


def yaml(data: bytes) -> None:
    """A configuration in YAML."""
    _configuration(data, "ejabberd.yml")
    _configuration(data, "wsgw.yml")


def _configuration(data: bytes, name: str) -> None:
    try:
        with tempfile.NamedTemporaryFile(suffix=name) as file:
            file.write(data)
            file.flush()
            config = load(Path(file.name))
    except ConfigError as error:
        problems = error.problems
    else:
        describe(config)
        return
    assert problems
    for problem in problems:
        assert problem.reason
        assert 0 <= problem.line <= data.count(b"\n") + data.count(b"\r") + 2
