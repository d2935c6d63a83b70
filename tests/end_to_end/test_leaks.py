"""A session with any end leaves no object, greenlet, watcher, timer or descriptor."""

from __future__ import annotations

import gc
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import gevent
import greenlet
import pytest
from gevent.threadpool import _WorkerGreenlet  # type: ignore[attr-defined]

from tests.support.here import config_for, in_thread, port_of, running
from tests.support.wire import CLOSE_7395, END, OPENINGS, Browser, Connection, XmppServer, frame
from wsgw.gateway import Gateway
from wsgw.listener.upgrade import UpgradeHandler
from wsgw.relay.life import Relay
from wsgw.socket_async import SocketAsync
from wsgw.stanzas.server import ServerStream
from wsgw.websocket_session import WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp

pytestmark = pytest.mark.slow

ROUNDS = 20
PARTS = (Relay, SocketAsync, WebSocketSession, WebSocketXmpp, UpgradeHandler, ServerStream)
OURS = (Relay, SocketAsync, WebSocketSession, WebSocketXmpp)


@pytest.fixture
def gateway(fresh_server: XmppServer) -> Iterator[Gateway]:
    with running(config_for(fresh_server.port)) as gateway:
        yield gateway


def opened(port: int, server: XmppServer) -> tuple[Browser, Connection]:
    browser = Browser(port)
    browser.text(OPENINGS["rfc7395"])
    connection = server.accept_stream()
    browser.message()
    browser.message()
    return browser, connection


def client_closes(browser: Browser, connection: Connection) -> None:
    browser.text(CLOSE_7395)
    connection.read_until(END)
    connection.send(END)
    browser.until_close()


def server_closes(browser: Browser, connection: Connection) -> None:
    connection.send(END)
    browser.until_close()


def bad_stanza(browser: Browser, connection: Connection) -> None:
    browser.text(b"<a>&b;</a>")
    browser.until_close()


def reset_both(browser: Browser, connection: Connection) -> None:
    browser.reset()
    connection.reset()


ENDS: dict[str, Callable[[Browser, Connection], None]] = {
    "client closes": client_closes,
    "server closes": server_closes,
    "RST of the browser": lambda browser, connection: browser.reset(),
    "FIN of the browser": lambda browser, connection: browser.close(),
    "Close without close": lambda browser, connection: browser.close_frame(),
    "RST of the server": lambda browser, connection: connection.reset(),
    "RST of both": reset_both,
    "bad stanza": bad_stanza,
    "bad frame": lambda browser, connection: (browser.send(b"\xff" * 8), browser.until_close())[0],
    "bad UTF-8": lambda browser, connection: (browser.send(frame(b"\xff")), browser.until_close())[0],
    "bad XML of the server": lambda browser, connection: (
        connection.send(b"<message></iq>"),
        browser.until_close(),
    )[0],
    "too large a message": lambda browser, connection: (
        browser.send(frame(b"<a>%s</a>" % (b"x" * 300_000))),
        browser.until_close(),
    )[0],
    "half a frame and gone": lambda browser, connection: (
        browser.send(frame(b"<a/>")[:5]),
        browser.reset(),
    )[0],
}


def live_and_die(port: int, server: XmppServer, end: Callable[[Browser, Connection], None]) -> None:
    for _ in range(ROUNDS):
        browser, connection = opened(port, server)
        end(browser, connection)
        browser.close()
        connection.close()


def half_open_and_refused(port: int, server: XmppServer, _end: object) -> None:
    for path in ("/ws-xmpp", "/wrong") * (ROUNDS // 2):
        Browser(port, path=path).reset()


def left() -> tuple[int, dict[str, int], int]:
    """(descriptors, objects and greenlets of wsgw by kind, active watchers) of this process."""
    gc.collect()
    counts = {kind.__name__: 0 for kind in OURS} | {"greenlet": 0}
    for thing in gc.get_objects():
        if type(thing) in OURS:
            counts[type(thing).__name__] += 1
        elif isinstance(thing, greenlet.greenlet) and not thing.dead:
            counts["greenlet"] += not isinstance(thing, _WorkerGreenlet)  # the threads of this test
    return len(os.listdir("/proc/self/fd")), counts, gevent.get_hub().loop.activecnt


def nothing_more_than(before: tuple[int, dict[str, int], int]) -> bool:
    """Whether no more is left than ``before``, after some time to end."""
    deadline = time.monotonic() + 10
    while not no_more(left(), before):
        if time.monotonic() > deadline:
            return False
        gevent.sleep(0.05)
    return True


def no_more(after: tuple[int, dict[str, int], int], before: tuple[int, dict[str, int], int]) -> bool:
    return (
        after[0] <= before[0]
        and all(count <= before[1][kind] for kind, count in after[1].items())
        and after[2] <= before[2]
    )


def until_idle(gateway: Gateway) -> None:
    with gevent.Timeout(10):
        while gateway.supervisor.admission.connections:
            gevent.sleep(0.05)
    gevent.sleep(0.05)


def parts_left() -> list[str]:
    """The objects left of sessions after some time to end, by kind."""
    deadline = time.monotonic() + 10
    while parts := [type(thing).__name__ for thing in gc.get_objects() if type(thing) in PARTS]:
        if time.monotonic() > deadline:
            break
        gevent.sleep(0.05)
    return parts


@pytest.mark.rule("fault-08")
@pytest.mark.parametrize("end", ENDS)
def test_an_ended_session_leaves_nothing(gateway: Gateway, fresh_server: XmppServer, end: str) -> None:
    port = port_of(gateway)
    # The first session makes the objects that are made once.
    in_thread(live_and_die, port, fresh_server, ENDS[end])
    until_idle(gateway)
    before = left()
    in_thread(live_and_die, port, fresh_server, ENDS[end])
    assert nothing_more_than(before), (before, left())
    assert not gateway.supervisor.sessions
    assert gateway.supervisor.admission.connections == 0


@pytest.mark.parametrize("end", ENDS)
def test_an_ended_session_does_not_wait_for_the_garbage_collector(
    gateway: Gateway, fresh_server: XmppServer, end: str
) -> None:
    """The objects of a session form no cycle, which would live until the oldest generation is collected."""
    port = port_of(gateway)
    gc.collect()
    gc.disable()
    try:
        in_thread(live_and_die, port, fresh_server, ENDS[end])
        until_idle(gateway)
        assert parts_left() == []
    finally:
        gc.enable()


def refused(port: int) -> None:
    """The XMPP server is down."""
    for _ in range(ROUNDS):
        browser = Browser(port)
        browser.text(OPENINGS["rfc7395"])
        browser.until_close()
        browser.close()


def too_slow(port: int) -> None:
    """No request comes within the deadline."""
    slow = [Connection(socket.create_connection(("127.0.0.1", port))) for _ in range(ROUNDS)]
    for connection in slow:
        connection.send(b"GET / HTTP/1.1\r\n")
    for connection in slow:
        connection.read_to_end()
        connection.close()


@pytest.mark.parametrize("play", [refused, too_slow])
def test_no_failure_keeps_its_session(play: Callable[[int], None]) -> None:
    """An exception held by a frame of its traceback keeps a session until a full garbage collection."""
    config = config_for(1)
    (listener,) = config.listeners
    with running(replace(config, listeners=(replace(listener, handshake_timeout=0.5),))) as gateway:
        gc.collect()
        gc.disable()
        try:
            in_thread(play, port_of(gateway))
            until_idle(gateway)
            assert parts_left() == []
        finally:
            gc.enable()


def test_a_handshake_leaves_nothing(gateway: Gateway, fresh_server: XmppServer) -> None:
    port = port_of(gateway)
    in_thread(half_open_and_refused, port, fresh_server, None)
    until_idle(gateway)
    before = left()
    in_thread(half_open_and_refused, port, fresh_server, None)
    assert nothing_more_than(before), (before, left())
    assert gateway.supervisor.admission.connections == 0
