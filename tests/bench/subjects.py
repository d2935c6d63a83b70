"""The measured subjects: processes between the load generator and an XMPP server, and their settings.

Each has ``pids``, the processes whose CPU and memory count, and WebSocket addresses.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.bench.programs import compiled
from tests.support.certificates import Certificate
from tests.support.gateway import Gateway
from tests.support.processes import Child, ReservedPort, wait_until
from tests.support.servers import Missing

PATH = "/ws-xmpp"

#: Both listeners have the same server; only descriptors are limited.
WSGW = """\
{{hosts, ["{domain}"]}}.
{{listen, [
  {{{ws_port}, websocket_session, [
    {{ip, {{127,0,0,1}}}}, {{request_handlers, [{{["ws-xmpp"], mod_websocket}}]}},
    {ws_options}{{upstream, "tcp://127.0.0.1:{c2s_port}"}}, {{max_stanza_size, 262144}}
  ]}},
  {{{wss_port}, websocket_session, [
    {{ip, {{127,0,0,1}}}}, {{request_handlers, [{{["ws-xmpp"], mod_websocket}}]}},
    {ws_options}{{upstream, "tcp://127.0.0.1:{c2s_port}"}}, {{max_stanza_size, 262144}},
    {{tls, true}}, {{certfile, "{certfile}"}}
  ]}}
]}}.
"""

HAPROXY = """\
global
    maxconn {maxconn}
    nbthread 1
    ssl-server-verify none
defaults
    mode tcp
    timeout connect 5s
    timeout client 5m
    timeout server 5m
listen plain
    bind 127.0.0.1:{ws_port} backlog 4096
    server stub 127.0.0.1:{stub_port}
listen secure
    bind 127.0.0.1:{wss_port} ssl crt {pem} backlog 4096
    server stub 127.0.0.1:{stub_port}
"""


def descriptor_limit() -> int:
    """The limit of descriptors of a process, raised as far as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@cache
def has_workers() -> bool:
    """Whether this wsgw has the option ``workers``."""
    argv = [sys.executable, "-m", "wsgw", "options"]
    return "| `workers`" in subprocess.run(argv, capture_output=True, text=True, check=True).stdout


class Stub:
    """The stub XMPP server: plain c2s and WebSocket on one port."""

    name = "direct"

    def __init__(self, folder: Path) -> None:
        self._child = Child([str(compiled("stub"))], folder / "stub.log")
        wait_until(lambda: self._child.text().endswith("\n"), 10, "the stub server")
        self.port = int(self._child.text())
        self.pids = (self._child.pid,)
        self.ws = f"ws://127.0.0.1:{self.port}{PATH}"

    def close(self) -> None:
        self._child.kill()


class Haproxy:
    """haproxy relaying TCP with one thread, and ending TLS on a second port. Raises Missing."""

    name = "haproxy"

    def __init__(self, folder: Path, certificate: Certificate, stub: Stub) -> None:
        program = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise Missing("haproxy is not installed (Debian package haproxy)")
        self._ports = [ReservedPort(), ReservedPort()]
        ws_port, wss_port = (port.number for port in self._ports)
        config = folder / "haproxy.cfg"
        config.write_text(
            HAPROXY.format(
                maxconn=(descriptor_limit() - 60) // 2,
                ws_port=ws_port,
                wss_port=wss_port,
                stub_port=stub.port,
                pem=certificate.pem,
            )
        )
        self._child = Child([program, "-db", "-f", str(config)], folder / "haproxy.log")
        self._child.wait_for_ports(ws_port, wss_port)
        self.pids = (self._child.pid,)
        self.ws = f"ws://127.0.0.1:{ws_port}{PATH}"
        self.wss = f"wss://localhost:{wss_port}{PATH}"

    def close(self) -> None:
        self._child.kill()
        for port in self._ports:
            port.release()


class Wsgw:
    """``python -m wsgw`` in front of the server at ``c2s_port``; ``workers`` None is the default number."""

    name = "wsgw"

    def __init__(
        self, folder: Path, certificate: Certificate, c2s_port: int, workers: int | None = 1
    ) -> None:
        options = f"{{max_sessions, {(descriptor_limit() - 200) // 2}}}, "
        if workers is not None and has_workers():
            options += f"{{workers, {workers}}}, "
        # The check at the start runs, as by default: an older wsgw cannot switch it off.
        self._gateway = Gateway(folder, certificate, c2s_port, config=WSGW, ws_options=options, asks=True)
        self._gateway.start()
        self.pids = (self._gateway.child.pid,)
        self.ws, self.wss = self._gateway.ws, self._gateway.wss
        self.log = self._gateway.log

    def close(self) -> None:
        self._gateway.close()
