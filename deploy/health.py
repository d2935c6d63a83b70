"""Exits with 0 if every listener of the configuration answers; else says which does not, and exits with 1.

It asks each WebSocket listener for an upgrade, and the ``wsgw_admin`` listener, if there is one and it
serves, for ``/readyz``. Run it with the Python that has wsgw; without an argument the configuration is found
as the gateway finds it.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path

from wsgw.config import find_config, load
from wsgw.config.document import read_document
from wsgw.config.listeners import port_number, raw_listeners
from wsgw.config.model import ListenerConfig
from wsgw.config.network_kinds import parse_address
from wsgw.config.terms import Problems
from wsgw.errors import ConfigError

#: Seconds for one answer; a machine that is busy starting workers may take some.
TIMEOUT = 5.0


def main() -> int:
    try:
        path = find_config(sys.argv[1] if len(sys.argv) > 1 else None, os.environ)
        faults = [_upgrade_fault(listener) for listener in load(path).listeners]
        faults += [_readiness_fault(*place) for place in admin_places(path)]
    except ConfigError as error:
        faults = [str(error)]
    for fault in filter(None, faults):
        print(fault)
    return 1 if any(faults) else 0


def admin_places(path: Path) -> list[tuple[str, int]]:
    """Where the ``wsgw_admin`` listeners of the configuration can be reached."""
    places = []
    for raw in raw_listeners(read_document(path, Problems())):
        port = port_number(raw.port)
        if raw.module == "wsgw_admin" and port is not None:
            ip = raw.ip or raw.option("ip")
            places.append((reachable(str(parse_address(ip)) if ip is not None else "127.0.0.1"), port))
    return places


def reachable(ip: str) -> str:
    """An address that reaches a listener on ``ip`` from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(ip, ip)


def _upgrade_fault(listener: ListenerConfig) -> str | None:
    """Why the listener does not answer a WebSocket upgrade as it should, or None."""
    where = f"the WebSocket on {_bracketed(listener.ip)}:{listener.port}"
    path = "/".join(listener.request_handlers[0].path) if listener.request_handlers else ""
    request = (
        f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}\r\n"
        "Sec-WebSocket-Protocol: xmpp\r\n\r\n"
    )
    expected = "101" if listener.request_handlers else "404"
    return _fault(where, listener, request, expected)


def _readiness_fault(host: str, port: int) -> str | None:
    where = f"/readyz on {_bracketed(host)}:{port}"
    try:
        socket.create_connection((host, port), TIMEOUT).close()
    except ConnectionRefusedError:
        return None  # a release that does not serve it
    except OSError as error:
        return f"{where}: {error}"
    return _fault(where, (host, port), "GET /readyz HTTP/1.0\r\n\r\n", "200")


def _fault(where: str, target: ListenerConfig | tuple[str, int], request: str, expected: str) -> str | None:
    try:
        status, detail = _answer(target, request)
    except (OSError, ValueError) as error:
        return f"{where}: {error}"
    return None if status == expected else f"{where}: expected {expected}, got {detail}"


def _answer(target: ListenerConfig | tuple[str, int], request: str) -> tuple[str, str]:
    """(status, status line and what came with it) of a request; raises OSError, or ValueError for no HTTP."""
    with ExitStack() as stack:
        if isinstance(target, tuple):
            sock = stack.enter_context(socket.create_connection(target, TIMEOUT))
        else:
            sock = stack.enter_context(socket.create_connection((reachable(target.ip), target.port), TIMEOUT))
            if target.use_proxy_protocol:
                sock.sendall(b"PROXY UNKNOWN\r\n")
            if target.tls:
                sock = stack.enter_context(_unverified().wrap_socket(sock, server_hostname="localhost"))
        sock.sendall(request.encode("ascii"))
        answer = b""
        while b"\r\n\r\n" not in answer:
            chunk = sock.recv(4096)
            if not chunk:
                break
            answer += chunk
        if isinstance(target, ListenerConfig) and answer.startswith(b"HTTP/1.1 101"):
            sock.sendall(b"\x88\x80\0\0\0\0")  # Close, so that the log shows an orderly end
    text = answer.decode("latin-1")
    parts = text.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/"):
        raise ValueError(f"no HTTP answer but {text[:80]!r}")
    return parts[1], " ".join(text.split())[:200]


def _unverified() -> ssl.SSLContext:
    """Whether it answers is asked here, not by what name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


if __name__ == "__main__":
    sys.exit(main())
