"""The watchers against a greenlet that calls ``recv``: both give the same bytes."""

from __future__ import annotations

from contextlib import closing

import gevent
import pytest

import wsgw.listener.connection
import wsgw.upstream.connect
from tests.support.here import config_for, in_thread, port_of, running
from tests.support.wire import OPENINGS, SERVER_HEADER, SUCCESS, Browser, Connection, XmppServer, frame
from wsgw.socket_async import SocketAsync


class LiteralSocketAsync(SocketAsync):
    """``active_once`` taken literally: a greenlet calls ``recv`` and delivers its result."""

    __slots__ = ("__dict__",)

    def active_once(self) -> None:
        self._armed = True
        gevent.spawn_raw(self._receive_and_deliver)

    def _receive_and_deliver(self) -> None:
        try:
            data = self.recv()
        except OSError:
            self.reset = True
            data = b""
        if self._armed:
            self._armed = False
            self._deliver(data)


def dialogue(port: int, server: XmppServer, framing: str, cut: int) -> tuple[bytes, bytes]:
    """One session in chunks of ``cut`` bytes; all bytes that (browser, server) got."""
    browser = Browser(port)
    opening = frame(OPENINGS[framing])
    send_in_pieces(browser, opening, cut)
    connection = server.accept()
    heard = connection.read_until(b"version='1.0'>")
    send_in_pieces(connection, SERVER_HEADER + b"<stream:features/>" + SUCCESS + SERVER_HEADER, cut)
    stanzas = [b"<message xmlns='jabber:client' id='%d'/>" % number for number in range(30)]
    send_in_pieces(browser, b"".join(map(frame, stanzas)), cut)
    heard += connection.read_until(b"id='29'/>")
    send_in_pieces(connection, b"<message><body>%s</body></message>" % (b"y" * 3000) * 3, cut)
    send_in_pieces(connection, b"</stream:stream>", cut)
    seen = b""
    while not seen.endswith(b"\x88\x02\x03\xe8"):
        seen += browser.read(1)
    browser.send(frame(b"\x03\xe8", 8))
    seen += browser.read_to_end()
    heard += connection.read_to_end()
    browser.close()
    connection.close()
    return seen, heard


def send_in_pieces(connection: Connection, data: bytes, size: int) -> None:
    for start in range(0, len(data), size):
        connection.send(data[start : start + size])


@pytest.mark.parametrize("framing", ["rfc7395", "legacy"])
@pytest.mark.parametrize("cut", [7, 1000, 1 << 20])
def test_watchers_and_the_literal_emulation_give_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, framing: str, cut: int
) -> None:
    results = []
    for wrapper in (SocketAsync, LiteralSocketAsync):
        monkeypatch.setattr(wsgw.listener.connection, "SocketAsync", wrapper)
        monkeypatch.setattr(wsgw.upstream.connect, "SocketAsync", wrapper)
        with closing(XmppServer()) as server, running(config_for(server.port)) as gateway:
            results.append(in_thread(dialogue, port_of(gateway), server, framing, cut))
    assert results[0] == results[1]
