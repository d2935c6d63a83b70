"""Web servers and proxies on loopback, with a part of their configuration from a test or a page."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from tests.support.fixtures import missing
from tests.support.processes import Child

_NGINX = """\
daemon off; master_process off; pid "{folder}/nginx.pid"; error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path "{folder}/nginx"; proxy_temp_path "{folder}/nginx"; scgi_temp_path "{folder}/nginx";
    fastcgi_temp_path "{folder}/nginx"; uwsgi_temp_path "{folder}/nginx";
    server {{
        listen 127.0.0.1:{port};
        {inside}
    }}
}}
"""
_CADDY = """\
{{
    admin off
    auto_https off
    storage file_system "{folder}/caddy"
}}
:{port} {{
    bind 127.0.0.1
    {inside}
}}
"""
_APACHE = """\
ServerRoot /usr/lib/apache2
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule alias_module modules/mod_alias.so
LoadModule headers_module modules/mod_headers.so
LoadModule proxy_module modules/mod_proxy.so
LoadModule proxy_http_module modules/mod_proxy_http.so
LoadModule unique_id_module modules/mod_unique_id.so
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
    {inside}
</VirtualHost>
"""
_HAPROXY = """\
defaults
    timeout connect 5s
    timeout client 30s
    timeout server 30s
{inside}
"""


class WebServer(NamedTuple):
    program: str
    package: str
    #: The arguments before the file of the configuration: to serve, and to check it.
    serve: tuple[str, ...]
    check: tuple[str, ...]
    #: The configuration around the given part: ``{inside}``, in ``{folder}``, on ``{port}``.
    around: str

    def command(self, *arguments: str) -> list[str]:
        """The command line; skips the test if the program is missing."""
        found = shutil.which(self.program) or shutil.which(self.program, path="/usr/sbin")
        if found is None:
            missing(f"{self.program} is not installed (Debian package {self.package})")
        return [found, *arguments]

    def write(self, folder: Path, inside: str, port: int) -> Path:
        """Write the configuration into ``folder``; returns its file."""
        path = folder / f"{self.program}.conf"
        path.write_text(self.around.format(folder=folder, inside=inside, port=port))
        return path

    def start(self, folder: Path, inside: str, port: int) -> Child:
        """Serve on ``port`` until the child is killed."""
        command = self.command(*self.serve, str(self.write(folder, inside, port)))
        child = Child(command, folder / f"{self.program}.log", {"HOME": str(folder)})
        child.wait_for_ports(port)
        return child


WEB_SERVERS = {
    "nginx": WebServer("nginx", "nginx-light", ("-c",), ("-t", "-c"), _NGINX),
    "caddy": WebServer(
        "caddy",
        "caddy",
        ("run", "--adapter", "caddyfile", "--config"),
        ("adapt", "--adapter", "caddyfile", "--config"),
        _CADDY,
    ),
    "apache": WebServer("apache2", "apache2-bin", ("-X", "-f"), ("-t", "-f"), _APACHE),
    "haproxy": WebServer("haproxy", "haproxy", ("-db", "-f"), ("-c", "-f"), _HAPROXY),
}
