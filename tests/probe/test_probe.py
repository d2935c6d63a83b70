"""The probe, through a small WebSocket proxy made with the websockets library, to the demo server."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from tests.demo.conftest import ACCOUNTS
from tests.support.servers import Server as RealServer
from wsgw.demo import DemoServer
from wsgw.demo.elements import serialise
from wsgw.demo.xml_reader import StreamClosed, StreamOpened, StreamReader
from wsgw.probe import ProbeFailed, prove

ALICE, BOB = ("alice", "secret"), ("bob", "secret")
OPEN = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0'/>"
CLOSE = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"
END = "</stream:stream>"
HEADER = (
    "<stream:stream to='localhost' version='1.0' xmlns='jabber:client'"
    " xmlns:stream='http://etherx.jabber.org/streams'>"
)


def proxy(port: int) -> Callable[[ServerConnection], None]:
    """RFC 7395 to a stream on ``port``, as far as the probe needs it."""

    def handle(websocket: ServerConnection) -> None:
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            reader = threading.Thread(target=downwards, args=(upstream, websocket))
            reader.start()
            with contextlib.suppress(ConnectionClosed):
                for message in websocket:
                    text = HEADER if str(message).startswith("<open") else str(message)
                    upstream.sendall((text if not text.startswith("<close") else END).encode())
            with contextlib.suppress(OSError):
                upstream.shutdown(socket.SHUT_RDWR)
            reader.join()

    return handle


def downwards(upstream: socket.socket, websocket: ServerConnection) -> None:
    reader = StreamReader(10**6)
    with contextlib.suppress(ConnectionClosed, OSError):
        while data := upstream.recv(65536):
            before, restart, after = data.partition(b"<?xml")
            forward(reader, before, websocket)
            if restart:
                reader.reset()
                forward(reader, restart + after, websocket)


def forward(reader: StreamReader, data: bytes, websocket: ServerConnection) -> None:
    for event in reader.feed(data):
        if isinstance(event, StreamOpened):
            websocket.send(OPEN)
        elif isinstance(event, StreamClosed):
            websocket.send(CLOSE)
        else:
            declared = "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>"
            # In fragments, as a server may.
            text = serialise(event, "").replace("<stream:features>", declared)
            websocket.send(iter((text[:10], text[10:])))


class Gateway:
    """Serves ``handler`` on a WebSocket in native threads."""

    def __init__(self, handler: Callable[[ServerConnection], None], subprotocol: str | None = "xmpp") -> None:
        names = None if subprotocol is None else [subprotocol]
        self._server: Server = serve(handler, "127.0.0.1", 0, subprotocols=names)  # type: ignore[arg-type]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/ws?a=b"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[DemoServer]:
    with DemoServer("localhost", ACCOUNTS) as running:
        yield running


@pytest.fixture
def gateway() -> Iterator[Callable[..., str]]:
    """``gateway(handler)``: the URL of a WebSocket server that runs ``handler``."""
    running: list[Gateway] = []

    def start(handler: Callable[[ServerConnection], None], subprotocol: str | None = "xmpp") -> str:
        running.append(Gateway(handler, subprotocol))
        return running[-1].url

    yield start
    for each in running:
        each.stop()


def say(*messages: str) -> Callable[[ServerConnection], None]:
    """A server that answers messages one by one with these, and then ends."""

    def handle(websocket: ServerConnection) -> None:
        for message, _ in zip(messages, websocket, strict=False):
            websocket.send(message)

    return handle


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"])
def test_the_probe_proves_a_gateway(
    server: DemoServer, gateway: Callable[..., str], monkeypatch: pytest.MonkeyPatch, mechanism: str
) -> None:
    monkeypatch.setattr("wsgw.demo.login.MECHANISMS", (mechanism,))
    prove(gateway(proxy(server.port)), "localhost", ALICE, BOB, timeout=10)


@pytest.mark.parametrize(
    ("receiver", "words"),
    [
        (("bob", "wrong"), "logging in for bob: the server refuses the login: not-authorized"),
        (("nobody", "x"), "logging in for nobody"),
    ],
)
def test_a_failed_login_is_reported(
    server: DemoServer, gateway: Callable[..., str], receiver: tuple[str, str], words: str
) -> None:
    with pytest.raises(ProbeFailed, match=words):
        prove(gateway(proxy(server.port)), "localhost", ALICE, receiver, timeout=10)


def test_a_port_without_a_server_is_reported() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(ProbeFailed, match=r"opening the WebSocket for bob: .*refused"):
            prove(f"ws://127.0.0.1:{port}/ws", "localhost", ALICE, BOB, timeout=10)


@pytest.mark.slow
def test_a_timeout_is_reported(gateway: Callable[..., str]) -> None:
    def silent(websocket: ServerConnection) -> None:
        for _ in websocket:
            pass

    # Long enough to open the WebSocket on a busy machine.
    with pytest.raises(ProbeFailed, match="opening the stream for bob: not finished within 2 s"):
        prove(gateway(silent), "localhost", ALICE, BOB, timeout=2)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (
            ["<open xmlns='x'/>"],
            "opening the stream for bob: expected the opening of the stream, got",
        ),
        (["hello"], "opening the stream for bob: a message is not one XML document"),
        ([OPEN + OPEN], "opening the stream for bob: a message is not one XML document"),
        (["<!DOCTYPE x []><x/>"], "opening the stream for bob: DTDForbidden"),
        ([], "opening the stream for bob: the WebSocket was closed: 1000"),
    ],
)
def test_a_bad_answer_is_reported(gateway: Callable[..., str], messages: list[str], words: str) -> None:
    with pytest.raises(ProbeFailed, match=words):
        prove(gateway(say(*messages)), "localhost", ALICE, BOB, timeout=5)


def test_the_subprotocol_is_required(gateway: Callable[..., str]) -> None:
    with pytest.raises(ProbeFailed, match="the subprotocol xmpp was not agreed to"):
        prove(gateway(say(), None), "localhost", ALICE, BOB, timeout=5)


def test_a_refused_upgrade_is_reported(gateway: Callable[..., str]) -> None:
    with pytest.raises(ProbeFailed, match=r"the upgrade was refused: 'HTTP/1\.1 400"):
        prove(gateway(say(), "other"), "localhost", ALICE, BOB, timeout=5)


def test_only_ws_and_wss_urls_are_accepted() -> None:
    with pytest.raises(ProbeFailed, match="is not a ws:// or wss:// address"):
        prove("https://localhost/ws", "localhost", ALICE, BOB, timeout=5)


@pytest.mark.parametrize("name", ["ejabberd", "prosody"])
def test_the_probe_proves_a_real_server(start_server: Callable[[str], RealServer], name: str) -> None:
    """Against the server's own WebSocket."""
    real = start_server(name)
    alice, bob = ((user, real.accounts[user]) for user in ("alice", "bob"))
    prove(real.native_ws, real.domain, alice, bob, timeout=20)
    with pytest.raises(ProbeFailed, match="logging in for bob"):
        prove(real.native_ws, real.domain, alice, ("bob", "wrong"), timeout=20)
