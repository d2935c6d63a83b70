"""The pages about sessions: only with the token, and then for the sessions of all workers."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.ops.admin import PATIENCE, Admin, Answer
from tests.ops.conftest import StartAdmin, starting
from tests.support.certificates import Certificate
from tests.support.processes import wait_until
from tests.support.wire import OPENINGS, Browser, Connection, XmppServer
from wsgw.ops.token_access import BURST

TOKEN = "a-secret-of-32-characters-at-all"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
WITH_TOKEN = '{%d, wsgw_admin, [{token, "' + TOKEN + '"}, {allowed_hosts, ["admin.example"]}]}'
#: A page of the table with three lines, and traces of a few seconds.
CONSTANTS = {"wsgw.ops.session_pages.PAGE": 3}
#: (user, client's address): two in different networks, and their neighbours.
USERS = [(f"user{number}", f"203.0.113.{100 + number}") for number in range(6)]
SUCCESS = (
    "<success xmlns='urn:xmpp:sasl:2'><bound xmlns='urn:xmpp:bind:0'/>"
    "<authorization-identifier>{user}@localhost/web</authorization-identifier></success>"
)
SECRETS = re.compile(r"user\d|203\.0\.113\.\d+|juliet|198\.51\.100")


class Sessions:
    """Sessions of ``USERS`` through a gateway, to a server that the test plays."""

    def __init__(self, admin: Admin, server: XmppServer) -> None:
        self.ends: list[tuple[Browser, Connection]] = [
            self._log_in(admin, server, user, address) for user, address in USERS
        ]
        wait_until(lambda: admin.status()["sessions_logged_in"] == len(USERS), PATIENCE, "the sessions")

    def _log_in(
        self, admin: Admin, server: XmppServer, user: str, address: str
    ) -> tuple[Browser, Connection]:
        browser = Browser(admin.gateway.ws_port, headers=(f"X-Forwarded-For: {address}",))
        browser.text(OPENINGS["rfc7395"])
        while True:
            with contextlib.suppress(EOFError):  # the gateway's own attempts say nothing
                return browser, server.accept_stream(SUCCESS.format(user=user).encode())

    def close(self) -> None:
        for browser, connection in self.ends:
            browser.close()
            connection.close()


@pytest.fixture(scope="module")
def watched(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """A gateway with two workers, a token and ``USERS``."""
    server = XmppServer()
    with starting(certificate, tmp_path_factory.mktemp("watched")) as begin:
        trace = '{trace, ["juliet@capulet.lit", "198.51.100.7"]}.\n'
        admin = begin(server.port, admin=WITH_TOKEN, constants=CONSTANTS, top_level=trace)
        sessions = Sessions(admin, server)
        yield admin
        sessions.close()
    server.close()


def post(
    admin: Admin, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> Answer:
    """A form, by default from a page of the listener."""
    host = f"127.0.0.1:{admin.port}"
    given = {"Origin": f"http://{host}", "Content-Type": "application/x-www-form-urlencoded"}
    given |= headers or {}
    connection = http.client.HTTPConnection("127.0.0.1", admin.port, timeout=PATIENCE)
    try:
        connection.request("POST", path, urlencode(form), {key: text for key, text in given.items() if text})
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read().decode())
    finally:
        connection.close()


def cookie(admin: Admin) -> dict[str, str]:
    """The header field of a browser that has logged in."""
    answer = post(admin, "/status/login", {"token": TOKEN})
    assert answer.status == 303, answer
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def document(admin: Admin, path: str) -> dict[str, Any]:
    answer = admin.ask(path, headers=BEARER)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json"), answer
    found: dict[str, Any] = json.loads(answer.text)
    return found


def connections(admin: Admin) -> list[int]:
    found: list[int] = []
    after: int | None = 0
    while after is not None:
        one = document(admin, f"/status/sessions.json?after={after}")
        found += [line["connection"] for line in one["sessions"]]
        after = one["next"]
    return found


# -- without the token ---------------------------------------------------------------------------------

PATHS = ("/metrics", "/healthz", "/readyz", "/status", "/status.json", "/history.json")
SESSION_PATHS = ("/status/sessions", "/status/sessions.json", "/status/session", "/status/session.json")


def test_without_the_token_no_answer_has_a_jid_or_an_address(watched: Admin) -> None:
    files = re.findall(r'(?:src|href)="(/[^"]+)"', watched.ask("/status").text)
    connection = connections(watched)[0]
    queries = (f"{path}?id={connection}&q=user" for path in SESSION_PATHS)
    for path in (*PATHS, *files, *queries, "/status/login", "/status/trace", "/nowhere"):
        for method in ("GET", "HEAD", "DELETE"):
            answer = watched.ask(path, method)
            assert not SECRETS.search(answer.text + str(answer.headers)), path
            assert TOKEN not in answer.text + str(answer.headers)
    assert "2 JIDs" not in watched.ask("/status.json").text
    assert "1 JIDs, 1 networks" in watched.ask("/status.json").text


@pytest.mark.parametrize("path", SESSION_PATHS)
def test_without_the_token_there_is_a_form_or_401(watched: Admin, path: str) -> None:
    answer = watched.ask(path + "?q=a%40b&after=7")
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    if not path.endswith(".json"):
        assert 'type="password"' in answer.text
        assert "q=a%40b&amp;after=7" in answer.text  # to return there
    for headers in ({"Authorization": f"Bearer {TOKEN}x"}, {"Cookie": f"wsgw_admin={TOKEN}"}):
        assert watched.ask(path, headers=headers).status == 401


def test_a_listener_without_a_token_has_no_such_page(alone: Admin) -> None:
    for path in (*SESSION_PATHS, "/status/login", "/status/trace", "/status/logout"):
        assert alone.ask(path, headers=BEARER).status == 404
    assert "Sessions</a>" not in alone.ask("/status").text


def test_the_log_and_the_check_do_not_have_the_token(watched: Admin) -> None:
    assert TOKEN in watched.gateway.config.read_text("utf-8")
    assert TOKEN not in watched.gateway.child.text()


def test_a_listener_for_probes_has_no_other_page(start: StartAdmin) -> None:
    admin = start(1, admin="{%d, wsgw_admin, [{serve, probes}]}")
    assert admin.ask("/healthz").status == admin.ask("/metrics").status == 200
    assert admin.ask("/readyz").status == 503
    for path in ("/", "/status", "/status.json", "/history.json", "/status/status.css", *SESSION_PATHS):
        assert admin.ask(path, headers=BEARER).status == 404


# -- with the token ------------------------------------------------------------------------------------


def test_the_table_has_the_sessions_of_all_workers_in_pages(watched: Admin) -> None:
    found = connections(watched)
    assert len(set(found)) == len(USERS)
    assert found == sorted(found)
    assert len({connection // 1_000_000 for connection in found}) == 2
    first = document(watched, "/status/sessions.json")
    assert (first["matching"], len(first["sessions"]), first["silent_workers"]) == (len(USERS), 3, [])
    page = watched.ask("/status/sessions", headers=BEARER).text
    assert f"after={first['next']}" in page
    assert "6 sessions" in page
    last = watched.ask(f"/status/sessions?after={first['next']}", headers=BEARER).text
    assert "Next page" not in last
    assert "First page" in last


@pytest.mark.parametrize(
    ("words", "matching"),
    [
        ("", 6),
        ("USER3@", 1),
        ("203.0.113.104", 1),
        ("203.0.113.", 6),
        ("localhost", 6),
        ("romeo", 0),
        ("<b>", 0),
    ],
)
def test_sessions_are_found_by_their_user_their_address_or_their_host(
    watched: Admin, words: str, matching: int
) -> None:
    query = urlencode({"q": words})
    found = document(watched, f"/status/sessions.json?{query}")
    assert found["matching"] == matching
    assert len(found["sessions"]) == min(3, matching)
    page = watched.ask(f"/status/sessions?{query}", headers=BEARER).text
    assert "<b>" not in page
    assert ("No session matches" in page) == (matching == 0)


def test_a_session_is_found_by_its_number_and_has_all_its_facts(watched: Admin) -> None:
    connection = document(watched, "/status/sessions.json?q=user5")["sessions"][0]["connection"]
    (line,) = document(watched, f"/status/sessions.json?q=%23{connection}")["sessions"]
    assert (line["jid"], line["client"], line["host"]) == (
        "user5@localhost/web",
        "203.0.113.105",
        "localhost",
    )
    found = document(watched, f"/status/session.json?id={connection}")
    session = found["session"]
    assert session.items() >= line.items() - {("duration", line["duration"])}
    assert session["states"] == {"relay": "flowing", "websocket": "ws_session", "xmpp": "loop"}
    assert (session["logged_in"], session["tls"], session["proxy"]) == (True, None, "127.0.0.1")
    assert session["upstream"].startswith("127.0.0.1:")
    assert session["bytes_from_browser"] > 0
    assert (found["lines"], found["traced_for"]) == (None, 0)
    page = watched.ask(f"/status/session?id={connection}", headers=BEARER)
    assert "user5@localhost/web" in page.text
    assert "203.0.113.105" in page.text


@pytest.mark.parametrize("connection", ["", "0", "999", "x", "9" * 30])
def test_a_session_that_is_not_there(watched: Admin, connection: str) -> None:
    answer = watched.ask(f"/status/session?id={connection}", headers=BEARER)
    assert answer.status == 404
    assert "has ended, or has never been" in answer.text
    assert watched.ask(f"/status/session.json?id={connection}", headers=BEARER).status == 404


def test_a_trace_shows_the_lines_of_one_session_without_content(watched: Admin) -> None:
    connection = document(watched, "/status/sessions.json?q=user0")["sessions"][0]["connection"]
    logged_in = cookie(watched)
    form = {"id": str(connection), "seconds": "60"}
    answer = post(watched, "/status/trace", form, logged_in)
    assert (answer.status, answer.headers["location"]) == (303, f"/status/session?id={connection}")
    path = f"/status/session.json?id={connection}"
    found = document(watched, path)
    assert 50 < found["traced_for"] <= 60
    assert [text.split(" = ")[1] for _, text in found["lines"]] == ["traced from now on"]
    answer = post(watched, "/status/trace", {**form, "seconds": "0"}, logged_in)
    assert answer.status == 303
    found = document(watched, path)
    assert (found["traced_for"], found["lines"][-1][1].split(" = ")[1]) == (0, "no longer traced")
    page = watched.ask(f"/status/session?id={connection}", headers=logged_in).text
    assert "no longer traced" in page
    assert "Stop the trace" not in page


def test_a_trace_ends_by_itself_and_its_lines_outlive_the_session(
    start: StartAdmin, xmpp_server: XmppServer
) -> None:
    admin = start(xmpp_server.port, admin=WITH_TOKEN)
    sessions = Sessions(admin, xmpp_server)
    connection = document(admin, "/status/sessions.json?q=user0")["sessions"][0]["connection"]
    form = {"id": str(connection), "seconds": "1"}
    assert post(admin, "/status/trace", form, BEARER).status == 303
    path = f"/status/session.json?id={connection}"
    wait_until(lambda: document(admin, path)["traced_for"] == 0, PATIENCE, "the end of the trace")
    assert post(admin, "/status/trace", {**form, "seconds": "60"}, BEARER).status == 303
    browser, server = sessions.ends[0]
    browser.text(b"<message xmlns='jabber:client' id='m1'><body>what they said</body></message>")
    server.read_until(b"</message>")
    sessions.close()
    wait_until(lambda: document(admin, path)["session"] is None, PATIENCE, "the end of the session")
    texts = [text for _, text in document(admin, path)["lines"]]
    assert any(re.search(r"< browser message namespace=jabber:client id=m1 size=\d+", text) for text in texts)
    assert not any("what they said" in text for text in texts)
    assert "what they said" not in admin.gateway.child.text()
    page = admin.ask(f"/status/session?id={connection}", headers=BEARER)
    assert "has ended" in page.text
    assert "< browser message".replace("<", "&lt;") in page.text


def test_a_worker_that_does_not_answer_is_named(start: StartAdmin, xmpp_server: XmppServer) -> None:
    admin = start(xmpp_server.port, admin=WITH_TOKEN)
    Sessions(admin, xmpp_server)
    workers = {one["slot"]: one["pid"] for one in admin.status()["workers"]}
    os.kill(workers[1], signal.SIGSTOP)
    try:
        found = document(admin, "/status/sessions.json")
        assert found["silent_workers"] == [1]
        assert 0 < found["matching"] < len(USERS)
        page = admin.ask("/status/sessions", headers=BEARER).text
        assert "Worker 1 has not answered" in page
        page = admin.ask("/status/session?id=7", headers=BEARER).text
        assert "Worker 1 has not answered" in page
        assert "has ended" not in page
        assert admin.ask("/status/session.json?id=7", headers=BEARER).status == 503
    finally:
        os.kill(workers[1], signal.SIGCONT)


# -- the cookie, and requests that other sites cause ---------------------------------------------------


def test_the_cookie_is_bound_to_the_pages_and_to_this_site(watched: Admin) -> None:
    answer = post(watched, "/status/login", {"token": TOKEN, "back": "/status/session?id=7"})
    assert (answer.status, answer.headers["location"]) == (303, "/status/session?id=7")
    value, *attributes = answer.headers["set-cookie"].split("; ")
    assert set(attributes) == {"Path=/status", "Max-Age=3600", "HttpOnly", "SameSite=Strict"}
    assert TOKEN not in value
    assert watched.ask("/status/sessions", headers={"Cookie": value}).status == 200
    secure = post(watched, "/status/login", {"token": TOKEN}, {"X-Forwarded-Proto": "https"})
    assert secure.headers["set-cookie"].endswith("; Secure")
    out = post(watched, "/status/logout", {}, {"Cookie": value})
    assert (out.status, out.headers["location"]) == (303, "/status")
    assert out.headers["set-cookie"].startswith("wsgw_admin=; Path=/status; Max-Age=0;")


@pytest.mark.parametrize(
    "back",
    ["https://evil.example/", "//evil.example", "/status/\r\nX: y", "", "/metrics", "/status/session?é"],
)
def test_the_login_leads_to_no_other_place(watched: Admin, back: str) -> None:
    answer = post(watched, "/status/login", {"token": TOKEN, "back": back})
    assert answer.headers["location"] == "/status/sessions"


@pytest.mark.parametrize("path", ["/status/login", "/status/logout", "/status/trace"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": ""},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
def test_a_form_of_another_site_is_refused(watched: Admin, path: str, headers: dict[str, str]) -> None:
    """Also that of another port of this machine, which gets the same cookies (RFC 6265 section 8.5)."""
    answer = post(watched, path, {"token": TOKEN, "id": "1", "seconds": "60"}, {**cookie(watched), **headers})
    assert (answer.status, "set-cookie" in answer.headers) == (403, False)


def test_the_name_of_the_host_is_checked(watched: Admin, start: StartAdmin) -> None:
    assert watched.ask("/status/sessions", host="rebound.example", headers=BEARER).status == 421
    assert watched.ask("/status/sessions", host="Admin.Example", headers=BEARER).status == 200
    assert watched.ask("/status", host="admin.example").status == 200
    admin = start(1, admin=WITH_TOKEN.replace("[{token", '[{ip, "0.0.0.0"}, {token'))
    assert admin.ask("/status", host="rebound.example").status == 200
    assert admin.ask("/status/sessions", host="rebound.example", headers=BEARER).status == 421
    assert admin.ask("/status/sessions", host="192.0.2.1:5289", headers=BEARER).status == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"Content-Length: 5000\r\n\r\n", 413),
        (b"Content-Length: 99999999999999999999\r\n\r\n", 413),
        (b"\r\n", 413),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
        (b"Content-Length: 3\r\n\r\ntok", 403),
        (b"Content-Length: 7\r\nSec-Fetch-Site: same-origin\r\n\r\ntoken=1", 401),
    ],
)
def test_the_body_of_a_form_is_bounded(watched: Admin, request_: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", watched.port), PATIENCE) as sock:
        sock.sendall(b"POST /status/login HTTP/1.1\r\nHost: localhost\r\n" + request_)
        assert sock.recv(12) == f"HTTP/1.1 {status}".encode()


def test_only_forms_are_posted_to(watched: Admin) -> None:
    answer = post(watched, "/status/sessions", {}, BEARER)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    answer = watched.ask("/status/trace", headers=BEARER)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_wrong_tokens_are_limited_and_a_changed_token_ends_all_cookies(start: StartAdmin) -> None:
    admin = start(1, admin=WITH_TOKEN, ws_options="{workers, 1}, ")
    logged_in = cookie(admin)
    wrong = {"Authorization": "Bearer of-bad-news"}
    assert [admin.ask("/status/sessions.json", headers=wrong).status for _ in range(BURST)] == [401] * BURST
    assert admin.ask("/status/sessions.json", headers=BEARER).status == 429
    answer = post(admin, "/status/login", {"token": TOKEN})
    assert (answer.status, "set-cookie" in answer.headers) == (429, False)
    assert "too many wrong tokens" in answer.text
    assert admin.ask("/status/sessions.json", headers=logged_in).status == 200
    text = admin.gateway.config.read_text("utf-8")
    admin.gateway.config.write_text(text.replace(TOKEN, TOKEN[::-1]), "utf-8")
    admin.gateway.child.signal(signal.SIGHUP)
    wait_until(
        lambda: admin.ask("/status/sessions.json", headers=logged_in).status == 401, PATIENCE, "the reload"
    )
