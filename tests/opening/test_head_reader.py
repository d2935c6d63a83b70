"""The lines of a request head: any bytes, in any pieces, give a well-formed head or a refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.errors import HandshakeRefused
from wsgw.opening.head_reader import StrictHeadReader

LIMIT = 200
HEAD = b"GET /ws-xmpp?x HTTP/1.1\r\nHost: a\r\nX:\t b c \r\nx:\r\n\r\n"


class Pieces:
    """A source that returns its pieces one by one."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = [piece for piece in pieces if piece]

    def recv(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def unread(self, data: bytes) -> None:
        self.pieces.insert(0, data)


def read(*pieces: bytes, limit: int = LIMIT) -> tuple[object, ...]:
    """The head and the bytes after it, or the refusal and the lines known until then."""
    source = Pieces(*pieces)
    reader = StrictHeadReader(source, limit)
    try:
        while not reader.ended:
            if not reader.readline():
                return ("nothing",)
    except HandshakeRefused as refusal:
        return refusal.status, refusal.phrase, reader.method, reader.target, reader.fields
    except ConnectionResetError:
        return ("broken off",)
    rest = b"".join(source.pieces)
    return reader.method, reader.target, reader.version, reader.fields, rest


def test_a_head_ends_at_its_empty_line() -> None:
    fields = [("Host", "a"), ("X", "b c"), ("x", "")]
    assert read(HEAD + b"rest") == ("GET", "/ws-xmpp?x", "HTTP/1.1", fields, b"rest")


@pytest.mark.parametrize("before", [b"", b"\r\n"])
def test_a_head_is_read_at_every_split_point(before: bytes) -> None:
    data = before + HEAD + b"rest"
    whole = read(data)
    assert whole[0] == "GET"
    for cut in range(len(data)):
        assert read(data[:cut], data[cut:]) == whole
    assert read(*(bytes((byte,)) for byte in data)) == whole
    for cut in range(1, len(before + HEAD)):
        assert read(data[:cut]) == ("broken off",)


PARTS = st.sampled_from(
    [
        *(b"GET ", b"/ws", b" HTTP/1.1", b"Host: a", b"X:", b"From a", b"GET / HTTP/1.1\r\n", b"x" * 90),
        *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b"\x0b", b"\xa0", b"\x85", b"\x16\x03", b"<"),
        *(b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n"),
    ]
)


@pytest.mark.rule("9112-2.2")
@given(st.lists(PARTS | st.binary(max_size=3), max_size=20).map(b"".join), st.integers(0, 60))
def test_a_head_that_passes_has_one_reading(data: bytes, cut: int) -> None:
    """A parser that ends lines at CRLF, LF or CR finds the same lines."""
    found = read(data)
    assert read(data[:cut], data[cut:]) == found
    if len(found) == 5 and isinstance(found[0], str):
        rest = found[4]
        assert isinstance(rest, bytes)
        head = data[: len(data) - len(rest)].removeprefix(b"\r\n")
        lines = head.split(b"\r\n")
        assert lines == head.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        assert lines[-2:] == [b"", b""]
        assert b"" not in lines[:-2]
        assert isinstance(found[3], list)
        assert len(found[3]) == len(lines) - 3
        assert b"\0" not in head


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"x" * (LIMIT + 1), 414),
        (b"GET /" + b"x" * LIMIT + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"x" * LIMIT, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * LIMIT, 431),
    ],
)
def test_a_head_that_is_too_large_is_refused(data: bytes, status: int) -> None:
    assert read(data)[0] == status
    assert read(*(bytes((byte,)) for byte in data))[0] == status


def test_the_rest_of_a_refused_head_names_its_client() -> None:
    """Also after a line that is too long, whose rest is not taken for a line."""
    tail = b"X-Forwarded-For: forged\r\nbad\r\nX-Forwarded-For: true\r\n\r\n"
    for head in (b"GET / HTTP/1.1\r\nX: ", b"GET /"):
        reader = StrictHeadReader(Pieces(head + b"x" * LIMIT, tail), LIMIT)
        with pytest.raises(HandshakeRefused, match=r"4[13][14] "):
            while True:
                reader.readline()
        reader.read_on()
        assert reader.ended
        assert [value for name, value in reader.fields if name != "X"] == ["true"]


@pytest.mark.parametrize(
    "begins",
    [b"\r\n\r\nGET / HTTP/1.1\r\n", b"GET / HTTP/2.0\r\n", b"GET  / HTTP/1.1\r\n", b"GET / HTTP/1.1\n"],
)
def test_the_rest_after_a_refused_request_line_names_its_client(begins: bytes) -> None:
    reader = StrictHeadReader(Pieces(begins, b"X-Forwarded-For: true\r\n\r\n"), LIMIT)
    with pytest.raises(HandshakeRefused, match="400 "):
        reader.readline()
    reader.read_on()
    assert reader.ended
    assert reader.fields == [("X-Forwarded-For", "true")]


@pytest.mark.parametrize("begins", [b"\x16\x03\x01\r\n", b"<stream:stream>\r\n", b"PRI * HTTP/2.0\r\n"])
def test_after_bytes_of_another_protocol_no_more_is_read(begins: bytes) -> None:
    reader = StrictHeadReader(Pieces(begins, b"X-Forwarded-For: true\r\n\r\n"), LIMIT)
    with pytest.raises(HandshakeRefused, match="400 "):
        reader.readline()
    reader.read_on()
    assert not reader.fields


def test_the_rest_of_a_refused_head_has_a_bound() -> None:
    source = Pieces(b"GET / HTTP/1.1\r\nbad\r\n", *[b"X: " + b"x" * 20] * LIMIT)
    reader = StrictHeadReader(source, LIMIT)
    with pytest.raises(HandshakeRefused, match="malformed header"):
        while True:
            reader.readline()
    with pytest.raises(HandshakeRefused, match="431 "):
        reader.read_on()
    assert not reader.ended
