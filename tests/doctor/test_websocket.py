"""The upgrade and the stream, through a proxy that the test plays."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from tests.doctor.played import ACCEPTED, ERROR, FEATURES, OPEN, SWITCHING, replies, says, serving
from tests.support.wire import CLOSE_7395
from wsgw.config.source import Source
from wsgw.doctor import stream, websocket
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Inquiry


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
        (
            "HTTP/1.1 426 Upgrade Required\r\nServer: Apache/2.4\r\n",
            "answers 426",
            "Apache: ProxyPass /ws-xmpp http://ADDRESS:PORT/ws-xmpp",
        ),
        ("HTTP/1.1 401 Unauthorized\r\n", "answers 401", "exempt this path from logins"),
        ("HTTP/1.1 403 Forbidden\r\n", "answers 403", "exempt this path from logins"),
        ("HTTP/1.1 404 Not Found\r\nServer: nginx\r\n", "at the path /ws-xmpp", "nginx: location /ws-xmpp"),
        ("HTTP/1.1 504 Timeout\r\n", "no answer from wsgw", "start wsgw, and let the proxy connect"),
        ("HTTP/1.1 500 Oh\r\n", "answers 500", "log of the proxy"),
        ("SSH-2.0-OpenSSH\r\n", "does not answer in HTTP", "haproxy: mode http"),
        (f"{SWITCHING}Sec-WebSocket-Accept: x\r\n", "answers for another request", "no cache"),
        (f"{SWITCHING}{ACCEPTED}\r\n", "without the subprotocol xmpp", "haproxy: remove http-request"),
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


def test_a_port_without_tls_is_one_fault() -> None:
    """The WebSocket is not tried then."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=refuse, daemon=True).start()
        *_, fault, skipped = findings(f"wss://127.0.0.1:{listening.getsockname()[1]}/ws")
        listening.shutdown(socket.SHUT_RDWR)
    assert (fault.check, fault.verdict) == ("tls.handshake", Verdict.FAILED)
    assert "does not speak TLS" in fault.what
    assert (skipped.check, skipped.verdict) == ("websocket.public", Verdict.SKIPPED)


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
        ([CLOSE_7395], "the server ends the stream", "wsgw's log"),
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


def test_an_answer_that_is_late_is_noted() -> None:
    examined = websocket._Domain("localhost", Inquiry(("localhost",), Source()))
    examined._direct = stream.Answer(seconds=0.1)
    for seconds, verdict in ((3.0, Verdict.OK), (4.0, Verdict.NOTE)):
        (found,) = examined._about_stream("wss://localhost/ws", stream.Answer(seconds=seconds))
        assert found.verdict is verdict
    assert found.what == "the answer arrives after 4.0 s, and directly after 0.1 s: the proxy buffers"


def test_an_address_without_tls_is_a_fault_except_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(says(OPEN, FEATURES)) as url:
        assert not any(one.verdict is Verdict.FAILED for one in findings(url))
        monkeypatch.setattr(websocket, "is_loopback", lambda _host: False)
        (fault,) = (one for one in findings(url) if one.verdict is Verdict.FAILED)
    assert (fault.check, "wss://" in fault.fix) == ("websocket.encryption", True)


def test_an_unknown_address_is_not_tried() -> None:
    (skipped,) = websocket.check(Inquiry(("localhost",), Source()))
    assert (skipped.verdict, skipped.fix) == (Verdict.SKIPPED, "name it with --url")
