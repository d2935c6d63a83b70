"""The outcome of XML in either direction, for comparisons between two ways of reading it."""

from __future__ import annotations

from wsgw.errors import SessionError
from wsgw.stanzas.client import ClientStanzas
from wsgw.stanzas.server import ServerStream


def of_message(root: bytes, text: bytes) -> tuple[str, bytes] | None:
    """The outcome of a client's message inside ``root``; None if it is refused."""
    try:
        return ClientStanzas(root, 100, 100).check(text)
    except SessionError:
        return None


def of_stream(data: bytes, places: list[int]) -> tuple[list[tuple[str, bytes]], bool]:
    """The outcome of a server's stream that is cut at ``places``, and whether it failed."""
    stream = ServerStream()
    events = []
    for start, end in zip([0, *sorted(places)], [*sorted(places), len(data)], strict=True):
        events += stream.feed(data[start:end])
    failed = stream.failure is not None
    stream.drop_parser()
    return events, failed


def tokens_with(header: bytes) -> list[bytes]:
    """Pieces of XML, to be joined in any order, with the header of a stream among them."""
    return [
        b"<a>", b"</a>", b"<a/>", b"<b xmlns='x'>", b"</b>", b"text", b" ", b"<![CDATA[", b"]]>", b"<!--",
        b"-->", b"'>",
        b"<?xml version='1.0'?>", b"<?pi?>", b"&amp;", b"&x;", b"<!DOCTYPE a>", b"'", b'"', b">", b"<", b"/",
        b"\xc3", b"<a b='", b"'/>", header, b"</stream:stream>", b"\xa4", b"<stream:x/>", b"<p:a/>",
        b"?>",
    ]  # fmt: skip
