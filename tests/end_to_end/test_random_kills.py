"""Peers that vanish at any moment: no phase of a connection, on either side, may leave a traceback.

Every browser and every XMPP server plays a whole session; each vanishes at a random moment by an RST or a
FIN, or is silent until the gateway gives it up. ``WSGW_KILLS`` is the number of browsers,
``WSGW_SEED`` chooses the moments. The few browsers of the suite vanish in every phase too, at fewer moments.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.certificates import Certificate
from tests.support.forms import form
from tests.support.processes import Child, ReservedPort
from tests.support.wire import CLOSINGS, OPENINGS, PING, SERVER_HEADER, SUCCESS, frame, upgrade_request

BROWSERS = int(os.environ.get("WSGW_KILLS", form(small="250", full="800")))
SEED = int(os.environ.get("WSGW_SEED", "1"))
AT_ONCE = 64
#: The most steps of a peer before it vanishes: sends, waits, handshakes.
BROWSER_STEPS, SERVER_STEPS = 12, 16
#: A peer vanishes within this time after its last step, in seconds.
MOMENT = 0.005
#: A read that takes longer, in seconds, is the peer's last step.
PATIENCE = 2.0
#: The test waits for one of so many silent peers; the others vanish too.
SILENT = 40
#: The gateway gives up a silent peer within this time, in seconds: above ``LISTENER``'s deadlines.
GIVEN_UP = 30.0

LISTENER = """\
  - port: {port}
    ip: "127.0.0.1"
    module: websocket_session
    request_handlers: {{/ws-xmpp: mod_websocket}}
    handshake_timeout: 1
    tls_handshake_timeout: 1
    open_timeout: 1
    auth_timeout: 1
    connect_timeout: 1
    close_timeout: 1
    pong_timeout: 1
    websocket_ping_interval: 1
    websocket_timeout: 3
    send_timeout: 1
    send_buffer_high: 4096
    upstream_verify: false
    upstream: {upstream}
    {more}
"""
PROXY = b"PROXY TCP4 127.0.0.1 127.0.0.1 40000 5288\r\n"
FEATURES = b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
PROCEED = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
STANZA = b"<message xmlns='jabber:client'><body>%s</body></message>"


class Mortal:
    """One end of a connection, which vanishes after a random number of steps, or after its last step."""

    def __init__(self, sock: socket.socket, chance: random.Random, steps: int) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(PATIENCE)
        self.sock = sock
        self.chance = chance
        self._steps_left = chance.randrange(steps)
        self._manner = chance.choice(("reset", "reset", "reset", "fin", "half", "silent"))

    def _step(self) -> None:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise EOFError

    def send(self, data: bytes) -> None:
        """Send ``data``, sometimes in two pieces, sometimes not all of it."""
        cut = self.chance.randrange(len(data)) if self.chance.random() < 0.3 else 0
        for piece in filter(None, (data[:cut], data[cut:])):
            self._step()
            self.sock.sendall(piece)

    def read(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        return data

    def until(self, end: bytes) -> None:
        """Read until ``end`` has arrived."""
        self._step()
        data = b""
        while end not in data:
            data += self.read()

    def handshake(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        self._step()
        name = None if server_side else "localhost"
        self.sock = context.wrap_socket(self.sock, server_side, False, server_hostname=name)
        self.sock.do_handshake()

    def vanish(self) -> None:
        time.sleep(MOMENT * self.chance.random() ** 2)
        with contextlib.suppress(OSError):
            if self._manner == "reset":
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif self._manner == "half":
                self.sock.shutdown(socket.SHUT_WR)
                time.sleep(MOMENT)
            elif self._manner == "silent" and not self.chance.randrange(SILENT):
                self.sock.settimeout(GIVEN_UP)
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    while self.sock.recv(65536):
                        pass
        self.sock.close()


def played(mortal: Mortal, part: Callable[[Mortal], None]) -> None:
    with contextlib.suppress(TimeoutError, EOFError, OSError):
        part(mortal)
    mortal.vanish()


class Servers:
    """Listens for the gateway; each connection is played in its own thread until it vanishes."""

    def __init__(self, chance: random.Random, part: Callable[[Mortal], None]) -> None:
        self._chance = chance
        self._part = part
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        players = []
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                mortal = Mortal(sock, random.Random(self._chance.random()), SERVER_STEPS)
                players.append(threading.Thread(target=played, args=(mortal, self._part)))
                players[-1].start()
        for player in players:
            player.join()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def stream(mortal: Mortal) -> None:
    """An XMPP server's part, once the connection is secured."""
    mortal.until(b"version='1.0'>")
    mortal.send(SERVER_HEADER + SUCCESS)
    while True:
        mortal.send(STANZA % (b"x" * mortal.chance.choice((10, 1000, 100_000))))
        if mortal.chance.random() < 0.1:
            mortal.send(mortal.chance.choice((b"</stream:stream>", b"<broken></x>", b"<stream:error/>")))
        mortal.read()


class Crowd:
    """The gateway's peers of one test, and the listeners that they use."""

    def __init__(self, certificate: Certificate, chance: random.Random) -> None:
        self.chance = chance
        self._browser = ssl.create_default_context(cafile=str(certificate.ca))
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.load_cert_chain(certificate.pem)
        self.servers = {
            "tcp": Servers(chance, stream),
            "tls": Servers(chance, self._over_tls),
            "starttls": Servers(chance, self._after_starttls),
        }
        self.holders = [ReservedPort() for _ in range(4)]

    def _over_tls(self, mortal: Mortal) -> None:
        mortal.handshake(self._server, server_side=True)
        stream(mortal)

    def _after_starttls(self, mortal: Mortal) -> None:
        mortal.until(b"version='1.0'>")
        mortal.send(SERVER_HEADER + FEATURES)
        mortal.until(b"<starttls")
        mortal.send(PROCEED)
        self._over_tls(mortal)

    def configuration(self, certificate: Certificate) -> str:
        tcp, tls, starttls = (f"{scheme}://127.0.0.1:{its.port}" for scheme, its in self.servers.items())
        over_tls = f'tls: true\n    certfile: "{certificate.pem}"'
        closed = f"tcp://127.0.0.1:{self.holders[3].number}"
        rows = (
            (f'"{tcp}"', ""),
            (f'["{closed}", "{tls}"]', "use_proxy_protocol: true\n    upstream_proxy_protocol: v2"),
            (f'"{starttls}"', over_tls),
        )
        listeners = (
            LISTENER.format(port=holder.number, upstream=upstream, more=more)
            for holder, (upstream, more) in zip(self.holders, rows, strict=False)
        )
        return "hosts: [localhost]\nworkers: 2\ndrain_timeout: 2\nlisten:\n" + "".join(listeners)

    def browser(self, number: int) -> None:
        """One browser's life."""
        chance = random.Random(f"{SEED} {number}")
        listener = chance.randrange(3)
        sock = socket.create_connection(("127.0.0.1", self.holders[listener].number), 10)
        played(Mortal(sock, chance, BROWSER_STEPS), lambda mortal: self._session(mortal, listener))

    def _session(self, mortal: Mortal, listener: int) -> None:
        if listener == 1:
            mortal.send(PROXY)
        if listener == 2:
            mortal.handshake(self._browser, server_side=False)
        framing = mortal.chance.choice(("rfc7395", "legacy"))
        mortal.send(upgrade_request())
        mortal.until(b"\r\n\r\n")
        mortal.send(frame(OPENINGS[framing]))
        if mortal.chance.random() < 0.5:
            mortal.until(b"success")
        for _ in range(mortal.chance.randrange(10)):
            mortal.send(frame(b"?", PING) + frame(STANZA % (b"x" * mortal.chance.choice((10, 5_000)))))
            if mortal.chance.random() < 0.5:
                mortal.read()
        mortal.send(
            mortal.chance.choice((frame(CLOSINGS[framing]), frame(b"", 8), frame(b"<x>"), b"\xff\xff"))
        )
        while True:
            mortal.read()

    def close(self) -> None:
        for server in self.servers.values():
            server.close()
        for holder in self.holders:
            holder.release()


@pytest.fixture
def crowd(certificate: Certificate) -> Iterator[Crowd]:
    crowd = Crowd(certificate, random.Random(SEED))
    yield crowd
    crowd.close()


@pytest.mark.slow
def test_peers_that_vanish_at_any_moment(crowd: Crowd, certificate: Certificate, tmp_path: Path) -> None:
    config = tmp_path / "wsgw.yml"
    config.write_text(crowd.configuration(certificate), "utf-8")
    argv = [sys.executable, "-m", "wsgw", "--config", str(config)]
    gateway = Child(argv + ["--user", "root"] * (os.geteuid() == 0), tmp_path / "log")
    try:
        gateway.wait_for_ports(*(holder.number for holder in crowd.holders[:3]))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(crowd.browser, range(BROWSERS)))
        assert gateway.terminate(40) == 0
    finally:
        gateway.kill()
    log = gateway.text()
    for fault in ("Traceback (most recent call last)", "fault in the gateway", " ERROR "):
        assert fault not in log, log[max(0, log.index(fault) - 500) :][:8000]
    for phase in ("no upgrade", "no connection to the XMPP server", "= closed"):
        assert phase in log, f"the log has no line of the phase: {phase}"
