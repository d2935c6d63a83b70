"""The lines of a connection: what each tells, as text and as JSON."""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl

import pytest
from edges import StartEdge
from real.certificates import Certificate
from real.gateway import Gateway
from real.processes import ROOT, wait_until
from wire import SECONDS, SUCCESS, XmppServer, upgrade_request

from ops_logs.played import Played, bound, events, iq, objects

JSON = ("--log-format", "json")
CLIENT = "203.0.113.9"
FORWARDED = (f"X-Forwarded-For: {CLIENT}",)
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
def test_a_session(
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


def test_a_session_in_the_oldest_way(edge: Gateway, xmpp_server: XmppServer) -> None:
    played = Played(edge, xmpp_server, "legacy")
    query = "<username>alice</username><resource>old</resource><password>pw</password>"
    played.ask(iq("a", "set", f"<query xmlns='jabber:iq:auth'>{query}</query>"), "<iq type='result' id='a'/>")
    played.close()
    (closed,) = events(edge, "closed")
    assert closed["jid"] == "alice@localhost/old"
    assert "proxy" not in closed


def test_a_resumed_session(edge: Gateway, xmpp_server: XmppServer) -> None:
    played = Played(edge, xmpp_server, "rfc7395")
    played.ask("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'/>", SUCCESS.decode())
    played.restart()
    sm = "urn:xmpp:sm:3"
    played.ask(f"<resume xmlns='{sm}' h='0' previd='p'/>", f"<resumed xmlns='{sm}' h='0' previd='p'/>")
    # Somebody may send what looks like a binding; it is too late for it to count.
    played.server.send(bound("eve@localhost/x")[1].encode())
    played.browser.message()
    played.close()
    (closed,) = events(edge, "closed")
    assert closed["resumed"] is True
    assert "jid" not in closed


def test_a_connection_that_opens_nothing(edge: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", edge.ws_port), SECONDS) as sock:
        sock.sendall(upgrade_request())
        sock.recv(4096)
    (closed,) = events(edge, "closed")
    assert not {"host", "jid", "framing", "close_code", "tls", "resumed"} & closed.keys()
    assert closed["cause"] == "connection lost"


def test_a_refusal(edge: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", edge.ws_port), SECONDS) as sock:
        sock.sendall(upgrade_request("/elsewhere", FORWARDED))
        assert sock.recv(4096).startswith(b"HTTP/1.1 404 ")
    (refused,) = events(edge, "refused")
    known = {"client": CLIENT, "proxy": "127.0.0.1", "status": 404, "level": "info"}
    assert known.items() <= refused.items()
    assert refused["message"] == f"{CLIENT} ! upgrade refused: {refused['reason']}"


def test_every_line_is_an_object(edge: Gateway) -> None:
    """Those of the parent too, from the start to the end."""
    pid = edge.child.pid
    edge.child.signal(signal.SIGTERM)
    assert edge.child.wait(40) == 0
    said = [line["message"] for line in objects(edge) if line["pid"] == pid]
    assert said[0].startswith("wsgw ")
    assert said[-1].startswith("stopping, ")


def test_plain_lines(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    """A name with blanks and quotes makes no further fields."""
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


def test_another_format_by_a_reload(start_edge: StartEdge) -> None:
    """Of the parent and of every worker."""
    gateway = start_edge(fresh=True)
    text = gateway.config.read_text("utf-8")
    gateway.config.write_text(f"{text}\n{{log_format, json}}.\n", encoding="utf-8")
    gateway.child.signal(signal.SIGHUP)

    def told() -> set[int]:
        """Who has refused something, and said so in JSON."""
        with socket.create_connection(("127.0.0.1", gateway.ws_port), SECONDS) as sock:
            sock.sendall(upgrade_request("/elsewhere"))
            sock.recv(4096)
        lines = [line for line in gateway.child.text().splitlines() if line.startswith("{")]
        return {json.loads(line)["pid"] for line in lines if line.endswith("}")}

    everyone = {gateway.child.pid, *gateway.workers}
    wait_until(lambda: everyone <= told(), 20, "JSON of all processes")


def test_every_field_is_documented(edge: Gateway, xmpp_server: XmppServer) -> None:
    documented = set(re.findall(r"`([a-z0-9_]+)`", (ROOT / "docs" / "logs.md").read_text("utf-8")))
    test_a_refusal(edge)
    played = Played(edge, xmpp_server, "rfc7395", headers=FORWARDED)
    login(played, "alice@localhost/web")
    played.close()
    events(edge, "closed")
    assert {key for line in objects(edge) for key in line} <= documented
