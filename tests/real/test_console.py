"""The console in Chromium: with the demo, with real servers, and from another machine's address."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.real.conftest import ADDRESS
from tests.real.test_clients import run_client
from tests.support.certificates import Certificate
from tests.support.fixtures import Account
from tests.support.gateway import ERLANG_CONFIG, Gateway
from tests.support.network_namespaces import NetworkNamespace
from tests.support.processes import ROOT, Child, ReservedPort, wait_until
from tests.support.servers import Server

SCRIPT = ROOT / "tests/real/clients/console.mjs"
SECONDS = 30
#: For all scenes of a test, on a busy machine.
PLAY_SECONDS = 90
ACCOUNTS = (Account("alice", "wonderland"), Account("bob", "builder"))
CONFIG = ERLANG_CONFIG.replace("mod_websocket}}]}}", 'mod_websocket}}, {{["console"], wsgw_console}}]}}')
PLAIN = """\
hosts: [localhost]
listen:
  - port: 5289
    ip: "{ADDRESS}"
    module: websocket_session
    request_handlers: {{/ws-xmpp: mod_websocket, /console: wsgw_console}}
    upstream: tcp://127.0.0.1:5222
"""

Play = Callable[..., list[dict[str, object]]]


@pytest.fixture
def play(node: str, chromium: str, tmp_path: Path) -> Play:
    """``play((scene, url), ...)``: play scenes of ``console.mjs`` in one browser; its steps."""

    def run(
        *scenes: tuple[str, str], accounts: tuple[Account, ...] = ACCOUNTS, under: tuple[str, ...] = ()
    ) -> list[dict[str, object]]:
        known = [{"jid": one.jid, "password": one.password} for one in accounts]
        parameters: dict[str, object] = {
            "chromium": chromium,
            "accounts": known,
            "scenes": scenes,
            "hosts": [ADDRESS],
        }
        return run_client([*under, node, str(SCRIPT)], tmp_path, parameters, PLAY_SECONDS)

    return run


def started_demo(log: Path, *arguments: str, under: tuple[str, ...] = ()) -> Child:
    child = Child([*under, sys.executable, "-m", "wsgw", "demo", *arguments], log)
    wait_until(lambda: "Ready: " in child.text() or child.returncode is not None, SECONDS, "the demo")
    return child


def test_two_pages_of_the_demo_chat_and_resume(play: Play, tmp_path: Path) -> None:
    """By keyboard, in both languages, on a phone, in light and dark; every error has its words."""
    port = ReservedPort()
    demo = started_demo(tmp_path / "demo.log", "--port", str(port.number))
    try:
        url = f"http://127.0.0.1:{port.number}/"
        scenes = ("accessibleChat", "look", "days", "words", "modules")
        steps = [step["step"] for step in play(*((scene, url) for scene in scenes))]
        expected = [
            "login",
            "chat",
            "resumed",
            "left",
            "dark",
            "phone",
            "refused",
            "days",
            "words",
            "measured",
            "removed",
            "modules",
        ]
        assert [step for step in steps if step in expected] == expected
        assert demo.terminate(SECONDS) == 0
    finally:
        demo.kill()
        port.release()


@pytest.mark.parametrize("name", ["ejabberd", "prosody"])
def test_the_console_in_front_of_a_server(
    name: str,
    play: Play,
    start_server: Callable[[str], Server],
    new_account: Callable[[Server], Account],
    certificate: Certificate,
    tmp_path: Path,
) -> None:
    """Two accounts become contacts; the rest is as in the demo."""
    server = start_server(name)
    accounts = (new_account(server), new_account(server))
    with closing(Gateway(tmp_path / "wsgw", certificate, server.c2s_port, config=CONFIG)) as gateway:
        gateway.start()
        steps = play(("chat", f"http://127.0.0.1:{gateway.ws_port}/console/"), accounts=accounts)
        assert {"contacts", "chat", "resumed", "left", "done"} <= {step["step"] for step in steps}
        gateway.assert_clean_log({account.user: account.password for account in accounts})


@pytest.mark.root
def test_a_page_from_another_machine_needs_https(
    play: Play, namespace: NetworkNamespace, tmp_path: Path
) -> None:
    """The demo has it; a page without it explains why it takes no password."""
    under = tuple(namespace.inside())
    demo = started_demo(tmp_path / "demo.log", "--listen", ADDRESS, under=under)
    config = tmp_path / "wsgw.yml"
    config.write_text(PLAIN.format(ADDRESS=ADDRESS))
    argv = [*under, sys.executable, "-m", "wsgw", "--config", str(config), "--offline", "--user", "root"]
    plain = Child(argv, tmp_path / "plain.log")
    try:
        wait_until(lambda: "listens on" in plain.text(), SECONDS, "the gateway without TLS")
        steps = play(
            ("secure", f"https://{ADDRESS}:5288/"),
            ("insecure", f"http://{ADDRESS}:5289/console"),
            under=under,
        )
        assert {"online", "explained", "done"} <= {step["step"] for step in steps}
        assert (demo.terminate(SECONDS), plain.terminate(SECONDS)) == (0, 0)
    finally:
        demo.kill()
        plain.kill()
