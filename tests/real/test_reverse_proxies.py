"""nginx and haproxy in front of wsgw, configured as docs/proxies.md and docs/discovery.md say."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.listener.heads import answer, request
from tests.support.edges import StartEdge
from tests.support.fixtures import missing
from tests.support.gateway import Gateway
from tests.support.processes import ROOT, Child, ReservedPort
from tests.support.wire import CLOSE_7395, END, OPENINGS, Browser, XmppServer

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
NGINX = """\
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx; proxy_temp_path {folder}/nginx; scgi_temp_path {folder}/nginx;
    fastcgi_temp_path {folder}/nginx; uwsgi_temp_path {folder}/nginx;
    server {{
        listen 127.0.0.1:{port};
        {site}
    }}
}}
"""
HAPROXY = """\
defaults
    timeout connect 5s
    timeout client 60s
    timeout server 60s
{site}
"""


def block(page: str, start: str) -> str:
    """The code block of a page in ``docs`` that begins with ``start``."""
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    found = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (only,) = [code for code in found if code.lstrip().startswith(start)]
    return str(only)


def nginx(folder: Path, port: int) -> str:
    request_id = block("proxies", "proxy_set_header X-Request-ID")
    site = block("proxies", "location").replace("}", request_id + "}") + block("discovery", "location")
    return NGINX.format(folder=folder, port=port, site=site)


def haproxy(_folder: Path, port: int) -> str:
    discovery = (ROOT / "docs" / "discovery.md").read_text("utf-8")
    host_meta = re.search(r"^    use_backend .*host-meta.*\n", discovery, re.MULTILINE)
    assert host_meta is not None
    lines = block("proxies", "unique-id-format") + host_meta[0]
    https = ":443 ssl crt /etc/haproxy/example.org.pem alpn http/1.1"
    site = block("proxies", "frontend").replace(https, f"127.0.0.1:{port}")
    return HAPROXY.format(site=site.replace("\n\nbackend", f"\n{lines}\nbackend"))


#: Name → (its command up to the file of the configuration, the content of that file).
PROXIES = {"nginx": (["nginx", "-c"], nginx), "haproxy": (["haproxy", "-db", "-f"], haproxy)}


@contextmanager
def proxy(folder: Path, gateway: Gateway, name: str) -> Iterator[int]:
    """The port of a proxy in front of ``gateway``."""
    (program, *options), configuration = PROXIES[name]
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        missing(f"{program} is not installed")
    reserved, file = ReservedPort(), folder / f"{name}.conf"
    text = configuration(folder, reserved.number)
    file.write_text(text.replace("127.0.0.1:5288", f"127.0.0.1:{gateway.ws_port}"))
    child = Child([found, *options, str(file)], folder / f"{name}.log")
    try:
        child.wait_for_ports(reserved.number)
        yield reserved.number
    finally:
        child.kill()
        reserved.release()


@pytest.mark.rule("xep-0156", "xep-0156-cors")
@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_of_the_documentation_forwards_websocket_and_host_meta(
    start_edge: StartEdge, xmpp_server: XmppServer, tmp_path: Path, name: str
) -> None:
    gateway = start_edge(config=WSGW, arguments=("--log-format", "json"), fresh=True)
    with proxy(tmp_path, gateway, name) as port:
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
