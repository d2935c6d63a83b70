"""A server of WebSockets, or a proxy, that the test plays on loopback."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from tests.support.wire import frame

#: Stands for the right header of an answer.
ACCEPTED = "ACCEPTED"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
OPEN = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0'/>"
FEATURES = b"<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>"
ERROR = (
    b"<stream:error xmlns:stream='http://etherx.jabber.org/streams'>"
    b"<%s xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
)


@contextmanager
def serving(answer: Callable[[socket.socket, bytes], None]) -> Iterator[str]:
    """The URL of a server that gives each connection, and the head of its request, to ``answer``."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                connection, _ = listening.accept()
                with connection:
                    head = b""
                    while data := connection.recv(65536):
                        head += data
                        if b"\r\n\r\n" in head:
                            answer(connection, head)
                            break
                    else:
                        if ends.is_set():
                            return

        ends = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}/ws-xmpp"
        ends.set()
        with closing(socket.create_connection(listening.getsockname())):
            pass
        thread.join()


def replies(head: str) -> Callable[[socket.socket, bytes], None]:
    """Answers each request with ``head``, in which ``ACCEPTED`` is the right header of that name."""

    def answer(connection: socket.socket, request: bytes) -> None:
        key = next(line for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: "))[19:]
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        connection.sendall(head.replace(ACCEPTED, f"Sec-WebSocket-Accept: {accept}").encode() + b"\r\n")

    return answer


SWITCHING = "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
OPENED = f"{SWITCHING}{ACCEPTED}\r\nSec-WebSocket-Protocol: xmpp\r\n"


def says(*messages: bytes, waits: bool = True) -> Callable[[socket.socket, bytes], None]:
    """Opens the WebSocket and answers the first message with these; ends it after another one, or at once."""

    def answer(connection: socket.socket, request: bytes) -> None:
        replies(OPENED)(connection, request)
        connection.recv(65536)
        for message in messages:
            connection.sendall(frame(message, masked=False))
        if waits:
            connection.recv(65536)

    return answer
