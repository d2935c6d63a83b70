"""The admin listener: its answers, the requests it refuses, and that it delays no user."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.ops.admin import PATIENCE, Admin
from tests.ops.conftest import StartAdmin
from tests.support.both_ways import needs_native
from tests.support.observe import held, listening, without_descriptors
from tests.support.processes import ReservedPort, accepts, children_of, wait_until
from tests.support.traffic import Traffic
from tests.support.wire import OPENINGS, Browser, XmppServer
from wsgw.ops.http_server import MOST_CONNECTIONS
from wsgw.ops.metrics_files import state_path
from wsgw.ops.state import read_document

#: The time until a server that did not answer is asked again.
SOON = {"wsgw.ops.administration.PROBE_PAUSE": 0.5}

#: The second listener serves no WebSocket.
WITH_PAGES = """\
{{hosts, ["{domain}"]}}.
{{workers, 1}}.
{{listen, [
  {{{c2s_port}, ejabberd_c2s, []}},
  {{{ws_port}, websocket_session, [{{request_handlers, [{{"ws-xmpp", mod_websocket}}]}}]}},
  {{{wss_port}, websocket_session, [{{acme_challenge_dir, "/var/empty"}}]}}
]}}.
{top_level}"""


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


def test_each_page_is_answered(start: StartAdmin, traffic: Traffic) -> None:
    with traffic:
        admin = start(traffic.port)
        assert admin.ask("/healthz").text == "ok\n"
        ready = admin.ask("/readyz")
        assert (ready.status, ready.text) == (200, "ready\n")
        assert admin.ask("/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        page = admin.ask("/status")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "ready" in page.text
        for path in ("/metrics", "/healthz", "/readyz", "/status", "/status.json", "/history.json"):
            answer = admin.ask(path, "HEAD")
            assert (answer.status, answer.text) == (200, "")
            assert int(answer.headers["content-length"]) > 0
            assert not any(name.startswith("access-control") for name in answer.headers)
            assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "host", "status"),
    [
        ("GET", "/", None, 303),
        ("GET", "/index.html", None, 404),
        ("GET", "/metrics/", None, 404),
        ("POST", "/metrics", None, 405),
        ("DELETE", "/status", None, 405),
        ("GET", "/status", "localhost:5289", 200),
        ("GET", "/status", "[::1]:5289", 200),
        ("GET", "/status", "rebound.example", 421),
        ("GET", "/status", "127.0.0.1.rebound.example", 421),
        ("GET", "/status", "localhost.rebound.example:5289", 421),
        ("GET", "/status", "127.0.0.1:5289@rebound.example", 421),
        ("GET", "/status", "[::1]rebound.example", 421),
        ("GET", "/status", "", 421),
    ],
)
def test_another_host_path_or_method_is_refused(
    alone: Admin, method: str, path: str, host: str | None, status: int
) -> None:
    answer = alone.ask(path, method, host)
    assert answer.status == status
    assert "access-control-allow-origin" not in answer.headers


def test_any_host_is_accepted_on_a_listener_open_to_other_machines(start: StartAdmin) -> None:
    admin = start(1, admin='{%d, wsgw_admin, [{ip, "0.0.0.0"}]}')
    assert admin.ask("/healthz", host="gateway.example").status == 200
    assert "is open to other machines" in admin.gateway.child.text()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"rubbish\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 2000 + b"\r\n", b"431"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
        (b"\r\nGET /healthz HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\rY: b\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", b"400"),
    ],
    ids=["rubbish", "long target", "long head", "HTTP/1.0", "empty line", "CR", "NUL", "two lengths"],
)
def test_a_malformed_or_too_large_request_is_refused(alone: Admin, request_: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", alone.port), PATIENCE) as sock:
        sock.sendall(request_)
        assert sock.recv(12) == b"HTTP/1.1 " + status
        while sock.recv(4096):
            pass
    assert alone.ask("/healthz").status == 200


def test_silent_clients_block_no_user(start: StartAdmin, traffic: Traffic) -> None:
    with traffic:
        admin = start(traffic.port, constants={"wsgw.ops.http_server.REQUEST_TIMEOUT": 2.0})
        more_than_fit = 2 * MOST_CONNECTIONS + 1
        silent = [socket.create_connection(("127.0.0.1", admin.port), PATIENCE) for _ in range(more_than_fit)]
        try:
            books = traffic.begin(admin.gateway.ws_port, 4)
            traffic.moves(books)
            assert admin.ask("/healthz").status == 200  # after the deadline of the silent clients
        finally:
            for sock in silent:
                sock.close()


def test_a_form_that_does_not_arrive_is_no_fault(start: StartAdmin) -> None:
    token = '{%d, wsgw_admin, [{token, "sixteen-letters-"}]}'
    admin = start(1, admin=token, constants={"wsgw.ops.http_server.REQUEST_TIMEOUT": 0.5})
    head = b"POST /status/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
    with socket.create_connection(("127.0.0.1", admin.port), PATIENCE) as slow:
        slow.sendall(head + b"token")
        assert slow.recv(4096) == b""
    assert "Traceback" not in admin.gateway.child.text()


def test_the_admin_listener_waits_for_descriptors(start: StartAdmin, tmp_path: Path) -> None:
    """It logs the error like other listeners; figures are published meanwhile, and later it accepts again."""
    admin = start(1, ws_options="{workers, 1}, ", env={"TMPDIR": str(tmp_path)})
    (worker,) = admin.gateway.workers
    (folder,) = tmp_path.glob("wsgw-*")

    def published_at() -> float:
        with state_path(folder, 0).open("rb") as file:
            return float((read_document(file.fileno()) or {"at": 0.0})["at"])

    with without_descriptors(worker):
        with socket.create_connection(("127.0.0.1", admin.port), PATIENCE):
            told = f"http://127.0.0.1:{admin.port}/ accepts no connections: Too many open files"
            wait_until(lambda: told in admin.gateway.child.text(), PATIENCE, "the log")
        before = time.time()
        wait_until(lambda: published_at() > before, PATIENCE, "figures")
    assert admin.ask("/healthz").status == 200
    admin.gateway.assert_clean_log({})


# -- readiness ----------------------------------------------------------------------------------------


def test_a_gateway_is_not_ready_until_a_server_answers(start: StartAdmin) -> None:
    port = ReservedPort()
    try:
        admin = start(port.number, constants=SOON)
        answer = admin.ask("/readyz")
        assert answer.status == 503
        assert f"tcp://127.0.0.1:{port.number}" in answer.text
        upstream = f"tcp://127.0.0.1:{port.number}"
        assert admin.metrics().value("wsgw_upstream_up", upstream=upstream) == 0
        assert admin.metrics().value("wsgw_ready") == 0
        assert admin.status()["why_not_ready"] != []
        with socket.create_server(("127.0.0.1", port.number)):
            wait_until(lambda: admin.ask("/readyz").status == 200, PATIENCE, "the gateway to see the server")
            assert admin.metrics().value("wsgw_upstream_up", upstream=upstream) == 1
    finally:
        port.release()


def test_a_listener_without_a_websocket_needs_no_server_to_be_ready(start: StartAdmin) -> None:
    port = ReservedPort()
    try:
        admin = start(port.number, config=WITH_PAGES, constants=SOON)
        answer = admin.ask("/readyz")
        assert answer.text.count("\n") == 1
        assert f"the listener on port {admin.gateway.ws_port}: " in answer.text
        assert [one["upstream"] for one in admin.status()["listeners"][1:2]] == [[]]
        with socket.create_server(("127.0.0.1", port.number)):
            wait_until(lambda: admin.ask("/readyz").status == 200, PATIENCE, "the gateway to see the server")
    finally:
        port.release()


def test_an_upstream_that_no_session_uses_is_checked_too(start: StartAdmin) -> None:
    """As long as the first answers, no session connects to the second and finds that it works again."""
    port = ReservedPort()
    with socket.create_server(("127.0.0.1", 0)) as first:
        upstreams = [f"tcp://127.0.0.1:{number}" for number in (first.getsockname()[1], port.number)]
        options = "{upstream, [" + ", ".join(f'"{one}"' for one in upstreams) + "]}, "
        admin = start(1, ws_options=options, constants=SOON)

        def up() -> list[float | None]:
            metrics = admin.metrics()
            return [metrics.get(("wsgw_upstream_up", frozenset({("upstream", one)}))) for one in upstreams]

        try:
            assert admin.ask("/readyz").status == 200
            wait_until(lambda: up() == [1, 0], PATIENCE, "both to be tried")
            with socket.create_server(("127.0.0.1", port.number)):
                wait_until(lambda: up() == [1, 1], PATIENCE, "the second to be seen")
        finally:
            port.release()


def test_a_gateway_is_not_ready_while_it_drains(start: StartAdmin, traffic: Traffic) -> None:
    with traffic:
        admin = start(traffic.port, ws_options="{drain_timeout, 2}, ")
        traffic.begin(admin.gateway.ws_port, 4)
        assert admin.ask("/readyz").status == 200
        admin.gateway.child.signal(signal.SIGTERM)
        seen = []

        def gone() -> bool:
            try:
                seen.append(admin.ask("/readyz").status)
            except OSError:
                return not accepts(admin.port)
            return False

        wait_until(gone, PATIENCE, "the end")
        assert seen.count(503) >= 1
        assert 200 not in seen[seen.index(503) :]
        assert admin.gateway.child.wait(PATIENCE) == 0


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGUSR2])
def test_a_request_begun_before_the_end_is_answered(start: StartAdmin, end: signal.Signals) -> None:
    """Also by a worker that has to end and has no session."""
    admin = start(1, ws_options="{workers, 1}, ")
    old = admin.gateway.workers
    with socket.create_connection(("127.0.0.1", admin.port), PATIENCE) as sock:
        sock.sendall(b"GET /healthz HTTP/1.0\r\n")
        wait_until(lambda: held(admin.gateway, admin.port) == [1], PATIENCE, "it to be accepted")
        admin.gateway.child.signal(end)
        wait_until(lambda: not listening(old, admin.port), PATIENCE, "the worker to leave")
        sock.sendall(b"\r\n")
        assert sock.recv(12) == b"HTTP/1.1 200"


def test_the_files_of_the_page_are_kept_by_the_browser(alone: Admin) -> None:
    page = alone.ask("/status")
    names = set(re.findall(r'(?:src|href)="(/status/[^"]+)"', page.text))
    assert {"/status/theme.css", "/status/status.css", "/status/status.js", "/status/icon.svg"} == names
    for name in names:
        answer = alone.ask(name)
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-cache")
        again = alone.ask(name, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status, again.text) == (304, "")
        assert "content-length" not in again.headers
        assert again.headers["content-security-policy"] == page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]


# -- status -------------------------------------------------------------------------------------------


def test_the_status_has_the_facts_that_an_admin_needs(start: StartAdmin, traffic: Traffic) -> None:
    with traffic:
        admin = start(traffic.port)
        traffic.begin(admin.gateway.ws_port, 3, 3600.0)
        wait_until(lambda: admin.status()["sessions_logged_in"] == 3, PATIENCE, "the sessions")
        found = admin.status()
        assert found["hosts"] == {"localhost": 3}
        assert found["sessions"] == 3
        assert sorted(worker["pid"] for worker in found["workers"]) == sorted(admin.gateway.workers)
        assert sum(worker["sessions"] for worker in found["workers"]) == 3
        assert found["config"]["source"] == str(admin.gateway.config)
        assert [one["module"] for one in found["listeners"]] == ["websocket_session"] * 2 + ["wsgw_admin"]
        assert [one["ok"] for one in found["upstreams"]] == [True]
        ((file, expires),) = found["certificates"].items()
        assert expires > found["started_at"]
        shown = {"expires": expires, "file": file, "key_type": "ec"}
        assert found["certificate_names"] == [
            {"name": name, "certificates": [shown]} for name in ("*", "localhost")
        ]
        assert found["certificates_current"] is True


@needs_native
def test_a_worker_without_native_functions_after_a_crash_is_shown(start: StartAdmin) -> None:
    admin = start(1)
    assert admin.status()["native"] == {"in_use": True, "reason": ""}
    assert admin.metrics().sum("wsgw_build_info", native="yes") == 1
    assert admin.metrics().value("wsgw_native_disabled") == 0
    os.kill(admin.status()["workers"][0]["pid"], signal.SIGSEGV)
    wait_until(lambda: admin.metrics().value("wsgw_native_disabled") == 1, PATIENCE, "the new worker")
    assert {worker["slot"]: worker["native_disabled"] for worker in admin.status()["workers"]} == {
        0: True,
        1: False,
    }
    assert "Worker 0 uses no native functions" in admin.ask("/status").text


def test_pure_python_is_shown(start: StartAdmin) -> None:
    admin = start(1, env={"WSGW_NATIVE": "0"})
    assert admin.status()["native"] == {"in_use": False, "reason": "WSGW_NATIVE=0"}
    assert admin.metrics().sum("wsgw_build_info", native="no") == 1
    assert "pure Python: WSGW_NATIVE=0" in admin.ask("/status").text


def test_sessions_without_a_host_are_shown_too(alone: Admin) -> None:
    """Otherwise the sessions of the hosts would not add up to all."""
    Browser(alone.gateway.ws_port)
    wait_until(lambda: alone.status()["sessions_without_host"] == 1, PATIENCE, "the session")
    assert alone.status()["sessions"] == 1
    assert '<th scope="row">none yet</th><td class="number">1</td>' in alone.ask("/status").text


def test_a_failed_reload_is_shown(start: StartAdmin) -> None:
    admin = start(1)
    assert admin.status()["config"]["last_reload"] is None
    right = admin.gateway.config.read_text("utf-8")
    admin.gateway.config.write_text(right.replace("{hosts, ", "{hosts, <script>"), "utf-8")
    admin.gateway.child.signal(signal.SIGHUP)
    wait_until(lambda: admin.status()["config"]["last_reload"] is not None, PATIENCE, "the reload")
    told = admin.status()["config"]["last_reload"]
    assert told["ok"] is False
    assert str(admin.gateway.config) in told["errors"][0]
    assert admin.metrics().value("wsgw_config_last_reload_successful") == 0
    page = admin.ask("/status").text
    assert "changed nothing: the configuration has errors" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    admin.gateway.config.write_text(right, "utf-8")
    admin.gateway.child.signal(signal.SIGHUP)
    wait_until(
        lambda: admin.metrics().value("wsgw_config_last_reload_successful") == 1, PATIENCE, "the reload"
    )


def test_a_reload_adds_and_removes_an_admin_listener(start: StartAdmin) -> None:
    admin = start(1)
    port = ReservedPort()
    try:
        before = admin.gateway.config.read_text("utf-8")
        after = before.replace(f"{{{admin.port}, wsgw_admin", f"{{{port.number}, wsgw_admin")
        assert after != before
        admin.gateway.config.write_text(after, "utf-8")
        admin.gateway.child.signal(signal.SIGHUP)
        moved = Admin(port.number, admin.gateway)
        wait_until(lambda: accepts(port.number) and not accepts(admin.port), PATIENCE, "the move")
        assert moved.ask("/healthz").status == 200
    finally:
        port.release()


# -- counters -----------------------------------------------------------------------------------------


def test_refused_connections_are_counted(start: StartAdmin) -> None:
    admin = start(1)
    with socket.create_connection(("127.0.0.1", admin.gateway.ws_port), PATIENCE) as sock:
        sock.sendall(b"GET /elsewhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert re.match(rb"HTTP/1.1 4\d\d ", sock.recv(4096))
    name = "wsgw_connections_refused_total"
    wait_until(lambda: admin.metrics().sum(name, reason="handshake") == 1, PATIENCE, "the count")


@pytest.mark.parametrize(
    ("ws_options", "tls", "option"),
    [
        ("{tls_handshake_timeout, 1}, ", True, "tls_handshake_timeout"),
        ("{handshake_timeout, 1}, {use_proxy_protocol, true}, ", False, "handshake_timeout"),
        ("{handshake_timeout, 1}, ", False, "handshake_timeout"),
    ],
    ids=["TLS", "PROXY header", "request"],
)
def test_deadlines_before_a_session_are_counted(
    start: StartAdmin, ws_options: str, tls: bool, option: str
) -> None:
    admin = start(1, ws_options=ws_options)
    port = admin.gateway.wss_port if tls else admin.gateway.ws_port
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as silent:
        while silent.recv(4096):
            pass
    wait_until(lambda: admin.metrics().sum("wsgw_limits_hit_total") == 1, PATIENCE, "the count")
    metrics = admin.metrics()
    assert metrics.value("wsgw_limits_hit_total", limit=option) == 1
    assert metrics.sum("wsgw_connections_refused_total", reason=option) == 1


def test_failures_are_counted(start: StartAdmin) -> None:
    """A refused login, and a stanza above the limit."""
    failure = b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>"
    server = XmppServer()
    try:
        admin = start(server.port)
        assert admin.ask("/readyz").status == 200
        browser = Browser(admin.gateway.ws_port)
        browser.text(OPENINGS["rfc7395"])
        connection = None
        while connection is None:
            with contextlib.suppress(EOFError):  # the gateway's own attempts say nothing
                connection = server.accept_stream(failure)
        wait_until(
            lambda: admin.metrics().value("wsgw_logins_total", result="failure") == 1, PATIENCE, "the failure"
        )
        browser.text(b"<message xmlns='jabber:client'>" + b"a" * 20_000 + b"</message>")
        wait_until(
            lambda: admin.metrics().sum("wsgw_limits_hit_total", limit="max_stanza_size_preauth") == 1,
            PATIENCE,
            "the limit",
        )
        assert "max_stanza_size_preauth" in admin.status()["limits_hit"]
        assert "max_stanza_size_preauth" in admin.ask("/status").text
        connection.close()
        browser.close()
    finally:
        server.close()


def test_repaired_stanzas_are_counted(start: StartAdmin) -> None:
    server = XmppServer()
    try:
        admin = start(server.port)
        browser = Browser(admin.gateway.ws_port)
        browser.text(OPENINGS["rfc7395"])
        connection = None
        while connection is None:
            with contextlib.suppress(EOFError):  # the gateway's own attempts say nothing
                connection = server.accept_stream()
        assert admin.metrics().sum("wsgw_stanzas_repaired_total") == 0
        deep = b"<a>" * 5000 + b"</a>" * 5000
        connection.send(b"<message><p:a/></message>" * 2 + b"<message>" + deep + b"</message>")
        name = "wsgw_stanzas_repaired_total"
        wait_until(lambda: admin.metrics().sum(name) == 3, PATIENCE, "the count")
        metrics = admin.metrics()
        assert metrics.value(name, reason="namespace") == 2
        assert metrics.value(name, reason="depth") == 1
        connection.close()
        browser.close()
    finally:
        server.close()


def test_sessions_are_counted_by_the_source_of_the_address(start: StartAdmin) -> None:
    admin = start(1)
    name = "wsgw_client_addresses_total"
    assert admin.metrics().sum(name) == 0
    browsers = [Browser(admin.gateway.ws_port, headers=("X-Forwarded-For: 198.51.100.1",)) for _ in range(2)]
    browsers.append(Browser(admin.gateway.ws_port))
    wait_until(lambda: admin.metrics().sum(name) == 3, PATIENCE, "the count")
    metrics = admin.metrics()
    assert (metrics.value(name, source="forwarded"), metrics.value(name, source="missing")) == (2, 1)
    for browser in browsers:
        browser.close()


def test_a_stopped_gateway_leaves_no_files(start: StartAdmin, tmp_path: Path) -> None:
    files = tmp_path / "figures"
    files.mkdir()
    admin = start(1, env={"TMPDIR": str(files)})
    admin.metrics()
    assert list(files.glob("wsgw-*/counter_0.db"))
    assert admin.gateway.stop() == 0
    assert list(files.iterdir()) == []


def test_after_an_upgrade_the_new_gateway_answers(start: StartAdmin, traffic: Traffic) -> None:
    with traffic:
        admin = start(traffic.port)
        traffic.begin(admin.gateway.ws_port, 2, 3600.0)
        wait_until(lambda: admin.metrics().sum("wsgw_sessions") == 2, PATIENCE, "the sessions")
        began = admin.metrics().value("wsgw_start_time_seconds")
        old = [admin.gateway.child.pid, *children_of(admin.gateway.child.pid)]
        admin.gateway.child.signal(signal.SIGUSR2)
        wait_until(
            lambda: admin.metrics().value("wsgw_start_time_seconds") > began, PATIENCE, "the new gateway"
        )
        ports = (admin.gateway.ws_port, admin.port)
        wait_until(lambda: not listening(old, *ports), PATIENCE, "the old gateway to leave the ports")
        wait_until(lambda: admin.ask("/readyz").status == 200, PATIENCE, "it to be ready")
        books = traffic.begin(admin.gateway.ws_port, 3, 3600.0)
        assert not any(book.lost for book in books)
        # The sessions of the old gateway continue there and are not shown here.
        wait_until(lambda: admin.metrics().sum("wsgw_sessions") == 3, PATIENCE, "the sessions")
        assert admin.metrics().value("wsgw_sessions_opened_total") == 3
        assert not any(book.lost for book in traffic.books)
