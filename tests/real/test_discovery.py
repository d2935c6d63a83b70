"""Converse in Chromium finds the gateway by the domain alone, from its host-meta (XEP-0156)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.test_clients import CLIENTS, run_client
from tests.real.test_hostile_clients import chromium
from tests.support.certificates import Certificate
from tests.support.fixtures import Account
from tests.support.gateway import Gateway
from tests.support.servers import Server

#: The listener on port 443 of the domain is the second one.
CONFIG = """\
{{hosts, ["{domain}"]}}.
{{drain_timeout, 1}}.
{{listen, [
  {{{c2s_port}, ejabberd_c2s, []}},
  {{{ws_port}, websocket_session, [
    {{ip, {{127,0,0,1}}}},
    {{request_handlers, [{{"/elsewhere", mod_websocket}}]}}
  ]}},
  {{{wss_port}, websocket_session, [
    {{ip, {{127,0,0,1}}}},
    {{tls, true}},
    {{certfile, "{certfile}"}},
    {{request_handlers, [{{"/found", mod_websocket}}, {{"/.well-known", mod_host_meta}}]}}
  ]}}
]}}.
"""


@pytest.fixture
def server(start_server: Callable[[str], Server]) -> Server:
    return start_server("demo")


@pytest.fixture
def pages(tmp_path: Path, certificate: Certificate, server: Server) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path / "wsgw", certificate, server.c2s_port, config=CONFIG, domain=server.domain)
    try:
        yield gateway.start()
        assert gateway.stop() == 0
    finally:
        gateway.close()


@pytest.mark.rule("xep-0156", "xep-0156-order", "xep-0156-cors")
def test_converse_finds_the_gateway_by_the_domain(
    server: Server, pages: Gateway, new_account: Callable[[Server], Account], node: str, tmp_path: Path
) -> None:
    account = new_account(server)
    steps = run_client(
        [node, str(CLIENTS / "converse.mjs")],
        tmp_path,
        {
            "chromium": chromium(),
            "domain": server.domain,
            "bob": {"user": account.user, "password": account.password},
            "https": {"host": server.domain, "port": pages.wss_port},
        },
    )
    opened = {str(step["url"]) for step in steps if step["step"] == "websocket"}
    assert opened == {f"wss://{server.domain}:{pages.wss_port}/found"}
    assert [step["step"] for step in steps if step["step"] in ("login", "done")] == ["login", "done"]
