"""Private XMPP servers on loopback: Debian's ejabberd and Prosody, and wsgw's own demo server.

The real ones have three client ports (plain, STARTTLS, direct TLS) and a separate WebSocket, with which the
test clients can be tried without wsgw. Accounts are made over the wire, by in-band registration (XEP-0077).
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from xml.sax.saxutils import escape

from tests.support.certificates import Certificate
from tests.support.processes import Child, ReservedPort

DOMAIN = "localhost"


_EJABBERD_STORES = """\
  mod_offline: {}
  mod_privacy: {}
  mod_blocking: {}
  mod_mam: {default: never}
  mod_muc: {history_size: 100}
"""
_PROSODY_STORES = """\
default_archive_policy = false; max_archive_query_results = 100
Component "conference.localhost" "muc"
    max_history_messages = 100; muc_room_locking = false
"""


class Missing(Exception):
    """A program that the server needs is not installed."""


class Server(ABC):
    """One private server.

    ``c2s_port`` is plain, ``c2s_tls_port`` direct TLS; the subclasses say how each port offers STARTTLS. On
    ``c2s_proxy_port``, which only ejabberd has, connections begin with a PROXY header.
    """

    name: str
    domain = DOMAIN
    #: The domain of the rooms of a storing server (XEP-0045).
    rooms = f"conference.{DOMAIN}"

    def __init__(self, folder: Path, certificate: Certificate, storing: bool = False) -> None:
        self.storing = storing
        self.folder = folder
        self.certificate = certificate
        self.log = folder / f"{self.name}.log"
        self._ports = [ReservedPort() for _ in range(6)]
        *numbers, self.c2s_proxy_port = (port.number for port in self._ports)
        self.c2s_port, self.c2s_starttls_port, self.c2s_tls_port, self.http_port, self.https_port = numbers
        #: Every account made so far and its password.
        self.accounts: dict[str, str] = {}
        self._child: Child | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    @abstractmethod
    def native_path(self) -> str:
        """Path of the server's own WebSocket endpoint."""

    @property
    def native_ws(self) -> str:
        return f"ws://127.0.0.1:{self.http_port}{self.native_path}"

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port on which the running server listens."""
        return (self.c2s_port, self.c2s_starttls_port, self.c2s_tls_port, self.http_port, self.https_port)

    @property
    def pid(self) -> int:
        assert self._child is not None, f"{self.name} is not running"
        return self._child.pid

    @abstractmethod
    def _launch(self) -> Child:
        """Write the configuration and start the program."""

    def start(self) -> Server:
        self._child = self._launch()
        self._child.wait_for_ports(*self.ports, seconds=60)
        return self

    def stop(self) -> None:
        """End the server in order; accounts stay on disk."""
        if self._child is not None:
            self._child.terminate()
            self._child = None

    def kill(self) -> None:
        """Send SIGKILL, so that no stream is ended."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop, and release the ports."""
        self.stop()
        for port in self._ports:
            port.release()

    def register(self, user: str, password: str) -> str:
        """Make an account; returns its bare JID."""
        register_in_band(self.c2s_tls_port, user, password, self.certificate.ca)
        self.accounts[user] = password
        return f"{user}@{self.domain}"


class Ejabberd(Server):
    """Debian's ejabberd; STARTTLS is required on ``c2s_starttls_port`` and unknown on the plain one.

    Run by ``erl`` itself, without distribution: neither epmd nor a system user is needed.
    """

    name = "ejabberd"
    native_path = "/ws"

    #: The folder of Debian's compiled modules.
    _LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib")

    def _launch(self) -> Child:
        erl = shutil.which("erl") or "/usr/bin/erl"
        libraries = next((d for d in self._LIBRARIES if list(Path(d).glob("ejabberd-*/ebin"))), None)
        if not Path(erl).exists() or libraries is None:
            raise Missing("ejabberd is not installed (Debian package ejabberd)")
        (self.folder / "ejabberd.yml").write_text(self._config())
        (self.folder / "inetrc").write_text(
            '{lookup,["file","native"]}.\n{host,{127,0,0,1},["localhost"]}.\n'
        )
        environment = {
            "ERL_LIBS": libraries,
            "ERL_INETRC": str(self.folder / "inetrc"),
            "ERL_CRASH_DUMP": str(self.folder / "erl_crash.dump"),
            "ERL_MAX_PORTS": "32000",
            "EJABBERD_CONFIG_PATH": str(self.folder / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(self.log),
            "HOME": str(self.folder),
        }
        spool = self.folder / "spool"
        arguments = [
            "+K",
            "true",
            "+P",
            "250000",
            "-mnesia",
            "dir",
            f'"{spool}"',
            "-s",
            "ejabberd",
            "-noinput",
        ]
        return Child([erl, *arguments], self.folder / "console.log", environment, cwd=self.folder)

    def _config(self) -> str:
        common = 'ip: "127.0.0.1", backlog: 1024'
        c2s = f"{common}, module: ejabberd_c2s, max_stanza_size: 262144, shaper: none, access: all"
        handlers = f'{{"{self.native_path}": ejabberd_http_ws, "/api": mod_http_api}}'
        http = f"{common}, module: ejabberd_http, request_handlers: {handlers}"
        return f"""\
hosts: ["{self.domain}"]
loglevel: warning
certfiles: ["{self.certificate.pem}"]
listen:
  - {{port: {self.c2s_port}, {c2s}}}
  - {{port: {self.c2s_starttls_port}, {c2s}, starttls_required: true}}
  - {{port: {self.c2s_tls_port}, {c2s}, tls: true}}
  - {{port: {self.c2s_proxy_port}, {c2s}, use_proxy_protocol: true}}
  - {{port: {self.http_port}, {http}}}
  - {{port: {self.https_port}, {http}, tls: true}}
auth_method: internal
registration_timeout: infinity
acme: {{auto: false}}
api_permissions: {{tests: {{from: [mod_http_api], who: {{ip: 127.0.0.0/8}}, what: [connected_users_info]}}}}
shaper_rules: {{max_user_sessions: 100000}}
modules:
  mod_admin_extra: {{}}
  mod_roster: {{}}
  mod_disco: {{}}
  mod_ping: {{}}
  mod_stream_mgmt: {{}}
  mod_register: {{password_strength: 0}}
{_EJABBERD_STORES if self.storing else ""}"""


class Prosody(Server):
    """Debian's Prosody; STARTTLS is offered on both plain ports, and required with ``require_encryption``.

    With the modules of ``prosody-modules`` it offers SASL2 to the users of ``sasl2_domain``, and SASL too.
    """

    name = "prosody"
    sasl2_domain = f"sasl2.{DOMAIN}"
    #: The module for it, of Debian's ``prosody-modules``.
    sasl2_module = Path("/usr/lib/prosody/modules/mod_sasl2")
    native_path = "/xmpp-websocket"

    def __init__(
        self,
        folder: Path,
        certificate: Certificate,
        storing: bool = False,
        require_encryption: bool = False,
    ) -> None:
        super().__init__(folder, certificate, storing)
        self.require_encryption = require_encryption

    def _launch(self) -> Child:
        prosody = shutil.which("prosody")
        if prosody is None:
            raise Missing("prosody is not installed (Debian package prosody)")
        (self.folder / "data").mkdir(exist_ok=True)
        config = self.folder / "prosody.cfg.lua"
        config.write_text(self._config())
        return Child([prosody, "--config", str(config), "-F"], self.folder / "console.log", cwd=self.folder)

    def _config(self) -> str:
        boolean = {True: "true", False: "false"}
        tls = f'{{ certificate = "{self.certificate.chain}"; key = "{self.certificate.key}" }}'
        return f"""\
data_path = "{self.folder}/data"; pidfile = "{self.folder}/prosody.pid"
daemonize = false; run_as_root = true
modules_enabled = {{
    "roster"; "saslauth"; "disco"; "ping"; "smacks"; "websocket"; "register";
    "presence"; "message"; "iq"; "tls"; "legacyauth";
    {'"offline"; "mam"; "blocklist";' if self.storing else ""}
}}
modules_disabled = {{ "s2s" }}
allow_registration = true
c2s_require_encryption = {boolean[self.require_encryption]}
allow_unencrypted_plain_auth = true; consider_websocket_secure = true
authentication = "internal_plain"
c2s_ports = {{ {self.c2s_port}, {self.c2s_starttls_port} }}; c2s_interfaces = {{ "127.0.0.1" }}
c2s_direct_tls_ports = {{ {self.c2s_tls_port} }}; c2s_direct_tls_interfaces = {{ "127.0.0.1" }}
http_ports = {{ {self.http_port} }}; http_interfaces = {{ "127.0.0.1" }}
https_ports = {{ {self.https_port} }}; https_interfaces = {{ "127.0.0.1" }}
http_host = "{self.domain}"; http_default_host = "{self.domain}"
ssl = {tls}; c2s_direct_tls_ssl = {tls}; https_ssl = {tls}
limits = {{}}; log = {{ warn = "{self.log}" }}
VirtualHost "{self.domain}"
{_PROSODY_STORES if self.storing else ""}
{self._sasl2_host() if self.sasl2_module.exists() else ""}"""

    def _sasl2_host(self) -> str:
        return f'VirtualHost "{self.sasl2_domain}"\nmodules_enabled = {{ "sasl2"; "sasl2_bind2" }}\n'


class Demo(Server):
    """The server of ``wsgw demo`` without wsgw: one plain port, no WebSocket."""

    name = "demo"
    native_path = ""

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.c2s_port,)

    def _launch(self) -> Child:
        argv = [sys.executable, "-m", "wsgw.demo", "--port", str(self.c2s_port), "--domain", self.domain]
        return Child(argv, self.log)

    def register(self, user: str, password: str) -> str:
        register_in_band(self.c2s_port, user, password)
        self.accounts[user] = password
        return f"{user}@{self.domain}"


def register_in_band(
    port: int, user: str, password: str, ca: Path | None = None, domain: str = DOMAIN
) -> None:
    """XEP-0077 over a client port: direct TLS if ``ca`` is given. RuntimeError if the server refuses."""
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
        if ca is not None:
            context = ssl.create_default_context(cafile=str(ca))
            stream = stack.enter_context(context.wrap_socket(stream, server_hostname=domain))
        stream.sendall(
            f"<stream:stream to='{domain}' xmlns='jabber:client' version='1.0'"
            f" xmlns:stream='http://etherx.jabber.org/streams'>".encode()
        )
        _read_until(stream, b"</stream:features>")
        stream.sendall(
            "<iq type='set' id='register'><query xmlns='jabber:iq:register'>"
            f"<username>{escape(user)}</username><password>{escape(password)}</password></query></iq>".encode()
        )
        answer = _read_until(stream, b"</iq>", b"/>")
        if b"error" in answer:
            raise RuntimeError(f"{user} was not registered: {answer.decode()}")
        stream.sendall(b"</stream:stream>")


def _read_until(stream: socket.socket, *ends: bytes) -> bytes:
    answer = b""
    while not answer.rstrip().endswith(ends):
        chunk = stream.recv(65536)
        if not chunk:
            raise RuntimeError(f"the server ended the stream: {answer.decode()}")
        answer += chunk
    return answer
