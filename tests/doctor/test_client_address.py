"""The client's address: cases without a fault of a proxy, which ``test_outside`` has."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tests.doctor.played import FEATURES, OPEN, says, serving
from tests.support.processes import ReservedPort
from wsgw.config import from_arguments
from wsgw.config.model import AdminListener
from wsgw.config.source import Source
from wsgw.doctor import client_address
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Inquiry

CONFIG = from_arguments("127.0.0.1:0", ["localhost"], ["tcp://127.0.0.1:5222"])


def findings(url: str | None, *admin: AdminListener) -> list[Finding]:
    config = replace(CONFIG, admin_listeners=admin)
    return list(client_address.check(Inquiry(("localhost",), Source(), config, url=url)))


def test_without_an_admin_listener_it_is_skipped() -> None:
    (found,) = findings("wss://gateway.invalid/ws")
    assert (found.verdict, "no wsgw_admin listener" in found.what) == (Verdict.SKIPPED, True)


def test_over_loopback_no_address_is_forwarded() -> None:
    assert findings("ws://127.0.0.1:1/ws", AdminListener("127.0.0.1", 1)) == []
    assert findings(None, AdminListener("127.0.0.1", 1)) == []


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback counts as any other address."""
    monkeypatch.setattr(client_address, "_is_loopback", lambda _url, _inquiry: False)


def test_without_a_running_gateway_it_is_skipped(elsewhere: None) -> None:
    port = ReservedPort()
    (found,) = findings("ws://127.0.0.1:1/ws", AdminListener("127.0.0.1", port.number))
    assert (found.verdict, "no gateway answers" in found.what) == (Verdict.SKIPPED, True)
    port.release()


@pytest.mark.parametrize(
    ("opened", "verdict", "words"),
    [
        ({"peer": 1}, Verdict.OK, "from the connection"),
        ({}, Verdict.NOTE, "leads to another gateway"),
        ({"forwarded": 3, "untrusted": 1}, Verdict.FAILED, "is not trusted"),
    ],
)
def test_the_new_counts_decide(
    elsewhere: None, monkeypatch: pytest.MonkeyPatch, opened: dict[str, int], verdict: Verdict, words: str
) -> None:
    before = Counter(peer=5, missing=2, untrusted=7)
    readings = iter((before, before + Counter(opened)))
    monkeypatch.setattr(client_address, "_counts", lambda _listener: next(readings))
    with serving(says(OPEN, FEATURES, waits=False)) as url:
        (found,) = findings(url, AdminListener("127.0.0.1", 1))
    assert (found.verdict, words in found.what) == (verdict, True)
