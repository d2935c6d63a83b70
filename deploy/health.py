"""Exits with 0 if every listener of the configuration answers; otherwise names the others and exits with 1.

It sends each WebSocket listener a WebSocket upgrade, and requests ``/healthz`` from each ``wsgw_admin``
listener; with ``--ready`` it requests ``/readyz``, which also reports the XMPP server. Run it with the Python
that has wsgw. Without a file it searches the configuration as the gateway does.
"""

from __future__ import annotations

import argparse
import os
import socket
import ssl
import sys
from base64 import b64encode
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from wsgw.config import find_config, load
from wsgw.config.document import read_document
from wsgw.config.listeners import port_number, raw_listeners
from wsgw.config.model import HANDLER, ListenerConfig
from wsgw.config.network_types import parse_address
from wsgw.config.terms import Problems
from wsgw.errors import ConfigError

#: Seconds for one answer; a machine that is busy with starting workers needs some.
TIMEOUT = 5.0
#: The alert of a listener with ``tls_verify`` to a client without a certificate, as OpenSSL's reason.
_NEEDS_CERTIFICATE: Final = "TLSV13_ALERT_CERTIFICATE_REQUIRED"


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks that every listener serves")
    parser.add_argument("config", nargs="?", help="the gateway's configuration")
    parser.add_argument("--ready", action="store_true", help="check the XMPP server too")
    chosen = parser.parse_args()
    page = "/readyz" if chosen.ready else "/healthz"
    try:
        path = find_config(chosen.config, os.environ)
        faults = [_upgrade_fault(listener) for listener in load(path).listeners]
        faults += [_page_fault(page, *place) for place in admin_places(path)]
    except ConfigError as error:
        faults = [str(error)]
    for fault in filter(None, faults):
        print(fault)
    return 1 if any(faults) else 0


def admin_places(path: Path) -> list[tuple[str, int]]:
    """The addresses and ports of the ``wsgw_admin`` listeners."""
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
    """The reason why the listener does not answer a WebSocket upgrade correctly, or None.

    A listener with ``tls_verify`` must ask for the certificate that this program does not have.
    """
    where = f"the WebSocket on {_bracketed(listener.ip)}:{listener.port}"
    path = next(iter(listener.url_paths(HANDLER)), "/")
    expected = "101" if listener.has_websocket else "404"
    expected = "an alert about the certificate" if listener.tls_verify else expected
    try:
        status, answer = _upgrade(listener, path)
    except (OSError, ValueError) as error:
        alert = error.reason if isinstance(error, ssl.SSLError) else ""
        return None if listener.tls_verify and alert == _NEEDS_CERTIFICATE else f"{where}: {error}"
    return None if status == expected else f"{where}: expected {expected}, got {answer}"


def _upgrade(listener: ListenerConfig, path: str) -> tuple[str, str]:
    """(status, head of the answer) of an upgrade request; raises OSError, or ValueError for no HTTP."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}\r\n"
        "Sec-WebSocket-Protocol: xmpp\r\n\r\n"
    )
    with ExitStack() as stack:
        sock = stack.enter_context(socket.create_connection((reachable(listener.ip), listener.port), TIMEOUT))
        if listener.use_proxy_protocol:
            sock.sendall(b"PROXY UNKNOWN\r\n")
        if listener.tls:
            sock = stack.enter_context(_unverified().wrap_socket(sock, server_hostname="localhost"))
        sock.sendall(request.encode("ascii"))
        answer = b""
        while b"\r\n\r\n" not in answer:
            chunk = sock.recv(4096)
            if not chunk:
                break
            answer += chunk
        if answer.startswith(b"HTTP/1.1 101"):
            sock.sendall(b"\x88\x80\0\0\0\0")  # Close, so that the log shows an orderly end
    text = answer.decode("latin-1")
    parts = text.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/"):
        raise ValueError(f"no HTTP answer but {text[:80]!r}")
    return parts[1], " ".join(text.split())[:200]


def _page_fault(page: str, host: str, port: int) -> str | None:
    """The reason why the admin's listener does not answer with 200, or None."""
    where = f"{page} on {_bracketed(host)}:{port}"
    connection = HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request("GET", page)
        answer = connection.getresponse()
        said = answer.read().decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        return f"{where}: {error}"
    finally:
        connection.close()
    return None if answer.status == 200 else f"{where}: {answer.status} {' '.join(said.split())}"


def _unverified() -> ssl.SSLContext:
    """Accept any certificate: this program checks that the listener answers, not its name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


if __name__ == "__main__":
    sys.exit(main())
