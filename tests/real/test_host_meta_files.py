"""nginx, Caddy and Apache serve host-meta with the files and snippets of ``wsgw host-meta``."""

from __future__ import annotations

import http.client
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ReservedPort, run_wsgw
from tests.support.web_servers import WEB_SERVERS
from wsgw.opening.host_meta import json_page, links_of, xrd

WSGW = """\
hosts: [example.org]
listen:
- port: 5288
  ip: "127.0.0.1"
  module: websocket_session
  upstream: tcp://127.0.0.1:5222
  request_handlers: {/ws-xmpp: mod_websocket}
"""
#: The snippet as the last part of a site that forwards all other paths to an application, which is down.
#: Each site also sets the header: browsers refuse a page that has it twice. nginx hides names with a dot.
SITES = {
    "nginx": """
        add_header Access-Control-Allow-Origin "*" always;
        location / {{ proxy_pass http://127.0.0.1:1; }}
        location ~ /\\. {{ deny all; }}
        include "{pages}/host-meta.nginx";
    """,
    "caddy": """
        header Access-Control-Allow-Origin *
        reverse_proxy 127.0.0.1:1
        import "{pages}/host-meta.caddy"
    """,
    "apache": """
        Header always set Access-Control-Allow-Origin "*"
        ProxyPass "/" "http://127.0.0.1:1/"
        Include "{pages}/host-meta.apache"
    """,
}
PAGES = {
    "host-meta": ("application/xrd+xml", xrd),
    "host-meta.json": ("application/json", json_page),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the accounts of web servers can read; its name needs quotes."""
    with tempfile.TemporaryDirectory(prefix="host-meta # ; é ") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def port() -> Iterator[int]:
    reserved = ReservedPort()
    yield reserved.number
    reserved.release()


def get(port: int, path: str) -> tuple[int, list[tuple[str, str]], str]:
    """Status, headers and text of the answer to GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request("GET", path, headers={"Origin": "https://app.example"})
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read().decode()
    finally:
        connection.close()


@pytest.mark.rule("xep-0156", "xep-0156-cors")
@pytest.mark.parametrize("name", SITES)
def test_a_web_server_serves_both_pages(name: str, folder: Path, port: int) -> None:
    pages = folder / "pages"
    (folder / "wsgw.yml").write_text(WSGW)
    done = run_wsgw("host-meta", "example.org", "--config", folder / "wsgw.yml", "--output", pages)
    assert (done.returncode, done.stderr) == (0, "")
    server = WEB_SERVERS[name].start(folder, SITES[name].format(pages=pages), port)
    try:
        for page, (media, write) in PAGES.items():
            status, headers, text = get(port, f"/.well-known/{page}")
            assert status == 200
            assert text == write(links_of("wss://example.org/ws-xmpp"))
            values = {key: [value for other, value in headers if other.lower() == key] for key in (
                "content-type", "access-control-allow-origin", "cache-control")}  # fmt: skip
            assert values == {
                "content-type": [media],
                "access-control-allow-origin": ["*"],
                "cache-control": ["public, max-age=3600"],
            }
        assert get(port, "/.well-known/host-meta.nginx")[0] in (403, 502, 503)
    finally:
        server.kill()
