"""The check of the XMPP servers at the start, and its message about one that cannot be used."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.certificates import Certificate
from tests.support.fixtures import Make
from tests.support.gateway import Gateway
from tests.support.processes import ReservedPort, run_wsgw, wait_until
from tests.support.servers import Server
from tests.support.wire import END, OPENINGS, SECONDS, SERVER_HEADER, Browser, XmppServer, frame
from tests.upstream.scripted import PLAIN, STARTTLS, Hello, dropping, negotiate, secured, server_context
from wsgw.config import from_arguments, load
from wsgw.config.model import Config
from wsgw.config.pem import PemFiles
from wsgw.upstream.check import _RunningCheck, check_upstreams, checks_of
from wsgw.upstream.connect import NoStartTls, OtherCertificate

UNKNOWN_HOST = (
    b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>" + END
)
NEEDLESS = (
    b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
    b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></stream:features>"
)
WITHOUT_MECHANISMS = NEEDLESS.replace(b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", b"")
PORT_FOR_CLIENTS = "name the port for XMPP clients"


def config_of(*upstream: str, timeout: float = SECONDS, **settings: object) -> Config:
    config = from_arguments("127.0.0.1:5288", ["localhost"], upstream)
    listener = replace(config.listeners[0], connect_timeout=timeout, **settings)  # type: ignore[arg-type]
    return replace(config, listeners=(listener,))


def answers(*upstream: str, timeout: float = SECONDS, **settings: object) -> list[str]:
    """The problem, without its place."""
    config = config_of(*upstream, timeout=timeout, **settings)
    return [problem.reason for problem in check_upstreams(config, PemFiles.of(config))]


@contextlib.contextmanager
def playing(server: XmppServer, *parts: Callable[[], object]) -> Iterator[None]:
    """The server plays its parts in a thread, one connection after the other; its failure fails the test."""
    faults: list[BaseException] = []

    def play() -> None:
        try:
            for part in parts:
                part()
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not faults, faults


def part(server: XmppServer, said: bytes, *, ended: bool = True) -> Callable[[], None]:
    """Answer a header so; the check ends its stream in order, if ``ended``."""

    def play() -> None:
        connection = server.accept()
        assert b"to='localhost'" in connection.read_until(b"version='1.0'>")
        connection.send(said)
        if not said:
            connection.fin()
        heard = connection.read_to_end()
        assert heard == (END if ended else b"")
        connection.close()

    return play


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (SERVER_HEADER + PLAIN, ""),
        (SERVER_HEADER + NEEDLESS, ""),
        (SERVER_HEADER + STARTTLS, "requires STARTTLS: write it as starttls://127.0.0.1:{port}"),
        (SERVER_HEADER + WITHOUT_MECHANISMS, "requires STARTTLS: write it as starttls://127.0.0.1:{port}"),
        (
            SERVER_HEADER + UNKNOWN_HOST,
            "refuses the stream to localhost: host-unknown: hosts must name a domain that the XMPP server",
        ),
        (
            SERVER_HEADER + UNKNOWN_HOST.replace(b"host-unknown", b"not-well-formed"),
            "refuses the stream to localhost: not-well-formed: the XMPP server's log has the reason",
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            f"does not speak XMPP (the server does not speak XML): {PORT_FOR_CLIENTS}",
        ),
        (
            SERVER_HEADER + b"<stream:features><a xmlns='%s'/></stream:features>" % (b"u" * 5000),
            f"does not speak XMPP (a namespace above 1024 characters in an element of a login):"
            f" {PORT_FOR_CLIENTS}",
        ),
        (b"", f"ends the connection without an answer: {PORT_FOR_CLIENTS}"),
        (SERVER_HEADER + END, f"ends the connection without an answer: {PORT_FOR_CLIENTS}"),
    ],
    ids=[
        "good",
        "optional",
        "starttls",
        "no mechanisms",
        "host",
        "error",
        "http",
        "costly",
        "nothing",
        "end",
    ],
)
def test_an_answer_that_makes_a_server_unusable_is_reported(
    xmpp_server: XmppServer, said: bytes, reason: str
) -> None:
    ended = said not in (b"", SERVER_HEADER + END) and not said.startswith(b"HTTP")
    play = part(xmpp_server, said, ended=ended or said.startswith(b"HTTP"))
    with playing(xmpp_server, play):
        found = answers(f"tcp://127.0.0.1:{xmpp_server.port}")
    if not reason:
        assert found == []
        return
    (only,) = found
    assert only.startswith(
        f"upstream tcp://127.0.0.1:{xmpp_server.port} {reason.format(port=xmpp_server.port)}"
    )


def test_a_silent_server_is_reported(xmpp_server: XmppServer) -> None:
    """Such as one that expects a PROXY header, or TLS at once."""
    (reason,) = answers(f"tcp://127.0.0.1:{xmpp_server.port}", timeout=0.2)
    assert "accepts connections but does not answer a stream header within 0.2 s: name the port" in reason
    assert "tls://HOST:PORT" in reason
    assert "upstream_proxy_protocol" in reason
    xmpp_server.accept().close()


@pytest.mark.slow
def test_a_server_without_features_is_reported(xmpp_server: XmppServer) -> None:
    """Such as one with another kind of stream."""

    def play() -> None:
        connection = xmpp_server.accept()
        connection.send(SERVER_HEADER)
        connection.read_to_end()
        connection.close()

    with playing(xmpp_server, play):
        (reason,) = answers(f"tcp://127.0.0.1:{xmpp_server.port}", timeout=3)
    assert f"answers with a stream header but sends no features within 3 s: {PORT_FOR_CLIENTS}" in reason


def test_a_server_that_resets_the_connection_is_reported(xmpp_server: XmppServer) -> None:
    """Such as one that expects TLS from the first byte."""

    def play() -> None:
        connection = xmpp_server.accept()
        connection.read_until(b"version='1.0'>")
        connection.reset()

    with playing(xmpp_server, play):
        (reason,) = answers(f"tcp://127.0.0.1:{xmpp_server.port}")
    assert f"resets the connection: Connection reset by peer: {PORT_FOR_CLIENTS}" in reason
    assert "write tls://HOST:PORT if it has TLS from the first byte" in reason


def test_a_server_whose_packets_are_lost_is_reported() -> None:
    with dropping() as port:
        (reason,) = answers(f"tcp://127.0.0.1:{port}", timeout=0.2)
    assert reason.startswith(f"upstream tcp://127.0.0.1:{port} does not answer within 0.2 s: ")


def test_all_servers_are_checked_at_the_same_time_and_each_once(xmpp_server: XmppServer) -> None:
    """Two silent servers take no longer than one; another listener causes no other check."""
    with dropping() as port:
        config = config_of(*(f"tcp://127.0.0.{n}:{port}" for n in range(1, 4)), timeout=0.3)
        config = replace(config, listeners=config.listeners * 2)
        assert len(checks_of(config)) == 3
        found = [problem.reason for problem in check_upstreams(config, PemFiles())]
    assert len(found) == 3
    assert "does not answer within 0.3 s" in found[0]
    assert all("refused" in reason or "does not answer" in reason for reason in found[1:])


# -- servers that cannot be connected to ----------------------------------------------------------


def test_a_port_without_a_server_is_reported() -> None:
    port = ReservedPort()
    (reason,) = answers(f"tcp://127.0.0.1:{port.number}")
    assert reason == (
        f"upstream tcp://127.0.0.1:{port.number} cannot be used: Connection refused: "
        "start the XMPP server, or name the port it listens on"
    )
    port.release()


def test_an_unusable_unix_socket_is_reported(tmp_path: Path) -> None:
    (reason,) = answers(f"unix:{tmp_path}/none")
    assert reason.endswith("No such file or directory: start the XMPP server, or correct the path")
    left = tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(left))
    (reason,) = answers(f"unix:{left}")
    assert reason.endswith(
        "Connection refused: start the XMPP server: the socket belongs to a stopped server"
    )


@pytest.mark.root
def test_a_unix_socket_without_permission_is_reported(open_directory: Path) -> None:
    path = open_directory / "closed"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        path.chmod(0o700)
        os.seteuid(65534)
        try:
            (reason,) = answers(f"unix:{path}")
        finally:
            os.seteuid(0)
    assert "Permission denied: let the account nobody enter its directories and write to the socket" in reason


@pytest.fixture
def open_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that other accounts may enter."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def test_a_name_that_does_not_resolve_is_reported() -> None:
    (reason,) = answers("tcp://no-such-host.invalid:5222", timeout=20)
    assert "cannot be used: " in reason or "does not answer" in reason
    if "cannot be used" in reason:
        assert reason.endswith(
            "correct the name no-such-host.invalid, or the name servers in /etc/resolv.conf"
        )


def test_srv_without_an_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsgw.net.srv._records", lambda domain, timeout: [])
    (reason,) = answers("srv:no-such-domain.invalid", timeout=20)
    assert "starttls://no-such-domain.invalid:5222, tried because there are no SRV records: " in reason


def test_srv_without_a_server_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(domain: str, timeout: float) -> list[object]:
        raise OSError("its SRV records say that it has no server for clients")

    monkeypatch.setattr("wsgw.net.srv.look_up", refuse)
    assert answers("srv:example.org") == [
        "upstream srv:example.org cannot be used: its SRV records say that it has no server for clients: "
        "name its server with tcp://, starttls:// or tls://"
    ]


# -- TLS ------------------------------------------------------------------------------------------


def tls_part(
    server: XmppServer, certificate: Certificate, scheme: str, said: bytes = b""
) -> Callable[[], None]:
    """Accept a connection with TLS, as far as the client goes; then answer a header, if one comes."""

    def play() -> None:
        connection = negotiate(server) if scheme == "starttls" else server.accept()
        with contextlib.suppress(OSError, EOFError):
            connection = secured(connection, server_context(certificate, Hello()))
            if said:
                connection.read_until(b"version='1.0'>")
                connection.send(said)
            connection.read_to_end()
        connection.close()

    return play


@pytest.mark.parametrize("scheme", ["starttls", "tls"])
def test_a_server_with_good_tls_is_usable(xmpp_server: XmppServer, make: Make, scheme: str) -> None:
    good = make("localhost")
    with playing(xmpp_server, tls_part(xmpp_server, good, scheme, SERVER_HEADER + PLAIN)):
        assert answers(f"{scheme}://127.0.0.1:{xmpp_server.port}", upstream_cafile=good.ca) == []


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("other.example", {}, "it names other.example: get a certificate for localhost"),
        (
            "localhost",
            {"alternative": False},
            "it has the Common Name localhost and no subjectAltName: get a certificate for localhost",
        ),
        ("localhost", {"days": "0"}, "renew it at the XMPP server, or set the clock of this machine"),
    ],
    ids=["name", "common name", "expired"],
)
def test_a_refused_certificate_is_reported(
    xmpp_server: XmppServer,
    make: Make,
    name: str,
    settings: dict[str, object],
    reason: str,
) -> None:
    bad = make(name, **settings)
    play = tls_part(xmpp_server, bad, "tls")
    with playing(xmpp_server, *([play] if "days" in settings else [play, play])):
        (found,) = answers(f"tls://127.0.0.1:{xmpp_server.port}", upstream_cafile=bad.ca)
    assert "certificate verify failed" in found
    assert found.endswith(reason)


def test_a_certificate_of_an_unknown_authority_is_reported(xmpp_server: XmppServer, make: Make) -> None:
    with playing(xmpp_server, tls_part(xmpp_server, make("localhost"), "tls")):
        (found,) = answers(f"tls://127.0.0.1:{xmpp_server.port}")
    assert found.endswith("name the authority with upstream_cafile, or the certificate itself in certfiles")


def test_a_server_without_the_required_tls_is_reported(xmpp_server: XmppServer) -> None:
    def answer_in_clear() -> None:
        connection = xmpp_server.accept()
        connection.send(SERVER_HEADER + PLAIN)
        connection.read_to_end()
        connection.close()

    with playing(xmpp_server, answer_in_clear):
        (found,) = answers(f"tls://127.0.0.1:{xmpp_server.port}")
    assert found.endswith("if it has no such TLS write starttls:// or, on loopback, tcp://")
    with playing(xmpp_server, part(xmpp_server, SERVER_HEADER + PLAIN, ended=False)):
        (found,) = answers(f"starttls://127.0.0.1:{xmpp_server.port}")
    assert "the server does not offer STARTTLS: write it as tls://HOST:PORT if it has" in found


# -- where it is reported -------------------------------------------------------------------------

FILE = """\
{{hosts, ["localhost"]}}.
{{listen, [
  {{{c2s}, ejabberd_c2s, [inet6]}},
  {{{{5288, "127.0.0.1"}}, websocket_session, []}},
  {{{{5289, "127.0.0.1"}}, websocket_session, [
    {{upstream, ["tcp://127.0.0.1:{c2s}", "unix:{folder}/none"]}}
  ]}}
]}}.
"""


def test_a_report_names_the_lines_of_its_listeners(tmp_path: Path) -> None:
    """Of the addresses of a c2s listener one usable is enough; listed addresses are checked one by one."""
    port = ReservedPort()
    path = tmp_path / "ejabberd.cfg"
    path.write_text(FILE.format(c2s=port.number, folder=tmp_path))
    found = [str(problem) for problem in check_upstreams(load(path), PemFiles())]
    assert [line.split(" upstream ")[0] for line in found] == [f"{path}:3:", f"{path}:6:", f"{path}:6:"]
    assert (
        f"upstream tcp://127.0.0.1:{port.number}, tcp://[::1]:{port.number} cannot be used: tcp://127"
        in found[0]
    )
    port.release()


@pytest.fixture
def start(certificate: Certificate, tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    running: list[Gateway] = []

    def begin(port: int, **settings: object) -> Gateway:
        gateway = Gateway(tmp_path / str(len(running)), certificate, port, **settings)  # type: ignore[arg-type]
        running.append(gateway)
        return gateway.start()

    yield begin
    for gateway in running:
        gateway.close()


def test_one_worker_checks_once_and_the_start_does_not_wait(
    start: Callable[..., Gateway], xmpp_server: XmppServer
) -> None:
    gateway = start(xmpp_server.port, asks=True)
    question = xmpp_server.accept()
    browser = Browser(gateway.ws_port, first=frame(OPENINGS["rfc7395"]))
    assert browser.head.startswith("HTTP/1.1 101 "), "it serves while the server has not answered"
    session = xmpp_server.accept_stream()
    assert browser.message().startswith(b"<open "), "two workers and two listeners make one check"
    question.read_until(b"version='1.0'>")
    question.send(SERVER_HEADER + STARTTLS)
    assert question.read_to_end() == END
    warning = (
        rf"WARNING .*{gateway.config}:\d+: upstream tcp://127.0.0.1:{xmpp_server.port} requires STARTTLS"
    )
    wait_until(lambda: re.search(warning, gateway.child.text()) is not None, SECONDS, "the warning")
    for connection in (question, session, browser):
        connection.close()


def test_a_reload_checks_new_upstreams(start: Callable[..., Gateway], xmpp_server: XmppServer) -> None:
    gateway = start(xmpp_server.port, asks=True)
    part(xmpp_server, SERVER_HEADER + PLAIN)()
    answers = f"upstream tcp://127.0.0.1:{xmpp_server.port} answers"
    wait_until(lambda: answers in gateway.child.text(), SECONDS, "the line about the server that answers")
    reload(gateway, gateway.config.read_text() + "{websocket_timeout, 200}.\n")
    nobody = ReservedPort()
    reload(gateway, gateway.config.read_text().replace(f"{{{xmpp_server.port}, ", f"{{{nobody.number}, "))
    warning = f"upstream tcp://127.0.0.1:{nobody.number} cannot be used: Connection refused"
    wait_until(lambda: warning in gateway.child.text(), SECONDS, "the warning")
    nobody.release()
    stranger_comes_first(xmpp_server)


def reload(gateway: Gateway, text: str) -> None:
    """Reload the gateway with ``text``; it has two listeners."""
    wanted = gateway.child.text().count(" listens on ") + 2
    gateway.config.write_text(text)
    gateway.child.signal(signal.SIGHUP)
    wait_until(lambda: gateway.child.text().count(" listens on ") == wanted, SECONDS, "the reload")


def stranger_comes_first(server: XmppServer) -> None:
    """No client has connected to the server meanwhile."""
    with socket.create_connection(("127.0.0.1", server.port), SECONDS) as client:
        first = server.accept()
        assert first.socket.getpeername() == client.getsockname()
        first.close()


@pytest.mark.slow
def test_wsgw_check_connects_and_with_offline_does_not(xmpp_server: XmppServer) -> None:
    command = ["check", "--listen", "127.0.0.1:5288", "--domain", "localhost"]
    command += ["--upstream", f"tcp://127.0.0.1:{xmpp_server.port}"]

    def run(*more: str) -> tuple[int, str]:
        done = run_wsgw(*command, *more)
        return done.returncode, done.stderr

    with playing(xmpp_server, part(xmpp_server, SERVER_HEADER + STARTTLS)):
        status, said = run()
    assert status == 0, "only a warning"
    assert (
        f"warning: --upstream: upstream tcp://127.0.0.1:{xmpp_server.port} requires STARTTLS: write it as"
        in said
    )
    assert run("--offline") == (0, "")
    stranger_comes_first(xmpp_server)


@pytest.mark.parametrize("name", ["demo", "ejabberd", "prosody"])
def test_a_real_server_is_usable(start_server: Callable[[str], Server], name: str) -> None:
    assert answers(f"tcp://127.0.0.1:{start_server(name).c2s_port}") == []


@pytest.mark.parametrize("name", ["ejabberd", "prosody"])
def test_a_real_server_without_the_host_is_reported(start_server: Callable[[str], Server], name: str) -> None:
    config = config_of(f"tcp://127.0.0.1:{start_server(name).c2s_port}")
    (problem,) = check_upstreams(replace(config, hosts=("unknown.example",)), PemFiles())
    assert "refuses the stream to unknown.example: host-unknown: hosts must name" in problem.reason


@pytest.mark.parametrize(
    ("kind", "code", "way_out"),
    [
        (NoStartTls, 0, "write it as tls://HOST:PORT if it has TLS"),
        (OtherCertificate, 0, "name its current certificate in certfiles"),
        (ssl.SSLCertVerificationError, 10, "renew it at the XMPP server"),
        (ssl.SSLCertVerificationError, 18, "name the authority with upstream_cafile"),
    ],
)
def test_the_text_of_an_error_does_not_change_the_advice(
    kind: type[OSError], code: int, way_out: str
) -> None:
    error = kind.__new__(kind, 0, "other words")
    setattr(error, "verify_code", code)  # noqa: B010 - OpenSSL's errors have it
    config = config_of("tls://127.0.0.1:1")
    (listener,) = config.listeners
    check = _RunningCheck(listener, PemFiles(), "localhost", config.nowhere)
    assert check._advice(listener.upstream[0], error).startswith(way_out)
