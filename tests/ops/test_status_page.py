"""The status page for a document, without a gateway."""

from __future__ import annotations

import re
from typing import Any

import pytest

from wsgw.ops.history import History
from wsgw.ops.page_frame import duration, milliseconds, rate
from wsgw.ops.status_page import MOST_ROWS, page

NOW = 1_700_000_000.0
DAY = 86400


def document(**changes: Any) -> dict[str, Any]:
    found = {
        "version": "1.0",
        "native": {"in_use": True, "reason": ""},
        "ready": True,
        "why_not_ready": [],
        "started_at": NOW - 60,
        "uptime": 60.0,
        "config": {"source": "wsgw.yml", "warnings": [], "last_reload": None, "changed": []},
        "draining": False,
        "connections": 0,
        "sessions": 0,
        "sessions_logged_in": 0,
        "sessions_without_host": 0,
        "hosts": {"example.org": 0},
        "restarts": 0,
        "workers": [],
        "listeners": [],
        "upstreams": [],
        "limits_hit": {},
        "certificates": {},
        "certificate_names": [],
        "certificates_current": True,
    }
    return {**found, **changes}


def shown(**changes: Any) -> str:
    return page(document(**changes), History(), NOW)


def notices(markup: str) -> list[str]:
    return re.findall(r'<p class="notice (?:warn|bad)">([^<]+)</p>', markup)


def test_a_page_has_nothing_inline_and_escapes_every_text() -> None:
    evil = "<script>alert(1)</script>"
    found = shown(
        hosts={evil: 1},
        why_not_ready=[evil],
        version=evil,
        upstreams=[{"address": evil, "ok": False, "at": NOW, "error": evil}],
        config={
            "source": evil,
            "warnings": [evil],
            "last_reload": {"at": NOW, "ok": False, "errors": [evil]},
            "changed": [{"listener": evil, "option": evil, "value": evil, "default": evil}],
        },
    )
    assert evil not in found
    assert found.count("&lt;script&gt;") >= 12
    assert re.findall(r"<script[^>]*>", found) == ['<script type="module" src="/status/status.js">']
    assert not re.search(r"<style|\sstyle=|\son\w+=", found)


def test_a_gateway_in_good_order_has_no_notice() -> None:
    names = [
        {"name": "example.org", "certificates": [{"expires": NOW + 20 * DAY, "file": "a", "key_type": "ec"}]}
    ]
    found = shown(certificate_names=names, upstreams=[{"address": "a", "ok": True, "at": NOW, "error": ""}])
    assert '<div id="notices"></div>' in found
    assert '<span class="badge good">20 days</span>' in found


@pytest.mark.parametrize(
    ("changes", "notice"),
    [
        ({"ready": False, "why_not_ready": ["It ends."]}, "It ends."),
        (
            {"upstreams": [{"address": "tcp://a:1", "ok": False, "at": NOW, "error": "refused"}]},
            "The XMPP server tcp://a:1 does not answer: refused.",
        ),
        ({"certificates_current": False}, "Changed certificate files cannot be used"),
        (
            {
                "certificate_names": [
                    {
                        "name": "*",
                        "certificates": [{"expires": NOW + 3 * DAY, "file": "a", "key_type": "ec"}],
                    }
                ]
            },
            "The certificate for all other names expires in 3.0 days.",
        ),
        (
            {
                "certificate_names": [
                    {"name": "a", "certificates": [{"expires": NOW - 60, "file": "a", "key_type": "ec"}]}
                ]
            },
            "The certificate for a expired 60 s ago.",
        ),
    ],
    ids=["not ready", "XMPP server", "files", "soon", "expired"],
)
def test_what_needs_attention_is_at_the_top(changes: dict[str, Any], notice: str) -> None:
    (found,) = notices(shown(**changes))
    assert found.startswith(notice)


def test_tables_are_bounded() -> None:
    found = shown(hosts={f"host{number}.example": number for number in range(MOST_ROWS + 7)})
    assert found.count(".example</th>") == MOST_ROWS
    assert "and 7 more, in /status.json" in found
    assert f"host{MOST_ROWS + 6}.example" in found  # those with most sessions are shown


def test_the_history_says_when_it_began() -> None:
    history = History()
    history.since = NOW - 600
    assert "since wsgw was started or upgraded at" in page(document(), history, NOW)
    history.since = NOW - 3700
    assert "since wsgw was started" not in page(document(), history, NOW)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (0.25, "0.25"), (3, "3"), (12.34, "12.3"), (1234.5, "1234")]
)
def test_rates_have_few_digits(number: float, text: str) -> None:
    assert rate(number) == text


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0, 119, 120, 7200, 400_000)] == [
        "0 s",
        "119 s",
        "2.0 min",
        "2.0 h",
        "4.6 days",
    ]
    assert (milliseconds(None), milliseconds(0.0123)) == ("–", "12.3 ms")


def test_the_functions_in_use_are_shown() -> None:
    worker = {"pid": 1, "sessions": 0, "memory": None, "started_at": NOW, "restarts": 1, "leaving": False}
    workers = [
        {**worker, "slot": 0, "native_disabled": True},
        {**worker, "slot": 1, "native_disabled": False},
    ]
    found = shown(workers=workers)
    assert notices(found) == ["Worker 0 uses no native functions, because the previous one crashed."]
    assert found.count('<span class="badge warn">pure Python</span>') == 1
    assert "native functions</" in found
    assert "pure Python: not built</" in shown(native={"in_use": False, "reason": "not built"})
