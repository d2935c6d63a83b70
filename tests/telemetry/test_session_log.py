"""The log lines of a connection and their fields, as text and as JSON."""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl

import pytest

from tests.support.certificates import Certificate
from tests.support.edges import StartEdge
from tests.support.gateway import Gateway
from tests.support.processes import ROOT, wait_until
from tests.support.wire import OPENINGS, SECONDS, SUCCESS, Browser, Connection, XmppServer, upgrade_request
from tests.telemetry.played import Played, bound, events, iq, objects

pytestmark = pytest.mark.slow

JSON = ("--log-format", "json")
CLIENT = "203.0.113.9"
FORWARDED = (f"X-Forwarded-For: {CLIENT}",)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
IDS = {"request_id": "7F000001:8296_0003:790E", "traceparent": TRACE}
NAMED = (*FORWARDED, f"X-Request-ID: {IDS['request_id']}", f"traceparent: {TRACE}")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def edge(start_edge: StartEdge) -> Gateway:
    return start_edge(arguments=JSON, fresh=True)


def login(played: Played, jid: str) -> None:
    sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
    played.ask(f"<auth xmlns='{sasl}' mechanism='PLAIN'>AGEAYg==</auth>", SUCCESS.decode())
    played.restart()
    played.ask(*bound(jid))


@pytest.mark.parametrize("framing", ["rfc7395", "legacy"])
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_a_session_has_one_line_opened_and_one_closed(
    edge: Gateway, xmpp_server: XmppServer, certificate: Certificate, framing: str, secure: bool
) -> None:
    context = {"context": ssl.create_default_context(cafile=str(certificate.ca))} if secure else {}
    played = Played(edge, xmpp_server, framing, headers=FORWARDED, **context)
    login(played, "alice@localhost/web")
    played.ask(iq("1", "get", "<ping xmlns='urn:xmpp:ping'/>"), "<iq type='result' id='1'/>")
    (opened,) = events(edge, "opened")
    played.close()
    (closed,) = events(edge, "closed")
    port = edge.wss_port if secure else edge.ws_port
    edge_fields = {"client": CLIENT, "proxy": "127.0.0.1", "port": port, "connection": opened["connection"]}
    for line, logger in ((opened, "wsgw.session_log"), (closed, "wsgw.session_log")):
        assert RFC3339.fullmatch(line["ts"])
        assert (line["level"], line["logger"]) == ("info", logger)
        assert line["pid"] in edge.workers
        assert edge_fields.items() <= line.items()
        assert str(line.get("tls", "")).startswith("TLSv1.3" if secure else "")
        assert ("cipher" in line) == secure
    assert opened["message"] == f"#{opened['connection']} {CLIENT} > opened"
    said = {"host": "localhost", "jid": "alice@localhost/web", "framing": framing, "close_code": 1000}
    assert said.items() <= closed.items()
    assert closed["cause"] == "closed by the client"
    assert 0 < closed["duration"] < 60
    counts = {"stanzas_from_client": 2, "stanzas_to_client": 2, "frames_from_browser": 7}
    assert counts.items() <= closed.items()
    for way in ("bytes_from_browser", "bytes_to_browser", "bytes_from_upstream", "bytes_to_upstream"):
        assert closed[way] > 300
    assert closed["frames_to_browser"] == 9, "two headers, two features, success, two answers, the end, Close"


def test_a_session_with_a_non_sasl_login_has_its_user(edge: Gateway, xmpp_server: XmppServer) -> None:
    played = Played(edge, xmpp_server, "legacy")
    query = "<username>alice</username><resource>old</resource><password>pw</password>"
    played.ask(iq("a", "set", f"<query xmlns='jabber:iq:auth'>{query}</query>"), "<iq type='result' id='a'/>")
    played.close()
    (closed,) = events(edge, "closed")
    assert closed["jid"] == "alice@localhost/old"
    assert "proxy" not in closed


def test_a_resumed_session_is_logged_as_resumed(edge: Gateway, xmpp_server: XmppServer) -> None:
    played = Played(edge, xmpp_server, "rfc7395")
    played.ask("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'/>", SUCCESS.decode())
    played.restart()
    sm = "urn:xmpp:sm:3"
    played.ask(f"<resume xmlns='{sm}' h='0' previd='p'/>", f"<resumed xmlns='{sm}' h='0' previd='p'/>")
    # A user may send a stanza like the answer to a binding; after the login it does not count.
    played.server.send(bound("eve@localhost/x")[1].encode())
    played.browser.message()
    played.close()
    (closed,) = events(edge, "closed")
    assert closed["resumed"] is True
    assert "jid" not in closed


def test_repaired_stanzas_are_one_line_each_minute(edge: Gateway, xmpp_server: XmppServer) -> None:
    """Any user can cause them: one line for each session and minute, with the sender."""
    played = Played(edge, xmpp_server, "rfc7395")
    login(played, "alice@localhost/web")
    for number in range(3):
        sender = f"mallory&#10;{'x' * 600}@localhost/{number}"
        played.server.send(f"<message from='{sender}' id='{number}'><p:a/><body>hi</body></message>".encode())
        message = played.browser.message()
        assert f"id='{number}'".encode() in message
        assert b"<p:a/>" not in message
    played.server.send(b"<message from='x' id='last'/>")
    assert b"id='last'" in played.browser.message()
    played.close()
    (closed,) = events(edge, "closed")
    (repaired,) = events(edge, "repaired")
    known = {
        "level": "warning",
        "host": "localhost",
        "reason": "namespace",
        "connection": closed["connection"],
    }
    assert known.items() <= repaired.items()
    assert repaired["sender"].startswith("mallory")
    assert len(repaired["sender"]) <= 512
    assert closed["stanzas_to_client"] == 5, "the answer to the binding, and four messages"


def test_a_stanza_repaired_just_before_the_end_is_logged(edge: Gateway, xmpp_server: XmppServer) -> None:
    played = Played(edge, xmpp_server, "rfc7395")
    login(played, "alice@localhost/web")
    played.server.send(b"<message from='mallory@localhost'><p:a/></message></stream:stream>")
    assert b"mallory" in played.browser.message()
    played.close()
    assert len(events(edge, "closed")) == 1
    (repaired,) = events(edge, "repaired")
    assert repaired["sender"] == "mallory@localhost"


def test_a_connection_without_a_stream_has_a_line_of_its_end(edge: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", edge.ws_port), SECONDS) as sock:
        sock.sendall(upgrade_request())
        sock.recv(4096)
    (closed,) = events(edge, "closed")
    assert not {"host", "jid", "framing", "close_code", "tls", "resumed"} & closed.keys()
    assert closed["cause"] == "connection lost"


def test_a_refusal_is_logged(edge: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", edge.ws_port), SECONDS) as sock:
        sock.sendall(upgrade_request("/elsewhere", FORWARDED))
        assert sock.recv(4096).startswith(b"HTTP/1.1 404 ")
    (refused,) = events(edge, "refused")
    known = {"client": CLIENT, "proxy": "127.0.0.1", "status": 404, "level": "info"}
    assert known.items() <= refused.items()
    assert refused["message"] == f"{CLIENT} ! upgrade refused: {refused['reason']}"


@pytest.mark.rule("trace-context")
def test_the_lines_have_the_request_ids_of_a_trusted_proxy(edge: Gateway, xmpp_server: XmppServer) -> None:
    played = Played(edge, xmpp_server, "rfc7395", headers=NAMED)
    played.close()
    asked(edge.ws_port, *upgrade("/elsewhere", *NAMED))
    asked(edge.ws_port, *upgrade("/elsewhere", 'X-Request-ID: a" status=200', "traceparent: " + "0" * 129))
    (opened,), (closed,) = events(edge, "opened"), events(edge, "closed")
    lines = wait_for(edge, "refused", level="info", count=2)
    other, refused = sorted(lines, key=lambda line: "request_id" in line)
    for line in (opened, closed, refused):
        assert IDS.items() <= line.items()
    assert not IDS.keys() & other.keys()


@pytest.mark.rule("trace-context")
def test_no_line_has_the_request_ids_of_an_untrusted_peer(
    start_edge: StartEdge, xmpp_server: XmppServer
) -> None:
    """The PROXY header makes the peer one that is not loopback."""
    gateway = start_edge(ws_options="{use_proxy_protocol, true}, ", fresh=True)
    for address in (CLIENT, "127.0.0.1"):
        proxy = f"PROXY TCP4 {address} 127.0.0.1 4711 443"
        assert b" 404 " in asked(gateway.ws_port, proxy, *upgrade("/elsewhere", *NAMED[1:]))
    gateway.child.signal(signal.SIGTERM)
    assert gateway.child.wait(40) == 0
    lines = [line for line in gateway.child.text().splitlines() if "upgrade refused" in line]
    trusted, untrusted = sorted(lines, key=lambda line: CLIENT in line)
    assert "request_id" not in untrusted
    assert "traceparent" not in untrusted
    assert trusted.endswith(f" request_id={IDS['request_id']} traceparent={TRACE}")


def asked(port: int, *lines: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), SECONDS) as sock:
        sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
        return answer


def upgrade(path: str = "/ws-xmpp", *headers: str) -> tuple[str, ...]:
    return (*upgrade_request(path, headers).decode().split("\r\n")[:-2],)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (upgrade("/elsewhere?token=s"), {"status": 404, "path": "/elsewhere", "paths": "/ws-xmpp"}),
        (upgrade("http://localhost/x"), {"status": 404, "path": "http://localhost/x", "paths": "/ws-xmpp"}),
        (upgrade("/v2/ws-xmpp5288/s3cr3t/%E2%80%AE"), {"path": "/v2/ws-xmpp5288/.../%E2%80%AE"}),
        (upgrade("/elsewhere;token=hidden"), {"path": "/elsewhere"}),
        (upgrade("/elsewhere%3ftoken=hidden"), {"path": "/elsewhere"}),
        (upgrade("/elsewhere&token=hidden"), {"path": "/elsewhere"}),
        (upgrade("http://alice:token@localhost/x#token"), {"path": "http://localhost/x"}),
        (upgrade("http://alice:tok?=en@localhost/x"), {"path": "http://localhost/x"}),
        (upgrade("/" + "x" * 400), {"status": 404, "path": "/" + "x" * 255 + "..."}),
        (
            upgrade("/ws-xmpp", "Origin: https://evil.example", "Origin: null"),
            {"status": 403, "origin": "https://evil.example, null", "origins": "https://chat.example"},
        ),
        (("GET / HTTP/1.1", "Host: x"), {"status": 400, "path": "/", "paths": "/ws-xmpp"}),
        (upgrade("/%00/x"), {"status": 400, "path": "/%00/x", "paths": "/ws-xmpp"}),
        (
            ("POST /ws-xmpp HTTP/1.1", "Host: x"),
            {"status": 400, "method": "POST", "path": "/ws-xmpp", "hint": "BOSH in the client?"},
        ),
        (("\x16\x03\x01\x02",), {"status": 400, "hint": "TLS on a port without tls"}),
        (("PROXY TCP4 192.0.2.1 192.0.2.2 1 2",), {"status": 400, "hint": "a PROXY header"}),
        (("<?xml version='1.0'?><stream:stream>",), {"status": 400, "hint": "XML without WebSocket"}),
        (("PRI * HTTP/2.0", "", "SM"), {"status": 400, "hint": "HTTP/2"}),
        ((*upgrade(), "Content-Length: 1", "Content-Length: 1"), {"hint": "Content-Length twice"}),
        ((*upgrade(), "X: \0"), {"status": 400, "path": "/ws-xmpp", "hint": "NUL"}),
    ],
)
def test_the_line_of_a_refusal_has_the_facts_of_the_request(
    start_edge: StartEdge, lines: tuple[str, ...], told: dict[str, str | int]
) -> None:
    gateway = start_edge(arguments=JSON, ws_options='{websocket_origin, ["https://chat.example"]}, ')
    before = len(of_kind(gateway, "refused"))
    asked(gateway.ws_port, *lines)
    wait_until(lambda: len(of_kind(gateway, "refused")) > before, 20, "the line")
    refused = of_kind(gateway, "refused")[-1]
    for name, value in told.items():
        assert str(refused[name]).startswith(str(value)), refused
    assert len(str(refused.get("path", ""))) < 300
    assert "token" not in str(refused)


def of_kind(gateway: Gateway, event: str) -> list[dict[str, object]]:
    return [line for line in objects(gateway) if line.get("event") == event]


@pytest.mark.parametrize(
    ("data", "cause", "path"),
    [
        (b"GET /ws-xmpp?token=s HTTP/1.1\r\nHost: x\r\n\r\n", "plain HTTP on a port with tls", "/ws-xmpp"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "a PROXY header", None),
        (b"<stream:stream to='localhost'>", "no TLS on a port with tls", None),
    ],
)
def test_a_connection_without_tls_to_a_tls_port_is_logged(
    edge: Gateway, data: bytes, cause: str, path: str | None
) -> None:
    with socket.create_connection(("127.0.0.1", edge.wss_port), SECONDS) as sock:
        sock.sendall(data)
        while sock.recv(4096):
            pass
    (line,) = events(edge, "no upgrade")
    assert str(line["cause"]).startswith(cause)
    assert line.get("path") == path
    assert line["level"] == "info"


def test_a_domain_that_is_not_served_is_logged(edge: Gateway) -> None:
    browser = Browser(edge.ws_port, headers=FORWARDED)
    browser.text(OPENINGS["rfc7395"].replace(b"'localhost'", b"'Elsewhere.example\xe2\x80\xae'"))
    browser.until_close()
    browser.close()
    (line,) = events(edge, "not served")
    assert (line["to"], line["hosts"], line["client"]) == ("Elsewhere.example\u202e", "localhost", CLIENT)
    (closed,) = events(edge, "closed")
    assert line["connection"] == closed["connection"]


def test_health_checks_are_not_logged_one_by_one(start_edge: StartEdge, certificate: Certificate) -> None:
    """Plain requests, connections without bytes, TLS without a request: counted, and logged at debug."""
    quiet = start_edge(arguments=JSON, fresh=True)
    talkative = start_edge(arguments=(*JSON, "--log-level", "debug"), fresh=True)
    context = ssl.create_default_context(cafile=str(certificate.ca))
    for gateway in (quiet, talkative):
        for method in ("GET", "HEAD"):
            assert asked(gateway.ws_port, f"{method} /ws-xmpp HTTP/1.0").startswith(b"HTTP/1.1 200 ")
        for port in (gateway.ws_port, gateway.wss_port):
            for reset in (False, True):
                connection = Connection(socket.create_connection(("127.0.0.1", port), SECONDS))
                connection.reset() if reset else connection.close()
        with context.wrap_socket(
            socket.create_connection(("localhost", gateway.wss_port), SECONDS), server_hostname="localhost"
        ) as sock:
            sock.unwrap()
        asked(gateway.ws_port, *upgrade("/elsewhere"))
        (refused,) = wait_for(gateway, "refused", level="info")
        assert refused["status"] == 404
    wait_for(talkative, "no upgrade", level="debug", count=5)
    assert len(wait_for(talkative, "refused", level="debug", count=2)) == 2
    assert of_kind(quiet, "no upgrade") == []
    assert len(of_kind(quiet, "refused")) == 1


def wait_for(gateway: Gateway, event: str, *, level: str, count: int = 1) -> list[dict[str, object]]:
    def found() -> list[dict[str, object]]:
        return [line for line in of_kind(gateway, event) if line["level"] == level]

    wait_until(lambda: len(found()) >= count, 20, f"{count} lines {event!r}")
    return found()


def test_an_incomplete_request_is_logged(edge: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", edge.ws_port), SECONDS) as sock:
        sock.sendall(b"GET /ws-xmpp HTTP/1.1\r\n")
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):
            pass
    (line,) = events(edge, "no upgrade")
    assert (line["cause"], line["level"]) == ("connection closed inside the request head", "info")


def test_every_line_of_a_json_log_is_an_object(edge: Gateway) -> None:
    """Also the lines of the parent, from the start to the end."""
    pid = edge.child.pid
    edge.child.signal(signal.SIGTERM)
    assert edge.child.wait(40) == 0
    said = [line["message"] for line in objects(edge) if line["pid"] == pid]
    assert said[0].startswith("wsgw ")
    assert said[-1].startswith("stopping, ")


def test_a_plain_line_has_the_documented_fields_only(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    """A name with blanks and quotes does not add a field."""
    gateway = start_edge(fresh=True)
    played = Played(gateway, xmpp_server, "rfc7395", headers=FORWARDED)
    login(played, 'alice@localhost/a b" cause=none')
    played.close()
    gateway.child.signal(signal.SIGTERM)
    assert gateway.child.wait(40) == 0
    (closed,) = [line for line in gateway.child.text().splitlines() if " = closed " in line]
    assert re.match(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO wsgw.session_log\[\d+\]: #\d+ 203.0.113.9 = closed "
        r'host=localhost jid="alice@localhost/a b\\" cause=none" framing=rfc7395 duration=[0-9.]+ '
        r'close_code=1000 cause="closed by the client" stanzas_from_client=1 ',
        closed,
    ), closed


def test_a_reload_changes_the_format(start_edge: StartEdge) -> None:
    """In the parent and in every worker."""
    gateway = start_edge(fresh=True)
    text = gateway.config.read_text("utf-8")
    gateway.config.write_text(f"{text}\n{{log_format, json}}.\n", encoding="utf-8")
    gateway.child.signal(signal.SIGHUP)

    def told() -> set[int]:
        """The processes that have logged a refusal in JSON."""
        with socket.create_connection(("127.0.0.1", gateway.ws_port), SECONDS) as sock:
            sock.sendall(upgrade_request("/elsewhere"))
            sock.recv(4096)
        lines = [line for line in gateway.child.text().splitlines() if line.startswith("{")]
        return {json.loads(line)["pid"] for line in lines if line.endswith("}")}

    everyone = {gateway.child.pid, *gateway.workers}
    wait_until(lambda: everyone <= told(), 20, "JSON of all processes")


def test_every_field_is_documented(edge: Gateway, xmpp_server: XmppServer) -> None:
    documented = set(re.findall(r"`([a-z0-9_]+)`", (ROOT / "docs" / "logs.md").read_text("utf-8")))
    test_a_refusal_is_logged(edge)
    played = Played(edge, xmpp_server, "rfc7395", headers=NAMED)
    login(played, "alice@localhost/web")
    played.close()
    events(edge, "closed")
    assert {key for line in objects(edge) for key in line} <= documented
