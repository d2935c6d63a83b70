"""Listeners of both address families in one process."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.certificates import Certificate
from tests.support.gateway import Gateway
from tests.support.wire import Browser, XmppServer

BOTH_FAMILIES = """\
hosts: [localhost]
listen:
  - port: {ws_port}
    ip: "0.0.0.0"
    module: websocket_session
    request_handlers: {{/four: mod_websocket}}
    upstream: "tcp://127.0.0.1:{c2s_port}"
  - port: {ws_port}
    ip: "::"
    module: websocket_session
    request_handlers: {{/six: mod_websocket}}
    upstream: "tcp://127.0.0.1:{c2s_port}"
  - port: {wss_port}
    ip: "::"
    module: websocket_session
    request_handlers: {{/both: mod_websocket}}
    upstream: "tcp://127.0.0.1:{c2s_port}"
"""


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_listeners_of_both_families_serve_in_one_process(
    xmpp_server: XmppServer, certificate: Certificate, tmp_path: Path
) -> None:
    path = tmp_path / "wsgw.yml"
    gateway = Gateway(
        tmp_path, certificate, xmpp_server.port, config=BOTH_FAMILIES, arguments=["--config", str(path)]
    )
    path.write_text(gateway.config.read_text())
    try:
        gateway.start()
        for port, host, target in (
            (gateway.ws_port, "127.0.0.1", "/four"),
            (gateway.ws_port, "::1", "/six"),
            (gateway.wss_port, "127.0.0.1", "/both"),
            (gateway.wss_port, "::1", "/both"),
        ):
            browser = Browser(port, host=host, path=target)
            assert browser.head.startswith("HTTP/1.1 101 "), (host, target)
            browser.close()
        assert gateway.stop() == 0
    finally:
        gateway.close()
