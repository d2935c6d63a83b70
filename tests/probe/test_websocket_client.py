"""The WebSocket client of the probe and the doctor, with servers made with the websockets library."""

from __future__ import annotations

import socket
import ssl as plain_ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

import gevent
import pytest
from gevent import socket as gevent_socket
from gevent import ssl
from websockets.sync.server import ServerConnection, serve

from tests.doctor.played import OPENED, replies
from tests.doctor.played import serving as played
from tests.support.certificates import Certificate
from wsgw.probe.websocket_client import (
    Response,
    UpgradeFailed,
    UpgradeRefused,
    WebSocketClient,
    WebSocketClosed,
    WebSocketFailed,
    WrongAccept,
    WrongSubprotocol,
    tls_context,
)

SWITCHING = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


def tell_origin(websocket: ServerConnection) -> None:
    """Ping, and answer the pong with the request's Origin."""
    websocket.ping().wait(5)
    assert websocket.request is not None
    websocket.send(str(websocket.request.headers.get("Origin")))
    websocket.recv()


@contextmanager
def serving(tls: plain_ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server that runs ``tell_origin``."""
    server = serve(tell_origin, "127.0.0.1", 0, subprotocols=["xmpp"], ssl=tls)  # type: ignore[list-item]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.socket.getsockname()[1]
    server.shutdown()
    thread.join()


@contextmanager
def answering(answer: str) -> Iterator[str]:
    """The URL of a server that sends ``answer`` to the first connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer_one() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer.encode("latin-1"))

        thread = threading.Thread(target=answer_one)
        thread.start()
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}/ws"
        thread.join()


def test_a_connection_with_tls_to_another_address_and_with_an_origin(certificate: Certificate) -> None:
    tls = plain_ssl.SSLContext(plain_ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate.pem)
    asked: list[tuple[str, int]] = []
    with serving(tls) as port:

        def connect(host: str, asked_port: int) -> gevent_socket.socket:
            asked.append((host, asked_port))
            return gevent_socket.create_connection(("127.0.0.1", port))

        context = tls_context()
        context.load_verify_locations(certificate.ca)
        url = "wss://localhost/ws"
        with WebSocketClient(url, connect=connect, context=context, origin="https://a.example") as client:
            assert client.receive() == "https://a.example"
            assert len(client.pings) == 1
            client.send("")
            with pytest.raises(WebSocketClosed):
                client.receive()
            assert client.response.status == 101
    assert asked == [("localhost", 443)]


def test_a_deadline_ends_the_wait_for_a_message_over_tls(certificate: Certificate) -> None:
    """Which needs a socket of gevent."""
    tls = plain_ssl.SSLContext(plain_ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate.pem)
    context = tls_context()
    context.load_verify_locations(certificate.ca)
    with serving(tls) as port, WebSocketClient(f"wss://localhost:{port}/ws", context=context) as client:
        assert client.receive()
        deadline = gevent.Timeout(0.05)
        with pytest.raises(gevent.Timeout) as caught, deadline:
            client.receive()
        assert caught.value is deadline


def test_a_deadline_counts_while_frames_arrive_without_end() -> None:
    def flood(connection: socket.socket, request: bytes) -> None:
        replies(OPENED)(connection, request)
        ends = monotonic() + 3
        with suppress(OSError):
            while monotonic() < ends:
                connection.sendall(b"\x8a\x00" * 50_000)  # pongs

    deadline = gevent.Timeout(0.2)
    with played(flood) as url, WebSocketClient(url) as client, pytest.raises(gevent.Timeout), deadline:
        client.receive()


def test_no_origin_by_default() -> None:
    with serving() as port, WebSocketClient(f"ws://127.0.0.1:{port}/ws") as client:
        assert client.receive() == "None"


def test_a_certificate_is_checked(certificate: Certificate) -> None:
    tls = plain_ssl.SSLContext(plain_ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate.pem)
    with serving(tls) as port, pytest.raises(ssl.SSLCertVerificationError):
        WebSocketClient(f"wss://127.0.0.1:{port}/ws")


@pytest.mark.parametrize(
    ("answer", "error", "status"),
    [
        ("HTTP/1.1 404 Not Found\r\nServer: x\r\n\r\n", UpgradeRefused, 404),
        ("SSH-2.0-OpenSSH\r\n\r\n", UpgradeRefused, 0),
        (f"{SWITCHING}Sec-WebSocket-Accept: x\r\n\r\n", WrongAccept, 101),
    ],
)
def test_a_refusal_has_the_response(answer: str, error: type[UpgradeFailed], status: int) -> None:
    with answering(answer) as url, pytest.raises(error) as caught:
        WebSocketClient(url)
    assert caught.value.response.status == status


def test_a_lost_subprotocol_is_an_error_with_the_response() -> None:
    server = serve(tell_origin, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with pytest.raises(WrongSubprotocol) as caught:
        WebSocketClient(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws")
    server.shutdown()
    thread.join()
    assert caught.value.response.values("upgrade") == ["websocket"]


def test_a_cut_head_and_one_without_end_are_no_response() -> None:
    with answering(SWITCHING) as url, pytest.raises(WebSocketFailed, match="ended during the upgrade"):
        WebSocketClient(url)
    endless = "HTTP/1.1 200 OK\r\n" + "a: b\r\n" * 200
    with answering(endless) as url, pytest.raises(WebSocketFailed, match="too many headers"):
        WebSocketClient(url)


def test_the_values_of_a_header_that_is_sent_twice() -> None:
    response = Response("HTTP/1.1 200 OK", 200, "OK", (("a", "1"), ("b", "2"), ("a", "3")))
    assert response.values("a") == ["1", "3"]
