"""Proxies in front of wsgw, with the configurations of docs/proxies.md and docs/discovery.md."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of
from tests.listener.heads import answer, request
from tests.support.certificates import Certificate
from tests.support.edges import StartEdge
from tests.support.fixtures import Account
from tests.support.gateway import Gateway
from tests.support.processes import ROOT, ReservedPort
from tests.support.servers import Server
from tests.support.web_servers import WEB_SERVERS
from tests.support.wire import (
    CLOSE_7395,
    END,
    OPENINGS,
    SECONDS,
    Browser,
    Connection,
    XmppServer,
    upgrade_request,
)
from wsgw.probe import prove

WSGW = """\
{{hosts, ["localhost"]}}.
{{workers, 1}}.
{{listen, [
  {{{c2s_port}, ejabberd_c2s, []}},
  {{{ws_port}, websocket_session, [
    {{ip, {{127,0,0,1}}}},
    {{request_handlers, [{{"/ws-xmpp", mod_websocket}}, {{"/.well-known", mod_host_meta}}]}}
  ]}},
  {{{wss_port}, websocket_session, [{{ip, {{127,0,0,1}}}}, {{tls, true}}, {{certfile, "{certfile}"}}]}}
]}}.
{{modules, [{{mod_host_meta, [{{websocket_url, "wss://@HOST@/ws-xmpp"}}]}}]}}.
"""


def block(page: str, start: str) -> str:
    """The code block of a page in ``docs`` that begins with ``start``."""
    blocks = blocks_of(ROOT / "docs" / f"{page}.md")
    (only,) = [block.text for block in blocks if block.text.lstrip().startswith(start)]
    return only


#: Name → the whole part for the WebSocket.
PROXIES = {
    "nginx": block("proxies", "location"),
    "haproxy": block("proxies", "frontend"),
    "caddy": block("proxies", "reverse_proxy"),
    "apache": block("proxies", "ProxyPreserveHost"),
}
#: Name → (place of the part, the parts for the request ID and for host-meta).
MORE = {
    "nginx": ("}", block("proxies", "proxy_set_header X-Request-ID") + "}" + block("discovery", "location")),
    "haproxy": (
        "\n\nbackend",
        "\n" + block("proxies", "unique-id-format") + block("discovery", "use_backend") + "\nbackend",
    ),
}


@pytest.fixture
def port() -> Iterator[int]:
    reserved = ReservedPort()
    yield reserved.number
    reserved.release()


@contextmanager
def proxy(
    name: str, folder: Path, port: int, wsgw_port: int, more: tuple[str, str] = ("", "")
) -> Iterator[None]:
    """The proxy of the page on ``port``, without TLS, in front of ``wsgw_port``."""
    folder.chmod(0o755)
    part = PROXIES[name].replace(*more) if more[0] else PROXIES[name]
    part = part.replace("127.0.0.1:5288", f"127.0.0.1:{wsgw_port}")
    part = re.sub(r"bind :443 ssl .*", f"bind 127.0.0.1:{port}", part)
    running = WEB_SERVERS[name].start(folder, part, port)
    try:
        yield
    finally:
        running.kill()


@pytest.fixture(scope="module")
def demo(start_server: Callable[[str], Server]) -> Server:
    return start_server("demo")


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate, demo: Server
) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("wsgw"), certificate, demo.c2s_port, domain=demo.domain)
    try:
        yield gateway.start()
        assert gateway.stop() == 0
    finally:
        gateway.close()


@pytest.mark.parametrize("name", PROXIES)
def test_two_accounts_log_in_through_a_proxy_of_the_documentation(
    name: str,
    gateway: Gateway,
    demo: Server,
    new_account: Callable[[Server], Account],
    tmp_path: Path,
    port: int,
) -> None:
    alice, bob = ((each.user, each.password) for each in (new_account(demo), new_account(demo)))
    with proxy(name, tmp_path, port, gateway.ws_port):
        prove(f"ws://127.0.0.1:{port}/ws-xmpp", demo.domain, alice, bob, SECONDS)


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_of_the_documentation_sends_the_address_of_the_client(
    name: str, tmp_path: Path, port: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(SECONDS)
        with proxy(name, tmp_path, port, listening.getsockname()[1]):
            browser = socket.create_connection(("127.0.0.1", port), SECONDS)
            browser.sendall(upgrade_request())
            with browser, contextlib.closing(listening.accept()[0]) as accepted:
                head = Connection(accepted).read_until(b"\r\n\r\n").decode()
    assert head.startswith("GET /ws-xmpp HTTP/1.1\r\n")
    assert re.search(r"^X-Forwarded-For: 127\.0\.0\.1\r$", head, re.MULTILINE | re.IGNORECASE)


@pytest.mark.rule("xep-0156", "xep-0156-cors")
@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_a_proxy_of_the_documentation_forwards_websocket_and_host_meta(
    start_edge: StartEdge, xmpp_server: XmppServer, tmp_path: Path, name: str, port: int
) -> None:
    gateway = start_edge(config=WSGW, arguments=("--log-format", "json"), fresh=True)
    with proxy(name, tmp_path, port, gateway.ws_port, more=MORE[name]):
        lines = ("GET /.well-known/host-meta HTTP/1.1", "Host: localhost", "Connection: close")
        page = answer(port, request(*lines)).decode()
        assert page.startswith("HTTP/1.1 200 OK\r\n")
        assert 'href="wss://localhost/ws-xmpp"' in page
        assert page.lower().count("access-control-allow-origin: *\r\n") == 1
        browser = Browser(port, headers=("X-Request-ID: claimed", "X-Forwarded-For: 198.51.100.66"))
        assert browser.head.startswith("HTTP/1.1 101 ")
        browser.text(OPENINGS["rfc7395"])
        server = xmpp_server.accept_stream()
        assert browser.message().startswith(b"<open ")
        browser.text(CLOSE_7395)
        server.read_until(END)
        server.send(END)
        browser.until_close()
    events = [json.loads(line) for line in gateway.log.read_text().splitlines() if line.endswith("}")]
    (opened,) = [line for line in events if line.get("event") == "opened"]
    # On this machine the browser has a proxy's address, so that its own list of addresses counts.
    assert (opened["proxy"], opened["client"]) == ("127.0.0.1", "198.51.100.66")
    assert re.fullmatch(r"[0-9a-f]{32}|[0-9A-F]+:[0-9A-F]+_[0-9A-F:_]+", opened["request_id"])
