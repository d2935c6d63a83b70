"""nginx, Caddy and Apache serve host-meta with the files and snippets of ``wsgw host-meta``."""

from __future__ import annotations

import http.client
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fixtures import missing
from tests.support.processes import Child, ReservedPort, run_wsgw
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
#: Each site sets the header for all its pages too: browsers refuse a page that has it twice.
NGINX = """\
daemon off; master_process off; pid "{folder}/nginx.pid"; error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path "{folder}/nginx"; proxy_temp_path "{folder}/nginx"; scgi_temp_path "{folder}/nginx";
    fastcgi_temp_path "{folder}/nginx"; uwsgi_temp_path "{folder}/nginx";
    server {{
        listen 127.0.0.1:{port};
        add_header Access-Control-Allow-Origin "*" always;
        include "{pages}/host-meta.nginx";
    }}
}}
"""
CADDY = """\
{{
    admin off
    auto_https off
    storage file_system "{folder}/caddy"
}}
http://127.0.0.1:{port} {{
    header Access-Control-Allow-Origin *
    import "{pages}/host-meta.caddy"
    respond 404
}}
"""
APACHE = """\
ServerRoot /usr/lib/apache2
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule alias_module modules/mod_alias.so
LoadModule headers_module modules/mod_headers.so
ServerName localhost
DefaultRuntimeDir "{folder}"
PidFile "{folder}/apache.pid"
ErrorLog "|/bin/cat >&2"
User www-data
Group www-data
Listen 127.0.0.1:{port}
<Directory />
    Require all denied
</Directory>
<VirtualHost *:{port}>
    Header always set Access-Control-Allow-Origin "*"
    Include "{pages}/host-meta.apache"
</VirtualHost>
"""
#: Name → (program, Debian package, arguments before the file of the configuration, the configuration).
SERVERS = {
    "nginx": ("nginx", "nginx-light", ["-c"], NGINX),
    "caddy": ("caddy", "caddy", ["run", "--adapter", "caddyfile", "--config"], CADDY),
    "apache": ("apache2", "apache2-bin", ["-X", "-f"], APACHE),
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
@pytest.mark.parametrize("name", SERVERS)
def test_a_web_server_serves_both_pages(name: str, folder: Path, port: int) -> None:
    program, package, arguments, config = SERVERS[name]
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        missing(f"{program} is not installed (Debian package {package})")
    pages = folder / "pages"
    (folder / "wsgw.yml").write_text(WSGW)
    done = run_wsgw("host-meta", "example.org", "--config", folder / "wsgw.yml", "--output", pages)
    assert (done.returncode, done.stderr) == (0, "")
    file = folder / f"{name}.conf"
    file.write_text(config.format(folder=folder, pages=pages, port=port))
    server = Child([found, *arguments, str(file)], folder / f"{name}.log", {"HOME": str(folder)})
    try:
        server.wait_for_ports(port)
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
        assert get(port, "/.well-known/host-meta.nginx")[0] in (404, 403)
    finally:
        server.kill()
