"""The upgrade and the stream, through a proxy that the test plays."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from tests.support.wire import CLOSE_7395, frame
from wsgw.config.source import Source
from wsgw.doctor import stream, websocket
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Inquiry

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
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
    """Answers each request with ``head``, in which ``ACCEPT`` is the right header of that name."""

    def answer(connection: socket.socket, request: bytes) -> None:
        key = next(line for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: "))[19:]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        connection.sendall(head.replace("ACCEPT", f"Sec-WebSocket-Accept: {accept}").encode() + b"\r\n")

    return answer


SWITCHING = "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
OPENED = f"{SWITCHING}ACCEPT\r\nSec-WebSocket-Protocol: xmpp\r\n"


def says(*messages: bytes) -> Callable[[socket.socket, bytes], None]:
    """Opens the WebSocket, answers the first message with these, and the second with the end."""

    def answer(connection: socket.socket, request: bytes) -> None:
        replies(OPENED)(connection, request)
        connection.recv(65536)
        for message in messages:
            connection.sendall(frame(message, masked=False))
        connection.recv(65536)

    return answer


def findings(url: str) -> list[Finding]:
    return [
        one for one in websocket.check(Inquiry(("localhost",), Source(), url=url)) if one.check[:3] != "dns"
    ]


@pytest.mark.parametrize(
    ("head", "what", "fix"),
    [
        (
            "HTTP/1.1 301 Moved\r\nLocation: https://www.example.org/\r\n",
            "redirect to https://www",
            "final address",
        ),
        ("HTTP/1.1 200 OK\r\nServer: Caddy\r\n", "answers 200 in place of 101", "Caddy: reverse_proxy"),
        ("HTTP/1.1 426 Upgrade Required\r\nServer: Apache/2.4\r\n", "answers 426", "Apache: ProxyPass"),
        ("HTTP/1.1 401 Unauthorized\r\n", "answers 401", "exempt this path from logins"),
        ("HTTP/1.1 403 Forbidden\r\n", "answers 403", "exempt this path from logins"),
        ("HTTP/1.1 404 Not Found\r\nServer: nginx\r\n", "at the path /ws-xmpp", "nginx: location /ws-xmpp"),
        ("HTTP/1.1 504 Timeout\r\n", "no answer from wsgw", "start wsgw, and let the proxy connect"),
        ("HTTP/1.1 500 Oh\r\n", "answers 500", "log of the proxy"),
        ("SSH-2.0-OpenSSH\r\n", "does not answer in HTTP", "haproxy: mode http"),
        (f"{SWITCHING}Sec-WebSocket-Accept: x\r\n", "answers for another request", "no cache"),
        (f"{SWITCHING}ACCEPT\r\n", "without the subprotocol xmpp", "haproxy: remove http-request"),
    ],
)
def test_a_refused_upgrade_names_its_cause(head: str, what: str, fix: str) -> None:
    with serving(replies(head)) as url:
        *_, fault = findings(url)
    assert (fault.check, fault.verdict, fault.subject) == ("websocket.public", Verdict.FAILED, url)
    assert what in fault.what
    assert fix in fault.fix


def test_a_connection_that_ends_during_the_upgrade() -> None:
    with serving(lambda _connection, _request: None) as url:
        *_, fault = findings(url)
    assert "ends the connection during the upgrade" in fault.what


def test_a_proxy_that_refuses_the_origin() -> None:
    def answer(connection: socket.socket, request: bytes) -> None:
        if b"Origin: https://localhost" in request:
            replies("HTTP/1.1 403 Forbidden\r\n")(connection, request)
        else:
            says(OPEN, FEATURES)(connection, request)

    with serving(answer) as url:
        *_, opened, origin, opened_stream = findings(url)
    assert opened.verdict is opened_stream.verdict is Verdict.OK
    assert (origin.check, origin.verdict) == ("websocket.origin", Verdict.FAILED)
    assert "https://localhost" in origin.what


@pytest.mark.parametrize(
    ("messages", "what", "fix"),
    [
        ([OPEN, ERROR % b"host-unknown", CLOSE_7395], "host-unknown", "add localhost to hosts"),
        ([OPEN, ERROR % b"remote-connection-failed"], "remote-connection-failed", "start the XMPP server"),
        ([OPEN, ERROR % b"policy-violation"], "policy-violation", "logs of wsgw"),
        ([CLOSE_7395], "<close/> came in place of the features", "wsgw's log"),
        ([b"<open"], "not one XML document", "wsgw's log"),
    ],
)
def test_a_stream_that_does_not_open(messages: list[bytes], what: str, fix: str) -> None:
    with serving(says(*messages)) as url:
        *_, opened, fault = findings(url)
    assert (opened.check, opened.verdict) == ("websocket.public", Verdict.OK)
    assert (fault.check, fault.verdict) == ("websocket.stream", Verdict.FAILED)
    assert what in fault.what
    assert fix in fault.fix


def test_a_proxy_that_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream opens directly, and nothing arrives through the proxy."""
    monkeypatch.setattr(stream, "TIMEOUT", 0.1)
    inquiry = Inquiry(("localhost",), Source())
    with serving(says()) as url:
        examined = websocket._Domain("localhost", inquiry)
        examined._direct = stream.Answer()
        *_, fault = examined._examine_public(url)
    assert (fault.check, fault.verdict) == ("websocket.buffering", Verdict.FAILED)
    assert "haproxy: no option http-buffer-request" in fault.fix


def test_an_unknown_address_is_not_tried() -> None:
    (skipped,) = websocket.check(Inquiry(("localhost",), Source()))
    assert (skipped.verdict, skipped.fix) == (Verdict.SKIPPED, "name it with --url")
