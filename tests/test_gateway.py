"""The parts of one process: listeners on their sockets, new settings in a running gateway, its end."""

from __future__ import annotations

import errno
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from tests.support.certificates import Certificate
from tests.support.here import config_for, in_thread, port_of, running, wait_here
from tests.support.processes import ReservedPort
from tests.support.wire import CLOSE_7395, END, OPENINGS, Browser, XmppServer, upgrade_request
from wsgw import gateway as module
from wsgw.config import from_arguments, load
from wsgw.config.model import Config
from wsgw.config.pem import PemFiles
from wsgw.errors import ConfigError
from wsgw.gateway import Gateway, listener_url
from wsgw.net.listen_sockets import open_sockets

Write = Callable[..., Config]


@pytest.fixture
def write(tmp_path: Path, fresh_server: XmppServer) -> Write:
    """``write(listeners, hosts)``: settings from a file; ``listeners`` holds the options of each by port."""

    def write(listeners: dict[int, str], hosts: str = "localhost") -> Config:
        rows = "".join(
            f"- {{ip: 127.0.0.1, port: {port}, module: websocket_session,"
            f" upstream: 'tcp://127.0.0.1:{fresh_server.port}', {options}}}\n"
            for port, options in listeners.items()
        )
        path = tmp_path / "wsgw.yml"
        path.write_text(f"hosts: [{hosts}]\ndrain_timeout: 1\nlisten:\n{rows}", "utf-8")
        return load(path)

    return write


@pytest.fixture
def ports() -> list[int]:
    return [ReservedPort().number for _ in range(2)]


def answers(port: int) -> str:
    """The first line of the answer to a WebSocket upgrade; the error's name if no gateway listens."""

    def ask() -> str:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as sock:
                sock.sendall(upgrade_request())
                return sock.recv(65536).partition(b"\r\n")[0].decode()
        except OSError as error:
            return errno.errorcode[error.errno or 0]

    return in_thread(ask)


def refusal(port: int, domain: str) -> str:
    """The condition with which a stream to ``domain`` ends."""
    browser = in_thread(Browser, port)
    browser.text(OPENINGS["rfc7395"].replace(b"'localhost'", f"'{domain}'".encode()))
    reason: str = in_thread(browser.until_close)[2]
    browser.close()
    return reason


def apply(gateway: Gateway, config: Config) -> None:
    """New settings as a worker gets them: with the sockets of their listeners."""
    gateway.apply(config, PemFiles.of(config), open_sockets(config, gateway._sockets))


HANDLER = "request_handlers: {/ws-xmpp: mod_websocket}"
SWITCHING = "HTTP/1.1 101 Switching protocol to XMPP over WebSocket"


# -- wiring ----------------------------------------------------------------------------------------------


def test_listeners_come_in_the_order_of_the_settings(write: Write, ports: list[int]) -> None:
    with running(write(dict.fromkeys(ports, HANDLER))) as gateway:
        assert [listener.server_port for listener in gateway.listeners] == ports
        assert [answers(port) for port in ports] == [SWITCHING] * 2


def test_nothing_is_accepted_before_the_start_and_after_the_end(fresh_server: XmppServer) -> None:
    gateway = Gateway.alone(config_for(fresh_server.port))
    port = port_of(gateway)
    early = in_thread(socket.create_connection, ("127.0.0.1", port))
    gevent.sleep(0.05)
    assert gateway.supervisor.accept_share.connections == 0
    gateway.start()
    wait_here(lambda: gateway.supervisor.accept_share.connections, "connection that has waited")
    early.close()
    gateway.stop()
    assert gateway.listeners == []
    assert answers(port) == "ECONNREFUSED"


# -- new settings ----------------------------------------------------------------------------------------


def test_new_settings_are_for_new_connections(
    write: Write, ports: list[int], fresh_server: XmppServer
) -> None:
    """A session continues at its listener, even if that is removed."""
    old, new = ports
    with running(write({old: HANDLER}, "localhost")) as gateway:
        browser = in_thread(Browser, old)
        browser.text(OPENINGS["rfc7395"])
        connection = in_thread(fresh_server.accept_stream)
        apply(gateway, write({new: HANDLER}, "other.example"))
        assert gateway.config.hosts == ("other.example",)
        assert (answers(old), answers(new)) == ("ECONNREFUSED", SWITCHING)
        assert refusal(new, "localhost") == "host-unknown"
        browser.text(CLOSE_7395)
        assert in_thread(connection.read_until, END)
        connection.send(END)
        assert in_thread(browser.until_close)[1] == 1000


def test_a_listener_that_stays_keeps_its_socket_and_takes_its_new_options(
    write: Write, ports: list[int]
) -> None:
    kept, new = ports
    with running(write({kept: HANDLER})) as gateway:
        (before,) = gateway.listeners
        apply(gateway, write({kept: "request_handlers: {/new: mod_websocket}", new: HANDLER}))
        assert gateway.listeners[0].socket is before.socket
        assert answers(kept).startswith("HTTP/1.1 404 ")
        assert answers(new) == SWITCHING


def test_settings_with_an_unusable_certificate_change_nothing(
    write: Write, ports: list[int], certificate: Certificate, tmp_path: Path
) -> None:
    port, other = ports
    pem = tmp_path / "both.pem"
    pem.write_bytes(certificate.pem.read_bytes())
    with running(write({port: HANDLER})) as gateway:
        before = gateway.listeners
        config = write({port: HANDLER, other: f"{HANDLER}, tls: true, certfile: '{pem}'"}, "other.example")
        pem.write_bytes(certificate.chain.read_bytes() + certificate.ca.with_name("ca.key").read_bytes())
        with pytest.raises(ConfigError, match="certfile"):
            apply(gateway, config)
        assert gateway.listeners == before
        assert gateway.config.hosts == ("localhost",)
        assert answers(port) == SWITCHING


# -- the end ---------------------------------------------------------------------------------------------


def test_a_gateway_that_leaves_serves_its_sessions_and_frees_its_ports(
    write: Write, ports: list[int], fresh_server: XmppServer
) -> None:
    port, _ = ports
    with running(write({port: HANDLER})) as gateway:
        browser = in_thread(Browser, port)
        browser.text(OPENINGS["rfc7395"])
        connection = in_thread(fresh_server.accept_stream)
        retired = gevent.spawn(gateway.retire)
        wait_here(lambda: not gateway.listeners, "leave")
        assert answers(port) == "ECONNREFUSED"
        assert not retired.ready()
        connection.send(END)
        assert in_thread(browser.until_close)[1] == 1000
        browser.close()
        connection.close()
        retired.get(timeout=10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_a_gateway_that_serves_forever(
    write: Write, ports: list[int], fresh_server: XmppServer, number: signal.Signals
) -> None:
    port, _ = ports
    gateway = Gateway.alone(write({port: HANDLER}))
    serving = gevent.spawn(gateway.serve_forever, lambda: os.kill(os.getpid(), number))
    serving.get(timeout=10)
    assert gateway.supervisor.draining
    assert answers(port) == "ECONNREFUSED"


def test_a_second_signal_ends_the_gateway_at_once(gateway_that_stops: Gateway) -> None:
    with pytest.raises(SystemExit):
        gateway_that_stops._signalled()


@pytest.fixture
def gateway_that_stops(fresh_server: XmppServer) -> Iterator[Gateway]:
    with running(config_for(fresh_server.port)) as gateway:
        gateway._signalled()
        yield gateway


# -- the lines of the log -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listen", "url"),
    [("127.0.0.1:5288", "ws://127.0.0.1:5288/ws-xmpp"), ("[::1]:5288", "ws://[::1]:5288/ws-xmpp")],
)
def test_the_url_of_a_listener_is_that_for_clients(listen: str, url: str) -> None:
    (listener,) = from_arguments(listen, ["localhost"], ["tcp://127.0.0.1:1"]).listeners
    assert listener_url(listener) == url


def test_an_uncaught_fault_is_logged_with_its_traceback(
    fresh_server: XmppServer, caplog: pytest.LogCaptureFixture
) -> None:
    """But a listener that may not accept tries again, and logs only the reason."""
    with running(config_for(fresh_server.port)) as gateway:
        (listener,) = gateway.listeners
        for context, fault in (
            (listener, OSError(errno.EMFILE, "Too many open files")),
            (None, ValueError()),
        ):
            module._log_unhandled(context, type(fault), fault, None)
    accepting, other = caplog.records
    assert accepting.getMessage().endswith(": Too many open files")
    assert accepting.exc_info is None
    assert other.exc_info is not None


def client_hello(name: str) -> bytes:
    sent = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name).do_handshake()
    return sent.read()


def answer_to(server: ssl.SSLContext, hello: bytes) -> None:
    received = ssl.MemoryBIO()
    received.write(hello)
    server.wrap_bio(received, ssl.MemoryBIO(), server_side=True).do_handshake()


def test_a_server_name_that_is_not_ascii_is_no_fault(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Any client can send one; its handshake fails. Other exceptions in callbacks of C code are logged."""
    monkeypatch.setattr(sys, "unraisablehook", module._log_unraisable)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate.pem)
    server.sni_callback = lambda *_: None
    hello = client_hello("abc")
    with pytest.raises(ssl.SSLError, match="CALLBACK_FAILED"):
        answer_to(server, hello.replace(b"\0\3abc", b"\0\3\xff\xfe\xfd"))
    assert caplog.records == []
    server.sni_callback = lambda *_: 1 // 0
    with pytest.raises(ssl.SSLError):
        answer_to(server, hello)
    assert [record.getMessage() for record in caplog.records] == ["fault in the gateway"]
