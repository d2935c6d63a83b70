"""The socket wrapper over real sockets: blocking reads, active-once delivery, back-pressure, TLS, the end."""

from __future__ import annotations

import errno
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event

import wsgw.listener.arrival
import wsgw.upstream
from tests.support.certificates import Certificate
from tests.support.wire import OPENINGS, SERVER_HEADER, SUCCESS, Browser, Connection, XmppServer, frame
from wsgw.config import from_arguments
from wsgw.errors import HandshakeRefused
from wsgw.gateway import Gateway
from wsgw.opening.head_reader import HeadReader
from wsgw.socket_async import PeerState, SocketAsync


@pytest.fixture
def pair() -> Iterator[tuple[SocketAsync, socket.socket]]:
    """(the wrapper, a plain blocking socket at its other end), over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        sock, _ = listener.accept()
    peer.settimeout(5)
    wrapper = SocketAsync(sock)
    yield wrapper, peer
    wrapper.close()
    peer.close()


class Owner:
    """Notes deliveries; asks for the next one, or not, as ``again`` says."""

    def __init__(self, wrapper: SocketAsync, again: bool = True) -> None:
        self.got: list[bytes] = []
        self.drained = Event()
        self._wrapper = wrapper
        self._again = again
        wrapper.attach(self._deliver, self.drained.set)
        wrapper.active_once()

    def _deliver(self, data: bytes) -> None:
        self.got.append(data)
        if data and self._again:
            self._wrapper.active_once()

    def wait_for(self, count: int) -> None:
        with gevent.Timeout(5):
            while len(self.got) < count:
                gevent.sleep(0.001)


def turns_of_the_loop(count: int = 20) -> None:
    for _ in range(count):
        gevent.sleep(0)


# -- blocking --------------------------------------------------------------------------------------


def test_recv_gives_what_is_there_and_keeps_the_rest(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    peer.sendall(b"abcdef")
    assert wrapper.recv(2) == b"ab"
    assert wrapper.recv() == b"cdef"
    peer.shutdown(socket.SHUT_WR)
    assert wrapper.recv() == b""


def test_reader_leaves_what_follows_the_head(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    peer.sendall(b"one\r\ntwo\r\n\r\nfirst frame")
    reader = HeadReader(wrapper, 100)
    assert [reader.readline() for _ in range(3)] == [b"one\r\n", b"two\r\n", b"\r\n"]
    assert wrapper.recv() == b"first frame"


def test_reader_refuses_a_head_above_its_limit(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    peer.sendall(b"a" * 60 + b"\r\n" + b"b" * 60)
    reader = HeadReader(wrapper, 100)
    assert reader.readline() == b"a" * 60 + b"\r\n"
    with pytest.raises(HandshakeRefused, match="431"):
        reader.readline()


def test_sendall_waits_for_a_slow_peer(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    size = 20_000_000
    sender = gevent.spawn(wrapper.sendall, b"x" * size)
    in_thread(read_exactly, peer, size)
    sender.get(timeout=5)
    assert wrapper.queued == 0
    assert wrapper.progress == size


def test_sendall_to_a_gone_peer_fails(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    reset(peer)
    with pytest.raises(OSError, match="gone"), gevent.Timeout(5):
        while True:
            wrapper.sendall(b"x")


# -- active once -----------------------------------------------------------------------------------


def test_delivers_once(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    owner = Owner(wrapper, again=False)
    peer.sendall(b"one")
    owner.wait_for(1)
    peer.sendall(b"two")
    turns_of_the_loop()
    assert owner.got == [b"one"]
    assert not wrapper.armed
    wrapper.active_once()
    owner.wait_for(2)
    assert owner.got == [b"one", b"two"]


def test_unread_data_does_not_spin_the_loop(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    owner = Owner(wrapper, again=False)
    peer.sendall(b"one")
    owner.wait_for(1)
    peer.sendall(b"unread")
    before = time.process_time()
    gevent.sleep(0.3)
    assert time.process_time() - before < 0.1


def test_bytes_at_hand_are_delivered_without_recursion(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, _ = pair
    wrapper.unread(b"x" * (3 * wrapper.read_size))
    owner = Owner(wrapper)
    assert owner.got == []
    owner.wait_for(3)
    assert [len(chunk) for chunk in owner.got] == [wrapper.read_size] * 3


def test_fin_is_an_empty_delivery(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    owner = Owner(wrapper)
    peer.sendall(b"last")
    peer.shutdown(socket.SHUT_WR)
    owner.wait_for(2)
    assert owner.got == [b"last", b""]
    assert not wrapper.reset


def test_rst_is_an_empty_delivery_marked_so(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    owner = Owner(wrapper)
    reset(peer)
    owner.wait_for(1)
    assert owner.got == [b""]
    assert wrapper.reset


def test_what_is_sent_while_other_events_wait_leaves_after_them(
    pair: tuple[SocketAsync, socket.socket],
) -> None:
    wrapper, peer = pair

    def send() -> int:
        wrapper.send(b"one, ")
        wrapper.send(b"two")
        return wrapper.progress

    assert while_an_event_waits(send) == 0
    assert peer.recv(100) == b"one, two"


def test_much_leaves_at_once_after_what_was_sent_before_it(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    much = b"x" * 20_000

    def send() -> int:
        wrapper.send(b"first")
        wrapper.send(much)
        return wrapper.progress

    assert while_an_event_waits(send) == len(b"first" + much)
    assert peer.recv(100_000) == b"first" + much


def test_what_is_sent_while_nothing_waits_leaves_at_once(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    wrapper.send(b"word")
    assert wrapper.progress == len(b"word")
    assert peer.recv(100) == b"word"


def test_send_never_blocks_and_tells_when_it_is_taken(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    owner = Owner(wrapper)
    size = 20_000_000
    wrapper.send(b"x" * size)
    assert 0 < wrapper.queued < size
    in_thread(read_exactly, peer, size)
    assert owner.drained.wait(5)
    assert wrapper.queued == 0


def test_tells_when_what_was_marked_is_taken(pair: tuple[SocketAsync, socket.socket]) -> None:
    """Whatever is queued behind it."""
    wrapper, peer = pair
    size = 20_000_000
    queued_then: list[int] = []
    wrapper.attach(lambda _data: None, lambda: None, lambda: queued_then.append(wrapper.queued))
    wrapper.send(b"x" * size)
    wrapper.send(b"marked")
    wrapper.mark()
    wrapper.send(b"y" * size)
    assert wrapper.marked_waits
    in_thread(read_exactly, peer, size)
    turns_of_the_loop()
    in_thread(read_exactly, peer, size // 2)
    assert len(queued_then) == 1
    assert queued_then[0] > 0
    assert not wrapper.marked_waits
    in_thread(read_exactly, peer, size // 2 + len(b"marked"))
    assert len(queued_then) == 1


def test_knows_what_has_left_the_machine(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    size = 20_000_000
    wrapper.send(b"x" * size)
    sent, taken = wrapper.way
    assert sent == size
    assert taken < size
    in_thread(read_exactly, peer, size - 1)
    with gevent.Timeout(5):
        while wrapper.way != (size, size):
            gevent.sleep(0.001)
    wrapper.close()
    assert wrapper.taken == size


def test_what_is_sent_in_one_turn_leaves_in_order(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    wrapper.send(b"one ")
    wrapper.send(b"two ")
    wrapper.sendall(b"three ")
    assert peer.recv(100) == b"one two three ", (
        "who waits for it to be taken need not wait for the turn to end"
    )
    wrapper.send(b"four")
    gevent.sleep(0)
    assert peer.recv(100) == b"four"


def test_what_is_sent_last_leaves_before_the_end(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    wrapper.send(b"bye")
    peer.shutdown(socket.SHUT_WR)
    wrapper.linger(1.0, 1.0)
    assert peer.recv(100) == b"bye"
    assert peer.recv(100) == b""


def test_a_failed_write_asks_for_the_last_words_by_itself(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    got: list[bytes] = []
    wrapper.attach(got.append, lambda: None)
    peer.sendall(b"last words")
    peer.close()
    with gevent.Timeout(5):
        while not got:
            wrapper.send(b"into the void")
            gevent.sleep(0.01)
    assert wrapper.write_failed
    assert got == [b"last words"]


def test_failed_write_leaves_the_last_words_readable(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    peer.sendall(b"last words")
    peer.close()
    with gevent.Timeout(5):
        while not wrapper.write_failed:
            wrapper.send(b"into the void")
            gevent.sleep(0.01)
    owner = Owner(wrapper)
    owner.wait_for(2)
    assert owner.got == [b"last words", b""]


def test_blocking_write_to_a_lost_peer_names_the_errno(pair: tuple[SocketAsync, socket.socket]) -> None:
    """By which pywsgi knows that it is no fault of the gateway."""
    wrapper, peer = pair
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    with pytest.raises(BrokenPipeError) as caught, gevent.Timeout(5):
        while True:
            wrapper.sendall(b"HTTP/1.1 400 Bad request\r\n\r\n")
    assert caught.value.args[0] == errno.EPIPE


@pytest.mark.parametrize(
    ("act", "state"),
    [
        (lambda peer: None, PeerState.ALIVE),
        (lambda peer: peer.sendall(b"x"), PeerState.ALIVE),
        (lambda peer: peer.shutdown(socket.SHUT_WR), PeerState.DRAINING),
        (lambda peer: reset(peer), PeerState.GONE),
    ],
    ids=["alive", "unread data", "FIN", "RST"],
)
def test_peer_state_is_seen_without_reading(
    pair: tuple[SocketAsync, socket.socket], act: Callable[[socket.socket], None], state: PeerState
) -> None:
    wrapper, peer = pair
    act(peer)
    with gevent.Timeout(5):
        while wrapper.peer_state() is not state:
            gevent.sleep(0.001)


# -- the end ---------------------------------------------------------------------------------------


def test_linger_flushes_and_sends_fin(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    wrapper.send(b"goodbye")
    ending = gevent.spawn(wrapper.linger, 1.0, 1.0)
    gevent.sleep(0.05)
    assert peer.recv(100) == b"goodbye"
    assert peer.recv(100) == b""
    peer.close()
    ending.get(timeout=5)
    assert wrapper.closed


def test_linger_reads_what_would_make_it_an_rst(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    peer.sendall(b"unread" * 1000)
    ending = gevent.spawn(wrapper.linger, 1.0, 1.0)
    gevent.sleep(0.05)
    assert peer.recv(100) == b""
    peer.sendall(b"still talking")
    peer.shutdown(socket.SHUT_WR)
    ending.get(timeout=5)


def test_linger_gives_up_in_time(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, _ = pair
    started = time.monotonic()
    with gevent.Timeout(5):
        wrapper.linger(0.1, 0.2)
    assert time.monotonic() - started > 0.15
    assert wrapper.closed


# -- TLS -------------------------------------------------------------------------------------------


def server_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.pem)
    return context


def client_of(certificate: Certificate, peer: socket.socket) -> ssl.SSLSocket:
    return ssl.create_default_context(cafile=str(certificate.ca)).wrap_socket(
        peer, server_hostname="localhost"
    )


def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a blocking step of the peer while this greenlet's loop goes on."""
    return gevent.get_hub().threadpool.apply(function, arguments)


@pytest.fixture
def tls_pair(
    pair: tuple[SocketAsync, socket.socket], certificate: Certificate
) -> Iterator[tuple[SocketAsync, ssl.SSLSocket]]:
    wrapper, peer = pair
    handshake = gevent.spawn(wrapper.start_tls, server_context(certificate), server_side=True)
    client = in_thread(client_of, certificate, peer)
    handshake.get(timeout=5)
    yield wrapper, client
    client.close()


def test_tls_both_ways(tls_pair: tuple[SocketAsync, ssl.SSLSocket]) -> None:
    wrapper, client = tls_pair
    owner = Owner(wrapper)
    client.sendall(b"x" * 50_000)
    with gevent.Timeout(5):
        while sum(map(len, owner.got)) < 50_000:
            gevent.sleep(0.001)
    wrapper.send(b"answer")
    gevent.sleep(0)
    assert client.recv(100) == b"answer"
    assert wrapper.secure


def test_tls_close_notify_is_an_orderly_end(tls_pair: tuple[SocketAsync, ssl.SSLSocket]) -> None:
    wrapper, client = tls_pair
    owner = Owner(wrapper)
    client.sendall(b"last")
    ending = gevent.get_hub().threadpool.spawn(client.unwrap)
    owner.wait_for(2)
    assert b"".join(owner.got) == b"last"
    assert owner.got[-1] == b""
    assert not wrapper.reset
    gevent.spawn(wrapper.linger, 1.0, 0.1)
    ending.get(timeout=5)


def test_tls_bare_fin_is_a_loss(tls_pair: tuple[SocketAsync, ssl.SSLSocket]) -> None:
    wrapper, client = tls_pair
    owner = Owner(wrapper)
    socket.socket(fileno=client.detach()).close()
    owner.wait_for(1)
    assert owner.got == [b""]
    assert wrapper.reset


def test_tls_garbage_is_a_loss(tls_pair: tuple[SocketAsync, ssl.SSLSocket]) -> None:
    wrapper, client = tls_pair
    owner = Owner(wrapper)
    with socket.socket(fileno=client.detach()) as raw:
        raw.sendall(b"this is no TLS record")
        owner.wait_for(1)
    assert owner.got == [b""]


# -- the literal emulation -----------------------------------------------------------------------------


class LiteralSocketAsync(SocketAsync):
    """``active_once`` as its name says: a greenlet calls ``recv`` and delivers what it returns."""

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
        if self._armed and self._deliver is not None:
            self._armed = False
            self._deliver(data)


def dialogue(port: int, server: XmppServer, framing: str, cut: int) -> tuple[bytes, bytes]:
    """One session in chunks of ``cut`` bytes; everything that (browser, server) got."""
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
        monkeypatch.setattr(wsgw.listener.arrival, "SocketAsync", wrapper)
        monkeypatch.setattr(wsgw.upstream, "SocketAsync", wrapper)
        server = XmppServer()
        gateway = Gateway.alone(
            from_arguments("127.0.0.1:0", ["localhost"], [f"tcp://127.0.0.1:{server.port}"])
        )
        gateway.start()
        port = gateway.listeners[0].server_port
        try:
            results.append(in_thread(dialogue, port, server, framing, cut))
        finally:
            gateway.stop()
            server.close()
    assert results[0] == results[1]


def while_an_event_waits(step: Callable[[], int]) -> int:
    """Run ``step`` in the first of two events of one turn of the loop; return what it did."""
    results: list[int] = []

    def once(_data: bytes) -> None:
        if not results:
            results.append(step())

    pairs = [socket.socketpair() for _ in range(2)]
    for near, far in pairs:
        sock = SocketAsync(near)
        sock.attach(once, lambda: None)
        sock.active_once()
        far.sendall(b"an event")
    with gevent.Timeout(5):
        while not results:
            gevent.sleep(0.01)
    for near, far in pairs:
        near.close()
        far.close()
    return results[0]


def read_exactly(sock: socket.socket, size: int) -> None:
    while size:
        size -= len(sock.recv(min(size, 1 << 20)))


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
