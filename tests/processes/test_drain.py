"""SIGTERM: sessions end one by one, new clients get 503, and the gateway ends with the last session."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes.conftest import Start
from tests.processes.gate import Gate
from tests.support.gateway import Gateway
from tests.support.observe import PATIENCE, blocks, said
from tests.support.processes import Child, ReservedPort, wait_until
from tests.support.traffic import Traffic
from tests.support.wire import (
    OPENINGS,
    SECONDS,
    Browser,
    Connection,
    XmppServer,
    frame,
    upgrade_request,
    within,
)

pytestmark = pytest.mark.slow

ENABLED = b"<enabled xmlns='urn:xmpp:sm:3' id='x1' resume='true' max='300'/>"
ENABLED_WITHIN_SASL2 = (
    b"<success xmlns='urn:xmpp:sasl:2'><bound xmlns='urn:xmpp:bind:0'>%s</bound></success>" % ENABLED
)


def drained(start: Start, c2s_port: int, seconds: float, options: str = "", **settings: Any) -> Gateway:
    return start(c2s_port, ws_options=f"{{drain_timeout, {seconds}}}, {options}", **settings)


def test_the_ends_of_sessions_are_spread_over_the_time(start: Start, traffic: Traffic) -> None:
    gateway = drained(start, traffic.port, 6, constants={"wsgw.processes.parent.PROGRESS_EVERY": 1.0})
    books = traffic.begin(gateway.ws_port, 40, 0.05)
    traffic.attempt(gateway.ws_port, 0.05)
    wait_until(lambda: traffic.attempts["101"] > 0, PATIENCE, "attempts to succeed")
    began = traffic.now()
    gateway.child.signal(signal.SIGTERM)
    said(gateway, "stopping")
    assert gateway.child.wait(PATIENCE) == 0
    traffic.over(books)
    assert all(book.code == 1012 for book in books), books
    assert all(b"<system-shutdown " in book.unexpected[0] for book in books)
    # Every stanza that the gateway had read came back, or was on its way to the server.
    assert all(book.sent - book.came_back <= 1 for book in books)
    left = [
        int(count) for count in re.findall(r": (\d+) connections left$", gateway.child.text(), re.MULTILINE)
    ]
    assert len(left) >= 3, "the log says how far the drain is"
    assert left == sorted(left, reverse=True)
    ends = sorted(book.ended_at - began for book in books)
    # Planned: at once, and after 4.7 s; a busy machine adds to both.
    assert ends[0] < 2.5, ends
    assert 3.5 < ends[-1] < 8.0, ends
    longest = max(later - sooner for sooner, later in itertools.pairwise(ends))
    assert longest < 2.0, ends
    assert traffic.attempts["503"] > 0
    # After the end connections are refused; one that came at that moment is reset, or gets no answer.
    expected = {"101", "503", "ConnectionRefusedError"}
    others = sum(count for what, count in traffic.attempts.items() if what not in expected)
    assert others <= 1, traffic.attempts
    gateway.assert_clean_log({})


def test_new_clients_are_asked_to_come_again(start: Start) -> None:
    """The ports stay open until the end."""
    gateway = drained(start, 1, 4, "{workers, 1}, ")
    browser = Browser(gateway.ws_port)
    gateway.child.signal(signal.SIGTERM)
    assert browser.message().startswith(b"<open "), "its end has begun, and the client has not answered yet"
    with socket.create_connection(("127.0.0.1", gateway.ws_port), SECONDS) as sock:
        sock.sendall(upgrade_request())
        answer = Connection(sock).read_until(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable: the gateway stops\r\n")
    assert b"\r\nRetry-After: 1\r\n" in answer
    browser.close()
    assert gateway.child.wait(PATIENCE) == 0


def test_the_gateway_ends_with_the_last_session(start: Start, traffic: Traffic) -> None:
    """It does not wait for the rest of the time."""
    gateway = drained(start, traffic.port, 60)
    books = traffic.begin(gateway.ws_port, 6)
    gateway.child.signal(signal.SIGTERM)
    said(gateway, "stopping")
    with within(PATIENCE):
        traffic.finish()
        assert gateway.child.wait(PATIENCE) == 0
    assert sum(book.code == 1012 for book in books) <= 2, "the first of each worker"


def test_a_second_signal_ends_the_gateway_at_once(start: Start, traffic: Traffic) -> None:
    gateway = drained(start, traffic.port, 60)
    traffic.begin(gateway.ws_port, 6)
    gateway.child.signal(signal.SIGTERM)
    said(gateway, "stopping")
    gateway.child.signal(signal.SIGINT)
    assert gateway.child.wait(PATIENCE) == 1


#: ``python -c _HELD FILE ...``: the gateway, which reads FILE before it can have caught a signal.
_HELD = """
import runpy, sys
file = sys.argv.pop(1)
class Held:
    def find_spec(self, name, path=None, target=None):
        if name == "wsgw.processes.parent":
            open(file).read()
sys.meta_path.insert(0, Held())
runpy.run_module("wsgw", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_gateway_can_be_stopped_while_it_starts(tmp_path: Path, number: signal.Signals) -> None:
    """At any moment: it ends in order without having listened, and leaves no files."""
    port = ReservedPort()
    listen = ("--listen", f"127.0.0.1:{port.number}", "--domain", "localhost")
    read_first = tmp_path / "read first"
    read_first.touch()
    gate = Gate(read_first)
    argv = [sys.executable, "-c", _HELD, str(read_first), *listen, "--upstream", "tcp://127.0.0.1:1"]
    folder = tmp_path / "temporary"
    folder.mkdir()
    gateway = Child(argv, tmp_path / "log", {"TMPDIR": str(folder)})
    try:
        gate.wait()
        assert blocks(gateway.pid, number)
        gateway.signal(number)
        gate.open()
        assert gateway.wait(PATIENCE) == 0
        assert "stopping, 0 connections" in gateway.text()
        assert "listens on" not in gateway.text()
        assert list(folder.iterdir()) == []
    finally:
        gateway.kill()
        port.release()


def test_a_hanging_worker_does_not_delay_the_end(start: Start) -> None:
    """It is killed some seconds after ``drain_timeout``."""
    gateway = drained(start, 1, 0, constants={"wsgw.processes.parent.DRAIN_GRACE": 1.0})
    hanging = gateway.workers[0]
    os.kill(hanging, signal.SIGSTOP)
    gateway.child.signal(signal.SIGTERM)
    assert gateway.child.wait(PATIENCE) == 0
    assert "does not end: killing it" in gateway.child.text()


@pytest.mark.rule("xep-0198-inline")
@pytest.mark.parametrize("word", ["close", "drop"])
@pytest.mark.parametrize(
    "answer",
    [ENABLED, ENABLED.replace(b" resume='true'", b""), ENABLED_WITHIN_SASL2],
    ids=["resumable", "not", "within-sasl2"],
)
def test_a_session_that_can_be_resumed_stays_resumable(start: Start, word: str, answer: bytes) -> None:
    server = XmppServer()
    gateway = drained(start, server.port, 1, f"{{drain_resumable, {word}}}, ")
    browser = Browser(gateway.ws_port, first=frame(OPENINGS["rfc7395"]))
    connection = server.accept_stream()
    browser.message()
    browser.message()
    connection.send(answer)
    assert b"<enabled " in browser.message()
    browser.text(b"<message xmlns='jabber:client' id='last'/>")
    assert connection.read_until(b"/>") == b"<message xmlns='jabber:client' id='last'/>"
    gateway.child.signal(signal.SIGTERM)
    if word == "drop" and b"resume=" in answer:
        assert browser.read_to_end() == b"", "no stream error, no Close"
    else:
        messages, code, _ = browser.until_close()
        assert (b"<system-shutdown " in messages[0], code) == (True, 1012)
    assert connection.read_to_end() == b"", "a bare FIN: it can be resumed, whether the client knows or not"
    for each in (browser, connection, server):
        each.close()
    assert gateway.child.wait(PATIENCE) == 0
    gateway.assert_clean_log({})


def test_the_last_bytes_from_a_browser_reach_the_server(start: Start) -> None:
    """Also a server that reads slowly."""
    server = XmppServer(receive_buffer=4096)
    gateway = drained(start, server.port, 0, "{send_buffer_high, 1000000}, ")
    browser = Browser(gateway.ws_port, first=frame(OPENINGS["rfc7395"]))
    connection = server.accept_stream()
    browser.message()
    browser.message()
    stanzas = [b"<message xmlns='jabber:client' id='%d'>%s</message>" % (n, b"x" * 9000) for n in range(20)]
    browser.send(b"".join(map(frame, stanzas)))
    browser.send(frame(b"", 9))
    assert browser.frame()[0] == 10, "the gateway has read all bytes"
    gateway.child.signal(signal.SIGTERM)
    browser.until_close()  # the end of the session has begun, and the server has not read yet
    assert connection.read_to_end() == b"".join(stanzas)
    for each in (browser, connection, server):
        each.close()
    assert gateway.child.wait(PATIENCE) == 0
