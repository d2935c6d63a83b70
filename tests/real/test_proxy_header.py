"""A client's address and TLS through a chain: haproxy, wsgw, and then ejabberd or haproxy again.

The client gives its address to the first haproxy in a PROXY header: all connections here are of loopback.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.legacy import END, OPEN_SELF_CLOSED, LegacyClient, old_strophe
from tests.support.certificates import Certificate, make_certificate
from tests.support.fixtures import Account, missing
from tests.support.gateway import ERLANG_CONFIG, Gateway
from tests.support.processes import Child, ReservedPort, wait_until
from tests.support.servers import Server
from tests.support.wire import OPENINGS, SECONDS, XmppServer, frame, upgrade_request

ADDRESS = "203.0.113.9"
PROXY_LINE = f"PROXY TCP4 {ADDRESS} 127.0.0.1 4711 443\r\n".encode()
#: What a client may claim. haproxy in TCP mode forwards it.
CLAIMS = ("X-Forwarded-For: 198.51.100.66", "Forwarded: for=198.51.100.66", "X-Request-ID: claimed")
WS_OPTIONS = "{use_proxy_protocol, true}, {upstream_proxy_protocol, v2}, "
HAPROXY = """\
global
    maxconn 100
    log stdout format raw local0
defaults
    mode tcp
    log global
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen balancer
    bind 127.0.0.1:{front} accept-proxy ssl crt {pem} alpn http/1.1
    no log
    unique-id-format balancer-%ci:%cp
    server wsgw 127.0.0.1:{wsgw} send-proxy-v2 proxy-v2-options ssl,ssl-cipher,authority,unique-id
listen receiver
    bind 127.0.0.1:{back} accept-proxy
    log-format "receiver src=%[src] port=%[src_port] host=%[fc_pp_authority] id=%[fc_pp_unique_id] ."
    server xmpp 127.0.0.1:{c2s}
"""


def haproxy() -> str:
    """The program."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        missing("haproxy is not installed (Debian package haproxy)")
    return program


class Chain:
    """haproxy as a balancer with TLS in front of wsgw; wsgw's upstream is ``c2s``, or haproxy before it."""

    def __init__(self, folder: Path, certificate: Certificate, c2s: int, *, received: bool) -> None:
        self._ports = [ReservedPort(), ReservedPort()]
        self.port, back = (port.number for port in self._ports)
        self.gateway = Gateway(
            folder,
            certificate,
            back if received else c2s,
            ws_options=WS_OPTIONS,
            arguments=("--log-format", "json"),
        )
        config = folder / "haproxy.cfg"
        fields = {"front": self.port, "back": back, "wsgw": self.gateway.ws_port, "c2s": c2s}
        config.write_text(HAPROXY.format(**fields, pem=certificate.pem))
        self.haproxy = Child([haproxy(), "-db", "-f", str(config)], folder / "haproxy.log")
        self.haproxy.wait_for_ports(self.port, back)
        self.gateway.start()

    def close(self) -> None:
        self.haproxy.kill()
        self.gateway.close()
        for port in self._ports:
            port.release()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of wsgw's log with this event."""
        lines = [json.loads(line) for line in self.gateway.child.text().splitlines() if line.endswith("}")]
        return [line for line in lines if line.get("event") == event]


@pytest.fixture
def chain(tmp_path: Path, certificate: Certificate) -> Iterator[Callable[..., Chain]]:
    started: list[Chain] = []

    def start(c2s: int, *, received: bool) -> Chain:
        started.append(Chain(tmp_path, certificate, c2s, received=received))
        return started[-1]

    yield start
    for one in started:
        one.close()


def connected_users(ejabberd: Server) -> list[dict[str, Any]]:
    """The answer of ejabberd's command ``connected_users_info``, with an address of each session."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{ejabberd.http_port}/api/connected_users_info",
        b"{}",
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=15) as answer:
        return list(json.load(answer))


@pytest.mark.rule("proxy-write")
def test_ejabberd_reports_the_address_that_the_balancer_saw(
    ejabberd: Server, new_account: Callable[[Server], Account], chain: Callable[..., Chain]
) -> None:
    """Not the one that the client claims in its request."""
    here, account = chain(ejabberd.c2s_proxy_port, received=False), new_account(ejabberd)
    with LegacyClient(here.port, ca=ejabberd.certificate.ca, before=PROXY_LINE, headers=CLAIMS) as browser:
        for exchange in old_strophe(account.user, account.password, account.domain):
            browser.send(exchange.say)
            browser.receive_until(exchange.until)
        users = connected_users(ejabberd)
        browser.send(END)
        assert browser.receive() == END
    (session,) = [user for user in users if user["jid"].startswith(f"{account.user}@")]
    assert session["ip"].removeprefix("::ffff:") == ADDRESS
    assert session["port"] == 4711


@pytest.mark.rule("proxy-tlv")
def test_haproxy_reads_the_header_of_wsgw(ejabberd: Server, chain: Callable[..., Chain]) -> None:
    """Host name and ID are the balancer's. wsgw logs them too, with the TLS that the balancer ended."""
    here = chain(ejabberd.c2s_port, received=True)
    with LegacyClient(here.port, ca=ejabberd.certificate.ca, before=PROXY_LINE, headers=CLAIMS) as browser:
        browser.send(OPEN_SELF_CLOSED.format(domain=ejabberd.domain))
        browser.receive_until("</stream:features>")
        browser.send(END)
        assert browser.receive() == END
    request_id = f"balancer-{ADDRESS}:4711"
    said = f"receiver src={ADDRESS} port=4711 host=localhost id={request_id} ."
    wait_until(lambda: said in here.haproxy.text(), 15, said)
    wait_until(lambda: bool(here.lines("closed")), 15, "wsgw's line")
    for event in ("opened", "closed"):
        (line,) = here.lines(event)
        assert (line["client"], line["authority"], line["request_id"]) == (ADDRESS, "localhost", request_id)
        assert line["tls"] == "TLSv1.3"
        assert re.match(r"TLS_\w+$", line["cipher"])


#: haproxy with certificates of clients, once in front of the XMPP server and once in front of wsgw.
VERIFYING = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    default-server send-proxy-v2 proxy-v2-options ssl,ssl-cipher,cert-cn
listen alone
    bind 127.0.0.1:{alone} ssl crt {pem} verify required ca-file {ca}
    server xmpp 127.0.0.1:{xmpp}
listen before
    bind 127.0.0.1:{before} ssl crt {pem} verify required ca-file {ca}
    server wsgw 127.0.0.1:{wsgw}
"""


def tls_of_the_client(server: XmppServer) -> tuple[bytes, dict[int, bytes]]:
    """(the fields before the TLVs in ``PP2_TYPE_SSL``, these TLVs), from the header on a new connection."""
    connection = server.accept()
    body = connection.read(int.from_bytes(connection.read(16)[14:], "big"))
    connection.close()
    value = tlvs(body[12:])[0x20]
    return value[:5], tlvs(value[5:])


def tlvs(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        end = 3 + int.from_bytes(data[1:3], "big")
        found[data[0]], data = data[3:end], data[end:]
    return found


def test_wsgw_describes_a_clients_certificate_as_haproxy_does(
    tmp_path: Path, certificate: Certificate
) -> None:
    """The same client at haproxy, at wsgw (``tls_verify``), and at wsgw behind haproxy."""
    person = make_certificate(tmp_path / "person", "J\u00fcrgen Person", alternative=False)
    ports, server = [ReservedPort(), ReservedPort()], XmppServer()
    alone, before = (port.number for port in ports)
    verify = f'{{{{tls, true}}}}, {{{{tls_verify, true}}}}, {{{{cafile, "{person.ca}"}}}}'
    text = ERLANG_CONFIG.replace("{{tls, true}}", verify)
    gateway = Gateway(tmp_path, certificate, server.port, config=text, ws_options=WS_OPTIONS)
    config, files = tmp_path / "haproxy.cfg", {"pem": certificate.pem, "ca": person.ca}
    fields = {"alone": alone, "before": before, "xmpp": server.port, "wsgw": gateway.ws_port}
    config.write_text(VERIFYING.format(**fields, **files))
    child = Child([haproxy(), "-db", "-f", str(config)], tmp_path / "haproxy.log")
    client = ssl.create_default_context(cafile=certificate.ca)
    client.load_cert_chain(person.pem)
    try:
        gateway.start()
        child.wait_for_ports(alone, before)
        described = []
        for port, first in ((alone, b""), (gateway.wss_port, PROXY_LINE), (before, b"")):
            plain = socket.create_connection(("127.0.0.1", port), SECONDS)
            plain.sendall(first)
            with client.wrap_socket(plain, server_hostname="localhost") as secure:
                secure.sendall(upgrade_request() + frame(OPENINGS["rfc7395"]))
                described.append(tls_of_the_client(server))
    finally:
        child.kill()
        gateway.close()
        server.close()
        for reserved in ports:
            reserved.release()
    by_haproxy = described[0]
    assert by_haproxy[0] == b"\x07\0\0\0\0"
    assert by_haproxy[1][0x22].decode() == "J\u00fcrgen Person"
    assert described == [by_haproxy] * 3
