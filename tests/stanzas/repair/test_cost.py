"""The memory and time of a repair, and how it leaves turns of the loop to other sessions."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.stanzas.repair.feeding import HEADER, KIB, NEXT, Fed, fed, message
from wsgw.stanzas.cutter import LARGE, SMALL_SIZE
from wsgw.stanzas.markup import CompleteMarkup
from wsgw.stanzas.server import ServerStream

_COSTLY = {
    "depth": "b'<a>' * (size // 7) + b'</a>' * (size // 7)",
    "depth with a fault": "b'<a>' * (size // 7) + b'<p:x/>' + b'</a>' * (size // 7)",
    "names": "b''.join(b'<n%x/>' % n for n in range(size // 9))",
    "names of a long namespace": "b'<x xmlns=\"%s\">' % (b'u' * 250)"
    " + b''.join(b'<n%x/>' % n for n in range(size // 9)) + b'</x>'",
    "faulty names": "b''.join(b'<p:%x/>' % n for n in range(0xa00000, 0xa00000 + size // 11))",
    "attributes": "b'<x ' + b' '.join(b'a%x=\"\"' % n for n in range(size // 9)) + b'/>' ",
    "prefixes": "b''.join(b'<p%x:a xmlns:p%x=\"u%x\"/>' % (n, n, n) for n in range(size // 32))",
    "a long namespace": "b'<x xmlns=\"%s\">' % (b'u' * (size // 2)) + b'<a/>' * (size // 8) + b'</x>'",
    "attributes in a long namespace": "b'<x xmlns:p=\"%s\" %s/>' % (b'u' * (size // 8),"
    " b' '.join(b'p:a%x=\"\"' % n for n in range(size // 32)))",
    "CDATA sections that are too deep": "b'<a>' * 4100 + b'<![CDATA[]]>' * (size // 15) + b'</a>' * 4100",
    "long namespaces, attributes twice": "b'<x xmlns:p=\"%s\" xmlns:q=\"%s\">' % (2 * (b'u' * (size // 4),))"
    " + b'<a p:b=\"\" q:b=\"\"/>' * (size // 36) + b'</x>'",
}
_PROGRAM = """
import resource, sys, time
sys.path[:0] = {path!r}
from tests.stanzas.repair.feeding import fed, message

def cost(size):
    data = message({content})
    began = time.process_time()
    stream = fed(data)
    seconds = time.process_time() - began
    assert stream.failure is None and len(stream.elements) == 2
    return len(data), seconds

cost({size} // 99)
_, shorter = cost({size} // 4)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
length, seconds = cost({size})
memory = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(memory / length, seconds / shorter)
"""


@pytest.mark.rule("xml-cost")
@pytest.mark.perf
@pytest.mark.parametrize("kind", _COSTLY)
def test_memory_and_time_are_bounded_by_the_size(kind: str) -> None:
    """At most fifty times the stanza's size, and linear in the size, for any content."""
    program = _PROGRAM.format(path=sys.path, size=SMALL_SIZE - 2000, content=_COSTLY[kind])
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    memory, time_of_four_times_the_size = map(float, output.split())
    assert memory < 50
    assert time_of_four_times_the_size < 10


@pytest.mark.perf
def test_a_long_repair_leaves_time_for_others() -> None:
    """Each turn repairs a part; the bytes after the stanza are read when the repair is done."""
    stream = Fed()
    stream.feed(HEADER)
    stanza = message(b"<a/>" * 100_000 + b"<p:a/>")
    turns = [stream.feed(stanza + NEXT)]
    assert stream.unusual
    assert stream.busy
    while stream.busy:
        began = time.process_time()
        turns.append(stream.feed(b""))
        assert time.process_time() - began < 1
    assert len(turns) > 10
    assert [element for turn in turns for _, element in turn] == [message(b"<a/>" * 100_000), NEXT]


def turns_of(stream: ServerStream, data: bytes) -> list[list[bytes]]:
    """The result of ``data``, which arrives in one piece, turn by turn."""
    turns = [[element for _, element in stream.feed(data)]]
    while stream.busy:
        turns.append([element for _, element in stream.feed(b"")])
    return turns


@pytest.mark.rule("xml-cost")
@pytest.mark.parametrize(
    "stanza",
    [
        b"<message><p:a/></message>",
        b"<message p:a=''/>",
        b"<message><p:a/><b><![CDATA[]]></b></message>",
        b"<iq/><message><a xmlns='%s'/></message>" % (b"u" * 1100),
    ],
)
def test_many_faulty_stanzas_in_one_chunk_leave_time(stanza: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes after a faulty stanza are not searched again for each one, and other sessions get turns."""
    looked_at = 0
    feed = CompleteMarkup.feed

    def counted(markup: CompleteMarkup, data: bytes) -> bytes:
        nonlocal looked_at
        looked_at += len(data)
        return feed(markup, data)

    monkeypatch.setattr(CompleteMarkup, "feed", counted)
    data = stanza * (96 * KIB // len(stanza))
    stream = fed(b"")
    turns = turns_of(stream, data + NEXT)
    assert stream.failure is None
    assert turns[-1][-1] == NEXT
    assert sum(map(len, turns)) == len(data) // len(stanza) * (1 + stanza.count(b"<iq/>")) + 1
    assert max(map(len, turns)) <= 2 * 64
    assert looked_at < 20 * len(data)


@pytest.mark.rule("xml-cost")
@pytest.mark.slow
def test_narrower_bounds_leave_time_for_others() -> None:
    """When a stanza proves to be large, its first bytes are read again, also in parts."""
    much = b"<a/>" * (SMALL_SIZE // 4 - 10_000)
    deep = 5000
    stream = fed(b"")
    turns = turns_of(stream, b"<message><p:a/>" + much + b"<b>" + b"<a>" * deep)
    before = len(turns)
    turns += turns_of(stream, b"<a/>" * 10_000)
    assert len(turns) - before > 64
    turns += turns_of(stream, b"</a>" * deep + b"</b><c/></message>" + NEXT)
    kept = int(LARGE.depth) - 2
    stanza = b"<message>" + much + b"<b>" + b"<a>" * kept + b"</a>" * kept + b"</b><c/></message>"
    assert [element for turn in turns for element in turn] == [stanza, NEXT]
    assert [set(repair.reasons) for repair in stream.take_repairs()] == [{"namespace", "depth"}]


def test_bytes_that_arrive_while_a_stanza_is_read_again_wait() -> None:
    stream = fed(b"")
    elements = stream.feed(b"<message><p:a/></message>" * 2000)
    assert stream.busy
    elements += stream.feed(NEXT)
    while stream.busy:
        elements += stream.feed(b"")
    assert [element for _, element in elements] == [b"<message></message>"] * 2000 + [NEXT]
    assert stream.at_border


def test_an_ended_stream_takes_no_more_turns() -> None:
    stream = fed(b"")
    stream.feed(b"<message><p:a/></message>" * 2000)
    assert stream.unusual
    stream.drop_parser()
    stream.take_repairs()
    assert not stream.busy
    assert not stream.unusual
