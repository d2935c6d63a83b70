"""A small internet in a network namespace: a DNS server, proxies on port 443, gateways, an XMPP server.

Each site is a domain ``NAME.wsgw.test``, behind nginx, haproxy or Caddy, with one fault or none.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.certificates import Certificate, make_certificate
from tests.support.network_namespaces import NetworkNamespace
from tests.support.processes import ROOT, Child, wait_until
from tests.support.wire import END

ZONE = "wsgw.test"
NGINX_IP, HAPROXY_IP, CADDY_IP, SILENT_IP, GATEWAY_IP, DNS_IP = (
    f"192.0.2.{number}" for number in (1, 2, 3, 9, 10, 53)
)
_PROXIES = {"nginx": NGINX_IP, "haproxy": HAPROXY_IP, "caddy": CADDY_IP}
NOWHERE = "nowhere"
_FEATURES = (
    b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
    b"<mechanism>SCRAM-SHA-256</mechanism><mechanism>PLAIN</mechanism></mechanisms></stream:features>"
)
_HEADER = (
    b"<?xml version='1.0'?><stream:stream id='s1' version='1.0' xmlns:stream="
    b"'http://etherx.jabber.org/streams' xmlns='jabber:client'>"
)


@dataclass(frozen=True)
class Gateway:
    """A gateway: the text of its listener's ``ip`` and ``port``, and further options."""

    ip: str = "127.0.0.1"
    port: int = 5288
    options: str = ""

    @property
    def place(self) -> str:
        return f"{self.ip}:{self.port}"


GATEWAYS = {
    "main": Gateway(),
    "strict": Gateway(port=5289, options='websocket_origin: ["https://other.example"]'),
    "pinging": Gateway(port=5291, options="websocket_ping_interval: 1"),
    # Its proxies are on another address than loopback, and not in trusted_proxies.
    "far": Gateway(ip=GATEWAY_IP, port=5290),
}


@dataclass(frozen=True)
class Site:
    """A domain. The texts are parts of the proxy's configuration, in which ``{backend}`` is the gateway."""

    proxy: str = "nginx"
    #: nginx: the location of the WebSocket. haproxy: lines of the backend. Caddy: the whole site block.
    websocket: str = ""
    #: nginx: the locations of host-meta.
    host_meta: str = ""
    gateway: str = "main"
    #: The name of the certificate in ``World.certificates``.
    certificate: str = "good"
    #: That of the A record in place of the proxy's; ``NOWHERE`` for a domain without any record.
    address: str = ""
    #: Records in addition to the usual ones, or in place of them.
    more: Mapping[str, Sequence[str]] = field(default_factory=dict)


UPGRADE = (
    'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
)
FORWARDED = "proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
NGINX_WEBSOCKET = f"location /ws-xmpp {{ proxy_pass http://@BACKEND@; {UPGRADE} {FORWARDED} @MORE@ }}"
NGINX_PAGES = (
    "location /.well-known/host-meta { proxy_pass http://@BACKEND@; proxy_set_header Host $host; @MORE@ }"
)
HAPROXY = "    option forwardfor\n    timeout tunnel 2m\n"
NGINX = """\
daemon off; master_process off; worker_processes 1; pid "@FOLDER@/nginx.pid"; error_log stderr;
events { }
http {
    access_log off;
    client_body_temp_path "@FOLDER@/nginx"; proxy_temp_path "@FOLDER@/nginx"; scgi_temp_path "@FOLDER@/nginx";
    fastcgi_temp_path "@FOLDER@/nginx"; uwsgi_temp_path "@FOLDER@/nginx";
    @SERVERS@
}
"""
NGINX_SERVER = """
    server {
        listen @IP@:443 ssl; server_name @DOMAIN@; ssl_certificate "@PEM@"; ssl_certificate_key "@PEM@";
        @LOCATIONS@
    }
"""
HAPROXY_HEAD = """\
global
    maxconn 100
defaults
    mode http
    timeout connect 5s
    timeout client 2m
    timeout server 10s
frontend web
    bind @IP@:443 ssl crt @PEM@ alpn http/1.1
@RULES@
"""
CADDY = "reverse_proxy @BACKEND@"
CADDY_HEAD = """\
{
    admin off
    auto_https off
    storage file_system "@FOLDER@/caddy"
}
"""
CADDY_SITE = """
https://@DOMAIN@ {
    bind @IP@
    tls "@PEM@" "@PEM@"
    @BLOCK@
}
"""


def nginx_websocket(more: str = "", upgrade: str = UPGRADE) -> str:
    """The location of the WebSocket with further directives, or with others for the upgrade."""
    return NGINX_WEBSOCKET.replace(UPGRADE, upgrade).replace("@MORE@", more)


def nginx_pages(more: str = "") -> str:
    """The location of host-meta with further directives."""
    return NGINX_PAGES.replace("@MORE@", more)


class World:
    """The running servers, for ``sites`` by the first label of their domain."""

    def __init__(self, folder: Path, sites: Mapping[str, Site]) -> None:
        """OSError and subprocess.CalledProcessError if there can be no namespace here."""
        self._folder = folder
        self._sites = sites
        self._stack = ExitStack()
        self._pems: dict[str, Certificate] = {}
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._stack.close()

    def doctor(self, site: str, *arguments: str, config: bool = True) -> list[dict[str, str]]:
        """The findings of the command about a site, also about the gateway behind it with ``config``."""
        named = ["--config", str(self._config_of(self._sites[site].gateway))] if config else []
        command = ["doctor", domain_of(site), "--json", "--resolver", DNS_IP, "--cafile", str(self._cafile)]
        argv = [sys.executable, "-m", "wsgw", *command, *named, *arguments]
        done = subprocess.run(
            self._namespace.inside(*argv), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert not done.stderr, done.stderr
        findings: list[dict[str, str]] = json.loads(done.stdout)
        failed = any(finding["verdict"] == "failed" for finding in findings)
        # Without --config the command finds a file of the XMPP server on some machines.
        assert done.returncode == failed or not config, findings
        return findings

    # -- the servers -----------------------------------------------------------------------------

    def _start(self) -> None:
        self._namespace = self._stack.enter_context(closing(NetworkNamespace(self._folder / "namespace.log")))
        self._namespace.ip("link", "set", "lo", "up")
        for address in (NGINX_IP, HAPROXY_IP, CADDY_IP, SILENT_IP, GATEWAY_IP, DNS_IP):
            self._namespace.ip("address", "add", f"{address}/32", "dev", "lo")
        self._make_certificates()
        self._start_xmpp_server()
        self._run("dns", sys.executable, "-m", "tests.support.name_server", DNS_IP, "53", self._records())
        for name in {site.gateway for site in self._sites.values()}:
            self._write_config(name)
            argv = ["-m", "wsgw", "--config", str(self._config_of(name)), "--user", "root", "--offline"]
            self._run(name, sys.executable, *argv)
        (self._folder / "nginx").mkdir()
        self._run("nginx", "nginx", "-c", str(self._write("nginx.conf", self._nginx())))
        self._run("haproxy", "haproxy", "-f", str(self._write("haproxy.cfg", self._haproxy())))
        caddyfile = str(self._write("Caddyfile", self._caddy()))
        self._run("caddy", "caddy", "run", "--adapter", "caddyfile", "--config", caddyfile)
        wait_until(self._are_ready, 30.0, "the servers")

    def _run(self, name: str, *argv: str) -> None:
        child = Child(self._namespace.inside(*argv), self._folder / f"{name}.log")
        self._stack.callback(child.kill)

    def _write(self, name: str, text: str) -> Path:
        path = self._folder / name
        path.write_text(text.replace("@FOLDER@", str(self._folder)))
        return path

    def _are_ready(self) -> bool:
        gateways = (GATEWAYS[site.gateway] for site in self._sites.values())
        needed = {(one.ip, one.port) for one in gateways} | {(ip, 443) for ip in _PROXIES.values()}
        dns_is_ready = "ready" in (self._folder / "dns.log").read_text("utf-8")
        return dns_is_ready and needed <= listening(self._namespace.pid)

    def _make_certificates(self) -> None:
        zone = f"*.{ZONE}"
        self._pems["good"] = make_certificate(self._folder / "good", zone, extra="")
        self._pems["expired"] = make_certificate(self._folder / "expired", zone, extra="", days="0")
        self._pems["other"] = make_certificate(self._folder / "other", "www.example.org", extra="")
        trusted = b"".join(one.ca.read_bytes() for one in self._pems.values())
        issuer = "authorityInfoAccess=caIssuers;URI:http://ca.wsgw.test/intermediate.der\n"
        self._pems["incomplete"] = make_certificate(self._folder / "incomplete", zone, extra="", more=issuer)
        self._cafile = self._folder / "trusted.pem"
        self._cafile.write_bytes(trusted)

    def _start_xmpp_server(self) -> None:
        """On a Unix socket, which each namespace reaches."""
        self._socket = self._folder / "xmpp.socket"
        listening = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(self._socket))
        listening.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=_answer_stream, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()

    # -- their configurations --------------------------------------------------------------------

    def _config_of(self, gateway: str) -> Path:
        return self._folder / f"{gateway}.yml"

    def _write_config(self, name: str) -> None:
        gateway = GATEWAYS[name]
        hosts = ", ".join(domain_of(site) for site in self._sites)
        self._config_of(name).write_text(
            f"hosts: [{hosts}]\nworkers: 1\ndrain_timeout: 1\nlisten:\n"
            f"- module: websocket_session\n  ip: {gateway.ip}\n  port: {gateway.port}\n"
            f"  upstream: unix:{self._socket}\n"
            "  request_handlers: {/ws-xmpp: mod_websocket, /.well-known: mod_host_meta}\n"
            + (f"  {gateway.options}\n" if gateway.options else "")
            + f"- module: wsgw_admin\n  ip: 127.0.0.1\n  port: {gateway.port + 100}\n"
        )

    def _records(self) -> str:
        records: dict[str, Sequence[str]] = {}
        for name, site in self._sites.items():
            domain = domain_of(name)
            address = site.address or _PROXIES[site.proxy]
            usual = {
                f"{domain} A": [address],
                f"_xmpp-client._tcp.{domain} SRV": [f"0 5 5222 {domain}."],
                f"_xmpps-client._tcp.{domain} SRV": ["0 0 0 ."],
            }
            records |= {} if site.address == NOWHERE else {**usual, **site.more}
        return json.dumps(records)

    def _nginx(self) -> str:
        servers = []
        for name, site in self._sites.items():
            if site.proxy == "nginx":
                locations = (site.host_meta or nginx_pages()) + "\n" + (site.websocket or nginx_websocket())
                text = NGINX_SERVER.replace("@LOCATIONS@", locations).replace("@DOMAIN@", domain_of(name))
                text = text.replace("@PEM@", str(self._pems[site.certificate].pem))
                text = text.replace("@BACKEND@", GATEWAYS[site.gateway].place).replace("@IP@", NGINX_IP)
                servers.append(text.replace("@MORE@", ""))
        return NGINX.replace("@SERVERS@", "".join(servers))

    def _caddy(self) -> str:
        sites = CADDY_HEAD
        for name, site in self._sites.items():
            if site.proxy == "caddy":
                text = CADDY_SITE.replace("@BLOCK@", site.websocket or CADDY).replace(
                    "@DOMAIN@", domain_of(name)
                )
                text = text.replace("@PEM@", str(self._pems[site.certificate].pem)).replace("@IP@", CADDY_IP)
                sites += text.replace("@BACKEND@", GATEWAYS[site.gateway].place)
        return sites

    def _haproxy(self) -> str:
        sites = {name: site for name, site in self._sites.items() if site.proxy == "haproxy"}
        rules = "\n".join(f"    use_backend {name} if {{ hdr(host) {domain_of(name)} }}" for name in sites)
        text = HAPROXY_HEAD.replace("@IP@", HAPROXY_IP).replace("@PEM@", str(self._pems["good"].pem))
        backends = [
            f"backend {name}\n{site.websocket or HAPROXY}    server wsgw1 {GATEWAYS[site.gateway].place}\n"
            for name, site in sites.items()
        ]
        return text.replace("@RULES@", rules) + "".join(backends)


def domain_of(site: str) -> str:
    """The domain of a site."""
    return f"{site}.{ZONE}"


def listening(pid: int) -> set[tuple[str, int]]:
    """(IPv4 address, port) of every listening socket in the network namespace of a process."""
    found = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text("ascii").splitlines()[1:]:
        _, local, _, state = line.split()[:4]
        address, _, port = local.partition(":")
        if state == "0A":
            found.add((".".join(map(str, reversed(bytes.fromhex(address)))), int(port, 16)))
    return found


def _answer_stream(connection: socket.socket) -> None:
    """Offer features for the stream header, and end the stream with the client."""
    with connection, contextlib.suppress(OSError):
        connection.settimeout(30)
        received = b""
        for expected, answer in ((b"version='1.0'>", _HEADER + _FEATURES), (END, END)):
            while expected not in received:
                data = connection.recv(65536)
                if not data:
                    return
                received += data
            connection.sendall(answer)
