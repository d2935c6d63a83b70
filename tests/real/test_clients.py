"""Independent clients log in and play whole sessions through wsgw: each × server × transport × mechanism.

With ``--native`` the same programs also run against the servers' own WebSocket endpoints, which shows whether
a failure is wsgw's or theirs. Transport and mechanism are independent in wsgw: in the suite each client has
both transports and both mechanisms in two runs for each server; ``scripts/heavy.sh`` runs all four.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fixtures import SERVERS, Account, missing
from tests.support.forms import form
from tests.support.processes import ROOT, Child
from tests.support.servers import Server

CLIENTS = Path(__file__).parent / "clients"
#: (transport, mechanism)
WAYS = form(
    small=[("ws", "SCRAM"), ("wss", "PLAIN")],
    full=[*itertools.product(("ws", "wss"), ("SCRAM", "PLAIN"))],
)
SECONDS = 40
#: The most bytes of a stanza at the gateway, before and after login.
LIMITS = (10_000, 65_536)
TEXTS = [
    "plain",
    "Grüße, 世界 & <tag> 'single' \"double\" ]]> &amp; 😀 👩\u200d💻",
    "line one\nline two\ttab, and a long tail: " + "ö" * 20_000,
]

Endpoint = Callable[[Server, str], str]


def run_client(
    argv: list[str], tmp_path: Path, parameters: dict[str, object], seconds: float = SECONDS
) -> list[dict[str, object]]:
    """Run one client program; its steps, or a failure that shows them."""
    log = tmp_path / "client.log"
    child = Child([*argv, json.dumps({**parameters, "timeout": seconds})], log)
    try:
        status = child.wait(seconds + 10)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        child.kill()
    assert status == 0, f"exit status {status}\n{child.tail(12_000)}"
    # The log of a library may follow a step on the same line.
    decoder = json.JSONDecoder()
    return [decoder.raw_decode(line)[0] for line in child.text().splitlines() if line.startswith("{")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    native = [("native", name) for name in ("ejabberd", "prosody") if metafunc.config.getoption("--native")]
    pairs = [("gateway", name) for name in SERVERS] + native
    metafunc.parametrize(("endpoint", "server"), pairs, indirect=True, ids=["-".join(pair) for pair in pairs])


@pytest.fixture
def server(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Server:
    return start_server(request.param)


@pytest.fixture
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    """``endpoint(server, "ws")``: the URL for a login."""
    if request.param == "native":
        return lambda server, scheme: str(getattr(server, f"native_{scheme}"))
    start_gateway = request.getfixturevalue("start_gateway")
    return lambda server, scheme: str(getattr(start_gateway(server), scheme))


@pytest.fixture
def accounts(server: Server, new_account: Callable[[Server], Account]) -> dict[str, dict[str, str]]:
    """Two fresh accounts, in the form for the client programs."""
    pair = {"alice": new_account(server), "bob": new_account(server)}
    return {name: {"user": one.user, "password": one.password} for name, one in pair.items()}


@pytest.mark.rule("7395-3.6-lost", "xep-0198-loss", "xep-0478-bytes")
@pytest.mark.parametrize(("scheme", "mechanism"), WAYS)
@pytest.mark.parametrize("client", ["strophe", "xmpp-client", "sleek"])
def test_a_client_plays_the_whole_scenario(
    client: str,
    server: Server,
    endpoint: Endpoint,
    scheme: str,
    mechanism: str,
    accounts: dict[str, dict[str, str]],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Login, restart, roster, messages, loss and resumption, clean end (``clients/scenario.mjs``)."""
    if client == "sleek":
        pytest.importorskip("websocket", reason="websocket-client is not installed")
        argv = [sys.executable, str(CLIENTS / "sleek.py")]
    else:
        argv = [request.getfixturevalue("node"), str(CLIENTS / f"{client}.mjs")]
    steps = run_client(
        argv,
        tmp_path,
        {
            "url": endpoint(server, scheme),
            "ca": str(server.certificate.ca),
            "mechanism": mechanism,
            "domain": server.domain,
            "texts": TEXTS,
            "limits": LIMITS if request.node.callspec.params["endpoint"] == "gateway" else None,
            **accounts,
        },
    )
    names = [step["step"] for step in steps]
    assert {"login", "roster", "messages", "lost", "resumed", "left", "done"} <= set(names), names


@pytest.mark.parametrize("mechanism", ["SCRAM", "PLAIN"])
def test_a_browser_logs_in_to_a_real_server(
    server: Server,
    endpoint: Endpoint,
    mechanism: str,
    accounts: dict[str, dict[str, str]],
    node: str,
    tmp_path: Path,
) -> None:
    """Chromium loads a page with strophe.js; two users on it write to each other."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("no Chromium found (Debian package chromium)")
    if not (ROOT / "node_modules" / "playwright-core").is_dir():
        missing("playwright-core is not installed (npm ci)")
    steps = run_client(
        [node, str(CLIENTS / "browser.mjs")],
        tmp_path,
        {
            "url": endpoint(server, "ws"),
            "chromium": chromium,
            "mechanism": mechanism,
            "domain": server.domain,
            "texts": TEXTS,
            **accounts,
        },
    )
    assert [step["step"] for step in steps if step["step"] != "console"][-2:] == ["left", "done"], steps
