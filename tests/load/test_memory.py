"""Memory under peers that do not read, dribble, or never finish their handshake: bounded by configuration.

``pytest -s`` prints the cost of each kind. The bounds hold for each peer, so that a fifth of the handshakes
and a short flood show them too; ``scripts/heavy.sh`` shows that ten thousand handshakes have room, and that a
long flood adds no memory.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from pathlib import Path

from tests.support.edges import StartEdge
from tests.support.forms import form
from tests.support.gateway import Gateway
from tests.support.processes import wait_until
from tests.support.wire import OPENINGS, PING, Browser, Connection, XmppServer, frame
from wsgw.relay.flow import BUDGET
from wsgw.socket_async import CHUNK

KIB = 1024
#: The cost of a session without its buffers: parsers, greenlet, watchers, objects of sockets.
SESSION = 40 * KIB
#: The default of ``send_buffer_high``, and one read with its result.
QUEUED, READ = 64 * KIB, 3 * CHUNK
#: ``max_stanza_size_preauth``'s default.
PREAUTH = 10_000
#: The answers to the pings of one turn, which exist twice while they are put into the queue.
PONGS = 2 * BUDGET * 127
BODY = b"<message xmlns='jabber:client'><body>%s</body></message>"
#: The half-open handshakes, the number of them that may be open, and for how many seconds.
HANDSHAKES, MOST_OPEN = form(small=(2_000, 1_800), full=(10_000, 9_000))
HANDSHAKE_TIMEOUT = form(small=8, full=30)
#: The length of a flood in seconds; after one, the buffers of gateway and kernel are nearly full.
FLOOD = form(small=3.0, full=10.0)


def rss(gateway: Gateway) -> int:
    pages = (Path(f"/proc/{pid}/statm").read_text("ascii").split()[1] for pid in gateway.workers)
    return sum(map(int, pages)) * 4096


def descriptors(gateway: Gateway) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in gateway.workers)


def settled_descriptors(gateway: Gateway) -> int:
    """The same, as soon as it does not change: when the port is open, workers are still starting."""
    before = -1
    while (now := descriptors(gateway)) != before:
        before = now
        time.sleep(1)
    return now


def sessions(gateway: Gateway, server: XmppServer, count: int) -> list[tuple[Browser, Connection]]:
    """Logged-in sessions; after the opening neither end reads."""
    pairs = []
    for _ in range(count):
        browser = Browser(gateway.ws_port, receive_buffer=4 * KIB)
        browser.text(OPENINGS["rfc7395"])
        connection = server.accept_stream()
        browser.message()
        browser.message()
        pairs.append((browser, connection))
    return pairs


def flood(senders: list[socket.socket], data: bytes) -> int:
    """Send ``data`` again and again on every socket, as much as is accepted; returns all bytes sent."""
    sent = 0
    rest = dict.fromkeys(senders, data)
    until = time.monotonic() + FLOOD
    for sender in senders:
        sender.setblocking(False)
    while (left := until - time.monotonic()) > 0:
        for sender in select.select([], senders, [], left)[1]:
            with contextlib.suppress(BlockingIOError):
                taken = sender.send(rest[sender])
                rest[sender] = rest[sender][taken:] or data
                sent += taken
    return sent


def report(kind: str, count: int, grown: int, bound: int) -> None:
    print(f"{kind}: {count} peers, {grown / KIB / KIB:.1f} MiB, {grown / count / KIB:.1f} KiB each")
    assert grown <= count * bound, f"{kind}: {grown} bytes for {count} peers, above {bound} each"


def test_browsers_that_never_read_have_bounded_memory(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    """Bound: the queue up to ``send_buffer_high``, and one read of the server with its frames."""
    gateway = start_edge(fresh=True, ws_options="{send_timeout, 60}, {websocket_ping_interval, infinity}, ")
    before = rss(gateway)
    pairs = sessions(gateway, xmpp_server, 100)
    sent = flood([connection.socket for _, connection in pairs], BODY % (b"x" * 1000))
    assert sent > 100 * 100 * KIB, "the flood did not reach the limits"
    report("browsers that never read", len(pairs), rss(gateway) - before, SESSION + QUEUED + READ)
    close(pairs)


def test_a_server_that_never_reads_has_bounded_memory(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    """Bound: the queue up to ``send_buffer_high``, and one read of the browser with its stanzas."""
    gateway = start_edge(fresh=True, ws_options="{send_timeout, 60}, {websocket_ping_interval, infinity}, ")
    before = rss(gateway)
    pairs = sessions(gateway, xmpp_server, 100)
    sent = flood([browser.socket for browser, _ in pairs], frame(BODY % (b"x" * 1000)))
    assert sent > 100 * 100 * KIB, "the flood did not reach the limits"
    report("server that never reads", len(pairs), rss(gateway) - before, SESSION + QUEUED + READ)
    close(pairs)


def test_frames_that_never_end_have_bounded_memory(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    """Bound: one message of ``max_stanza_size``, in pieces of any size."""
    limit = 64 * KIB
    gateway = start_edge(fresh=True, ws_options=f"{{max_stanza_size, {limit}}}, ")
    before = rss(gateway)
    pairs = sessions(gateway, xmpp_server, 100)
    for browser, _ in pairs:
        browser.send(frame(BODY % (b"x" * (limit - 100)))[: limit - 1000])
    for piece in range(20):
        for browser, _ in pairs:
            browser.send(bytes((piece,)))
    report("frames that never end", len(pairs), rss(gateway) - before, SESSION + 2 * limit)
    close(pairs)


def test_browsers_that_ping_and_never_read_have_bounded_memory(
    start_edge: StartEdge, xmpp_server: XmppServer
) -> None:
    """Bound: one read of the browser, the unsent answers of one turn, and the latest ping."""
    gateway = start_edge(fresh=True, ws_options="{send_timeout, 60}, {websocket_ping_interval, infinity}, ")
    before = rss(gateway)
    pairs = sessions(gateway, xmpp_server, 100)
    sent = flood([browser.socket for browser, _ in pairs], frame(b"x" * 125, PING) * 500)
    assert sent > 100 * 1000 * KIB, "the flood did not reach the limits"
    report("browsers that ping and never read", len(pairs), rss(gateway) - before, SESSION + READ + PONGS)
    close(pairs)


def test_partial_messages_before_login_have_bounded_memory(
    start_edge: StartEdge, xmpp_server: XmppServer
) -> None:
    """Bound: one message of ``max_stanza_size_preauth``, in frames and pieces of any size."""
    gateway = start_edge(fresh=True, ws_options="")
    before = rss(gateway)
    browsers = []
    for _ in range(200):
        browser = Browser(gateway.ws_port, receive_buffer=4 * KIB)
        browser.text(OPENINGS["rfc7395"])
        xmpp_server.accept_stream(b"<stream:features/>")
        browser.message()
        browser.message()
        browsers.append(browser)
    for browser in browsers:
        browser.send(frame(b"<message><body>" + b"x" * 9_800, fin=False))
    for piece in range(20):
        for browser in browsers:
            browser.send(frame(b"%d" % (piece % 10), 0, fin=False))
    report("partial messages before login", len(browsers), rss(gateway) - before, SESSION + 2 * PREAUTH)
    for browser in browsers:
        browser.close()


def test_half_open_handshakes_have_bounded_memory(start_edge: StartEdge) -> None:
    """Bound: the stack of each handshake, for as many as ``max_sessions``; the others are refused."""
    gateway = start_edge(
        fresh=True, ws_options=f"{{handshake_timeout, {HANDSHAKE_TIMEOUT}}}, {{max_sessions, {MOST_OPEN}}}, "
    )
    before, descriptors_before = rss(gateway), settled_descriptors(gateway)
    clients, turned_away = [], 0
    for _ in range(HANDSHAKES):
        client = socket.create_connection(("127.0.0.1", gateway.ws_port), timeout=10)
        with contextlib.suppress(OSError):
            client.sendall(b"GET /ws-xmpp HTTP/1.1\r\nHost: localhost\r\nUpgrade: web")
        clients.append(client)
    open_at_most = descriptors_before + MOST_OPEN
    wait_until(lambda: descriptors(gateway) <= open_at_most, 25, "the surplus to be turned away")
    report("half-open handshakes", MOST_OPEN, rss(gateway) - before, 40 * KIB)
    for client in clients[MOST_OPEN:]:
        with contextlib.suppress(OSError):
            turned_away += client.recv(100).startswith(b"HTTP/1.1 503 Service Unavailable: too many sessions")
    assert turned_away > (HANDSHAKES - MOST_OPEN) * 0.9
    wait_until(lambda: descriptors(gateway) <= descriptors_before + 2, 60, "every handshake to end")
    late = Browser(gateway.ws_port)
    assert late.head.startswith("HTTP/1.1 101 ")
    for client in clients:
        client.close()
    late.close()


def close(pairs: list[tuple[Browser, Connection]]) -> None:
    for browser, connection in pairs:
        browser.close()
        connection.close()
