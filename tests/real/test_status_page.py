"""The status page in Chromium: with and without scripts, with and without the token."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ops.conftest import starting
from tests.ops.test_session_pages import TOKEN, USERS, WITH_TOKEN, Sessions
from tests.real.test_clients import CLIENTS, run_client
from tests.support.certificates import Certificate
from tests.support.wire import XmppServer

#: For all scenes on a busy machine; they take about 15.
SECONDS = 120
SCENES = {"plots", "refreshed", "old", "hidden", "small", "plain", "sessions", "done"}


@pytest.mark.timeout(180)
def test_the_status_page_in_a_browser(
    certificate: Certificate, xmpp_server: XmppServer, node: str, chromium: str, tmp_path: Path
) -> None:
    """Its policy is not violated, axe-core finds nothing, and it fits a phone."""
    with starting(certificate, tmp_path / "gateway") as begin:
        admin = begin(xmpp_server.port, admin=WITH_TOKEN, before="tests.ops.seeded_history:seed")
        sessions = Sessions(admin, xmpp_server)
        parameters: dict[str, object] = {
            "url": f"http://127.0.0.1:{admin.port}",
            "chromium": chromium,
            "token": TOKEN,
            "users": [{"jid": f"{user}@localhost/web", "address": address} for user, address in USERS],
        }
        steps = run_client([node, str(CLIENTS / "status.mjs")], tmp_path, parameters, SECONDS)
        sessions.close()
    assert {step["step"] for step in steps} == SCENES
