"""SIGHUP: new settings for new connections; existing sessions are not disturbed."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes.conftest import Start
from tests.processes.gate import Gate
from tests.support.certificates import Certificate, make_certificate
from tests.support.gateway import Gateway
from tests.support.observe import PATIENCE, count, held, listening, reload, said, without_descriptors
from tests.support.processes import Child, ReservedPort, accepts, wait_until
from tests.support.traffic import Traffic, assert_whole
from tests.support.wire import OPENINGS, SECONDS, Browser, frame, upgrade_request
from wsgw.ops.state import StateFile

pytestmark = pytest.mark.slow


def change(gateway: Gateway, old: str, new: str, count: int = -1) -> None:
    """Edit the configuration, and reload it."""
    text = gateway.config.read_text()
    assert old in text
    gateway.config.write_text(text.replace(old, new, count))
    reload(gateway)


def status_line(port: int, headers: tuple[str, ...] = ()) -> bytes:
    """The status of the answer to a WebSocket upgrade."""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as sock:
        sock.sendall(upgrade_request(headers=headers))
        return sock.recv(4096).split(b"\r\n")[0]


def shown_certificate(port: int, name: str | None = None) -> bytes:
    """The certificate that a client gets that asks for ``name``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", port), SECONDS)
    with context.wrap_socket(plain, server_hostname=name) as tls:
        certificate = tls.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


def test_reloads_under_traffic_disturb_no_session(
    start: Start, traffic: Traffic, certificate: Certificate, tmp_path: Path
) -> None:
    """A new certificate, then a new limit, then a file with an error: no stanza is lost."""
    pem = tmp_path / "served.pem"
    pem.write_bytes(certificate.pem.read_bytes())
    gateway = start(traffic.port)
    change(gateway, str(certificate.pem), str(pem))
    books = traffic.begin(gateway.ws_port, 30, 0.05)
    books += traffic.begin(gateway.wss_port, 10, 0.05, secure=True)
    traffic.attempt(gateway.ws_port)
    first = shown_certificate(gateway.wss_port)
    pem.write_bytes(make_certificate(tmp_path / "renewed").pem.read_bytes())
    assert shown_certificate(gateway.wss_port) == first, "a changed file alone changes nothing at once"
    reload(gateway)
    wait_until(lambda: shown_certificate(gateway.wss_port) != first, PATIENCE, "the new certificate")
    traffic.moves(books)
    change(gateway, "{ip, {127,0,0,1}},", '{websocket_origin, ["https://good.example"]}, {ip, {127,0,0,1}},')
    evil = ("Origin: https://evil.example",)
    wait_until(lambda: b" 403 " in status_line(gateway.ws_port, evil), PATIENCE, "the new limit")
    traffic.moves(books)
    change(gateway, "{hosts, ", "{hosts ")
    said(gateway, "nothing has changed")
    assert b" 403 " in status_line(gateway.ws_port, evil)
    traffic.moves(books)
    traffic.finish()
    assert_whole(books)
    assert set(traffic.attempts) == {"101"}, traffic.attempts
    assert gateway.stop() == 0
    gateway.assert_clean_log({})


def test_a_reload_adds_a_name_and_disturbs_no_session(
    start: Start, traffic: Traffic, certificate: Certificate, tmp_path: Path
) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "0.pem").write_bytes(certificate.pem.read_bytes())
    gateway = start(traffic.port, top_level=f'{{certfiles, ["{folder}/*.pem"]}}.\n')
    change(gateway, f',\n    {{certfile, "{certificate.pem}"}}', "")
    books = traffic.begin(gateway.wss_port, 10, 0.05, secure=True)
    added = make_certificate(tmp_path / "added", "*.chat.localhost")
    for name, source in (("1.crt.pem", added.chain), ("1.key.pem", added.key)):
        (folder / name).write_bytes(source.read_bytes())
    default = shown_certificate(gateway.wss_port, "a.chat.localhost")
    reload(gateway)
    expected = ssl.PEM_cert_to_DER_cert(added.chain.read_text())
    wait_until(
        lambda: shown_certificate(gateway.wss_port, "a.chat.localhost") == expected, PATIENCE, "the new name"
    )
    for other in (None, "localhost", "b.a.chat.localhost"):
        assert shown_certificate(gateway.wss_port, other) == default
    traffic.moves(books)
    traffic.finish()
    assert_whole(books)
    assert gateway.stop() == 0
    gateway.assert_clean_log({})


def test_an_error_is_logged_with_its_line(start: Start) -> None:
    gateway = start(1)
    gateway.config.write_text(gateway.config.read_text().replace("{backlog", "{max_sesions, 5}, {backlog"))
    change(gateway, "{ip, {127,0,0,1}},", "{max_sesions, 5}, {tls, maybe}, {ip, {127,0,0,1}},")
    text = gateway.child.text()
    assert f"{gateway.config}:" in text
    assert "unknown option max_sesions; did you mean max_sessions?" in text
    assert "tls: expected true or false" in text
    assert b" 101 " in status_line(gateway.ws_port)


@pytest.mark.parametrize("first", ["removed", "kept"])
def test_a_reload_changes_the_hosts(start: Start, traffic: Traffic, first: str) -> None:
    """A host that is no longer served keeps its sessions; new streams to it are refused."""
    gateway = start(traffic.port)
    books = traffic.begin(gateway.ws_port, 4)
    new = '"example.org"' if first == "removed" else '"localhost", "example.org"'
    change(gateway, '{hosts, ["localhost"]}', f"{{hosts, [{new}]}}")

    def serves(host: str) -> bool:
        opening = OPENINGS["rfc7395"].replace(b"'localhost'", f"'{host}'".encode())
        browser = Browser(gateway.ws_port, first=frame(opening))
        assert browser.message().startswith(b"<open ")
        answer = browser.message()
        browser.close()
        assert b"host-unknown" in answer or b"features" in answer
        return b"features" in answer

    wait_until(lambda: serves("example.org"), PATIENCE, "the new host")
    wait_until(lambda: serves("localhost") is (first == "kept"), PATIENCE, "the old host")
    traffic.moves(books)
    traffic.finish()
    assert_whole(books)
    assert gateway.stop() == 0
    gateway.assert_clean_log({})


def test_a_reload_adds_and_removes_listeners(start: Start, traffic: Traffic) -> None:
    """A removed listener keeps its sessions, and may be added again."""
    gateway = start(traffic.port)
    books = traffic.begin(gateway.wss_port, 4, secure=True)
    extra = ReservedPort()
    whole = gateway.config.read_text()
    change(gateway, f"{{{gateway.wss_port}, websocket_session", f"{{{extra.number}, websocket_session")
    wait_until(lambda: not accepts(gateway.wss_port), PATIENCE, "the port to close")
    assert accepts(extra.number)
    traffic.moves(books)
    more = traffic.begin(extra.number, 4, secure=True)
    gateway.config.write_text(whole)
    reload(gateway)
    wait_until(lambda: not accepts(extra.number), PATIENCE, "the port to close")
    again = traffic.begin(gateway.wss_port, 4, secure=True)
    traffic.finish()
    assert_whole(books + more + again)
    extra.release()


def test_a_reload_with_a_port_in_use_changes_nothing(start: Start) -> None:
    gateway = start(1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        change(gateway, f"{{{gateway.wss_port}, websocket_session", f"{{{taken}, websocket_session")
        said(gateway, f"cannot listen on 127.0.0.1 port {taken}: Address already in use")
    assert accepts(gateway.wss_port)


def test_a_reload_changes_versions_and_ciphers(
    start: Start, certificate: Certificate, tmp_path: Path
) -> None:
    """Wrong ciphers change nothing; a renewed certificate keeps both options."""
    gateway = start(1)
    cipher, other = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"
    change(gateway, "{tls, true},", f'{{tls, true}}, {{ciphers, "{cipher}"}},')
    wait_until(lambda: f"Cipher is {cipher}" in negotiated(gateway, "-tls1_2"), PATIENCE, "the cipher")
    assert "Cipher is (NONE)" in negotiated(gateway, "-tls1_2", "-cipher", other)
    change(gateway, cipher, "nonsense")
    said(gateway, "OpenSSL has no cipher of TLS 1.2 for 'nonsense'")
    assert f"Cipher is {cipher}" in negotiated(gateway, "-tls1_2")
    restricted = f'{cipher}"}}, {{protocol_options, ["no_sslv3", "no_tlsv1_2"]'
    renewed = make_certificate(tmp_path / "renewed")
    gateway.config.write_text(gateway.config.read_text().replace('nonsense"', restricted))
    change(gateway, str(certificate.pem), str(renewed.pem))
    wait_until(lambda: "Cipher is (NONE)" in negotiated(gateway, "-tls1_2"), PATIENCE, "the version")
    assert "New, TLSv1.3" in negotiated(gateway)
    assert gateway.stop() == 0


def negotiated(gateway: Gateway, *options: str) -> str:
    """The report of ``openssl s_client`` about a handshake."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.wss_port}", *options]
    return subprocess.run(command, input="", capture_output=True, text=True, timeout=30, check=False).stdout


def test_a_reload_to_another_address_of_a_port_in_use_changes_nothing(start: Start) -> None:
    """The kernel does not open it next to the old address, and wsgw does not close the old one first."""
    gateway = start(1)
    change(gateway, "{ip, {127,0,0,1}}", "{ip, {0,0,0,0}}")
    port = gateway.ws_port
    said(gateway, f"Address already in use by this gateway itself, on 127.0.0.1:{port}; another ip of a port")
    assert accepts(port)


def test_a_reload_with_too_many_new_listeners_is_refused(start: Start) -> None:
    """Running workers get all new listeners in one message; the kernel limits their number."""
    gateway = start(1)
    one = "{0, wsgw_admin, []},\n"
    change(gateway, "{listen, [", "{listen, [" + 250 * one)
    said(gateway, "more than 249 listeners")
    said(gateway, "nothing has changed")
    assert b" 101 " in status_line(gateway.ws_port)
    change(gateway, 250 * one, one)
    assert count(gateway, "nothing has changed") == 1
    assert gateway.stop() == 0


def test_a_worker_without_free_descriptors_keeps_its_settings(start: Start, traffic: Traffic) -> None:
    """It loses settings that come with descriptors, but gets the messages after them."""
    gateway = start(traffic.port, ws_options="{workers, 1}, ")
    books = traffic.begin(gateway.ws_port, 4)
    hosts = ", ".join(f'"host-{number}.example"' for number in range(9000))
    with without_descriptors(gateway.workers[0]):
        change(gateway, '{hosts, ["localhost"]}', f'{{hosts, ["localhost", {hosts}]}}')
        said(gateway, "worker 0 keeps its previous settings: .*ejabberd.cfg: Too many open files")
    traffic.moves(books)
    assert gateway.stop() == 0
    traffic.over(books)
    assert [book.code for book in books] == [1012] * 4, "it got the drain message"
    gateway.assert_clean_log({})


@pytest.mark.parametrize("what", ["rule", "port"])
def test_a_handshake_ends_by_the_settings_with_which_it_began(start: Start, what: str) -> None:
    """Also if its listener was removed."""
    free = ReservedPort()
    gateway = start(1, ws_options='{websocket_origin, ["https://good.example"]}, ')
    request = upgrade_request(headers=("Origin: https://good.example",))
    with socket.create_connection(("127.0.0.1", gateway.ws_port), SECONDS) as sock:
        sock.sendall(request[:-2])
        wait_until(lambda: sum(held(gateway, gateway.ws_port)) == 1, PATIENCE, "it to be accepted")
        port = gateway.ws_port
        if what == "port":
            port = free.number
            text = gateway.config.read_text()
            gateway.config.write_text(text.replace(f"{{{gateway.ws_port}, ", f"{{{port}, "))
        change(gateway, "https://good.example", "https://other.example")
        good = ("Origin: https://good.example",)
        wait_until(lambda: b" 403 " in status_line(port, good), PATIENCE, "the new rule")
        wait_until(lambda: accepts(gateway.ws_port) is (what == "rule"), PATIENCE, "the port to close")
        sock.sendall(request[-2:])
        assert b" 101 " in sock.recv(4096)
    free.release()


def test_a_reload_during_the_start_is_done_after_it(tmp_path: Path) -> None:
    """A change made after the file was read is not lost."""
    port = ReservedPort()
    config = tmp_path / "wsgw.yml"
    config.write_text(
        f"hosts: [before.example]\nlisten: [{{port: {port.number}, ip: 127.0.0.1, module: websocket_session,"
        " upstream: 'tcp://127.0.0.1:1', request_handlers: {/ws: mod_websocket}}]\n"
    )
    gate = Gate(config)
    gateway = Child([sys.executable, "-m", "wsgw", "--config", str(config)], tmp_path / "log")
    try:
        gate.wait()
        config.write_text(config.read_text().replace("before", "after"))
        gateway.signal(signal.SIGHUP)
        assert not accepts(port.number), "the gateway does not serve yet"
        gate.open()
        wait_until(lambda: "hosts after.example" in gateway.text(), PATIENCE, "the reload")
        assert "hosts before.example" in gateway.text()
        assert "reading the configuration again" in gateway.text()
    finally:
        gateway.terminate()
        port.release()


def test_a_reload_changes_the_number_of_workers(start: Start, traffic: Traffic) -> None:
    gateway = start(traffic.port)
    books = traffic.begin(gateway.ws_port, 8)
    change(gateway, "{workers, 2}", "{workers, 3}")
    said(gateway, "worker 2 .* serves")
    for _ in range(12):  # on a busy machine its turn may come late
        books += traffic.begin(gateway.ws_port, 1)
        if min(before := held(gateway, gateway.ws_port)) >= 2:
            break
    assert sum(before) == len(books)
    assert min(before) >= 2, "the new worker has its share"
    change(gateway, "{workers, 3}", "{workers, 1}")
    wait_until(lambda: len(listening(gateway.workers, gateway.ws_port)) == 1, PATIENCE, "two to leave")
    traffic.moves(books)
    assert len(gateway.workers) == 3, "two of the old workers still have sessions"
    more = traffic.begin(gateway.ws_port, 4)
    after = held(gateway, gateway.ws_port)
    grown = [now - then for now, then in zip(after, before, strict=True)]
    assert sorted(grown) == [0, 0, 4], "they keep these, and get no more"
    traffic.finish()
    assert_whole(books + more)
    wait_until(lambda: len(gateway.workers) == 1, PATIENCE, "those without sessions to go")
    assert gateway.stop() == 0


def test_a_reload_frees_the_previous_settings(start: Start) -> None:
    gateway = start(1)
    extra = ReservedPort()
    text = gateway.config.read_text()
    other = text.replace(f"{{{gateway.wss_port}, websocket_session", f"{{{extra.number}, websocket_session")

    def files() -> list[int]:
        return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (gateway.child.pid, *gateway.workers)]

    def there_and_back() -> None:
        for config, port, former in (
            (other, extra.number, gateway.wss_port),
            (text, gateway.wss_port, extra.number),
        ):
            gateway.config.write_text(config)
            reload(gateway)
            wait_until(lambda: accepts(port) and not accepts(former), PATIENCE, "the settings")  # noqa: B023

    for _ in range(2):
        there_and_back()
    before = files()
    for _ in range(4):
        there_and_back()
    wait_until(lambda: files() <= before, PATIENCE, "what was opened to be closed")
    extra.release()


def test_a_reload_changes_the_log_level(start: Start) -> None:
    gateway = start(1, top_level="{log_level, warning}.\n")
    assert "INFO" not in gateway.child.text()
    gateway.config.write_text(gateway.config.read_text().replace("warning", "info"))
    gateway.child.signal(1)
    said(gateway, r"INFO wsgw.gateway\S*: wsgw .* listens on")

    def tells() -> bool:
        Browser(gateway.ws_port).close()
        return " > opened" in gateway.child.text()

    wait_until(tells, PATIENCE, "the workers to log")


def test_a_worker_can_read_the_state() -> None:
    """A process forked from the parent can read the state that the parent publishes."""
    state = StateFile()
    here, there = os.pipe()
    pid = os.fork()
    if not pid:
        os.read(here, 1)
        os._exit(0 if state.read() == {"workers": [{"slot": 0}]} else 1)
    state.publish({"workers": [{"slot": number} for number in range(50)]})
    state.publish(json.loads('{"workers": [{"slot": 0}]}'))
    os.write(there, b"x")
    assert os.waitpid(pid, 0)[1] == 0
    os.close(here)
    os.close(there)
