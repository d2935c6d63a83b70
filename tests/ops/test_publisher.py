"""The metrics agree with the books of both ends, to the byte."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter

import pytest

from tests.ops.admin import PATIENCE, Admin, Metrics
from tests.ops.books import KeptTraffic
from tests.ops.conftest import StartAdmin
from tests.support.certificates import Certificate
from tests.support.processes import wait_until
from tests.support.traffic import assert_whole
from tests.support.wire import OPENINGS, Browser, XmppServer

_COUNTED = {
    **{
        f"bytes_{direction}": ("wsgw_transferred_bytes_total", direction)
        for direction in ("from_browser", "to_browser", "from_upstream", "to_upstream")
    },
    "frames_from_browser": ("wsgw_frames_total", "from_browser"),
    "frames_to_browser": ("wsgw_frames_total", "to_browser"),
    "stanzas_from_client": ("wsgw_stanzas_total", "from_client"),
    "stanzas_to_client": ("wsgw_stanzas_total", "to_client"),
}
RESUMED_WITHIN_SASL2 = (
    b"<success xmlns='urn:xmpp:sasl:2'><resumed xmlns='urn:xmpp:sm:3' h='0' previd='p'/></success>"
)


@pytest.fixture
def traffic(certificate: Certificate) -> KeptTraffic:
    return KeptTraffic(certificate.ca)


def counted(metrics: Metrics) -> Counter[str]:
    return Counter(
        {name: int(metrics.value(metric, direction=way)) for name, (metric, way) in _COUNTED.items()}
    )


def settle(admin: Admin, traffic: KeptTraffic, sessions: int) -> Metrics:
    """Wait until both agree, with so many sessions; the assertion shows the last values.

    A worker may publish when the last byte of a session has passed and the session has not ended yet.
    """
    metrics = admin.metrics()

    def settled() -> bool:
        nonlocal metrics
        metrics = admin.metrics()
        there = (metrics.sum("wsgw_sessions"), metrics.value("wsgw_connections"))
        return counted(metrics) == traffic.booked() and there == (sessions, sessions)

    with contextlib.suppress(TimeoutError):
        wait_until(settled, PATIENCE, "the same")
    assert counted(metrics) == traffic.booked()
    assert metrics.sum("wsgw_sessions") == metrics.value("wsgw_connections") == sessions
    return metrics


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_the_metrics_count_every_byte_and_session(
    start: StartAdmin, traffic: KeptTraffic, secure: bool
) -> None:
    """Over TLS, the counted bytes are those inside TLS."""
    with traffic:
        admin = start(traffic.port)
        port = admin.gateway.wss_port if secure else admin.gateway.ws_port
        books = traffic.begin(port, 20, 0.05, secure=secure)
        traffic.moves(books, 10)
        traffic.finish()
        assert_whole(books)
        metrics = settle(admin, traffic, 0)
    assert (
        sum(book.sent for book in books) == metrics.value("wsgw_stanzas_total", direction="from_client") > 200
    )
    assert metrics.value("wsgw_sessions_opened_total") == 20
    assert metrics.value("wsgw_sessions_closed_total", cause="closed_by_client") == 20
    assert metrics.sum("wsgw_sessions_closed_total") == 20
    assert metrics.value("wsgw_logins_total", result="success") == 20
    assert metrics.sum("wsgw_upstream_connect_seconds_count") == 20
    assert metrics.value("wsgw_sessions_logged_in") == 0


@pytest.mark.rule("xep-0198-inline")
def test_a_session_that_is_resumed_within_its_login_is_counted(
    start: StartAdmin, xmpp_server: XmppServer
) -> None:
    admin = start(xmpp_server.port)
    browser = Browser(admin.gateway.ws_port)
    browser.text(OPENINGS["rfc7395"])
    connection = None
    while connection is None:
        with contextlib.suppress(EOFError):  # the gateway's own attempts say nothing
            connection = xmpp_server.accept_stream(RESUMED_WITHIN_SASL2)
    wait_until(lambda: admin.metrics().value("wsgw_sessions_resumed_total") == 1, PATIENCE, "the count")
    assert admin.metrics().value("wsgw_logins_total", result="success") == 1


def test_a_reload_changes_no_counter(start: StartAdmin, traffic: KeptTraffic) -> None:
    """Nor does a worker that the reload dismisses and that ends with its last session."""
    with traffic:
        admin = start(traffic.port)
        gateway = admin.gateway
        books = traffic.begin(gateway.ws_port, 10, 0.05)
        gateway.config.write_text(
            gateway.config.read_text("utf-8").replace("{workers, 2}", "{workers, 1}"), "utf-8"
        )
        gateway.child.signal(signal.SIGHUP)
        wait_until(lambda: admin.metrics().value("wsgw_workers") == 1, PATIENCE, "the reload")
        books += traffic.begin(gateway.ws_port, 10, 0.05)
        traffic.moves(books)
        traffic.finish()
        assert_whole(books)
        wait_until(lambda: len(gateway.workers) == 1, PATIENCE, "the worker to end")
        metrics = settle(admin, traffic, 0)
    assert metrics.value("wsgw_sessions_opened_total") == 20
    assert metrics.value("wsgw_sessions_closed_total", cause="closed_by_client") == 20
    assert metrics.value("wsgw_logins_total", result="success") == 20


def test_the_counts_of_a_dead_worker_stay(start: StartAdmin, traffic: KeptTraffic) -> None:
    """The counts that it had published: it publishes each second, and here it was idle for longer."""
    with traffic:
        admin = start(traffic.port)
        gateway = admin.gateway
        traffic.begin(gateway.ws_port, 20, 3600.0)
        before = settle(admin, traffic, 20)
        assert before.value("wsgw_sessions", host="localhost", framing="rfc7395", state="loop") == 20
        victim = admin.status()["workers"][0]
        os.kill(victim["pid"], signal.SIGKILL)
        wait_until(
            lambda: admin.metrics().value("wsgw_worker_restarts_total") == 1, PATIENCE, "the new worker"
        )
        assert 0 < victim["sessions"] < 20
        wait_until(
            lambda: admin.metrics().sum("wsgw_sessions") == 20 - victim["sessions"],
            PATIENCE,
            "the dead worker's gauges to go",
        )
        assert counted(admin.metrics()) == counted(before)
        wait_until(
            lambda: admin.metrics().value("wsgw_workers") == 2, PATIENCE, "the new worker to be told of"
        )
        more = traffic.begin(gateway.ws_port, 10, 3600.0)
        assert not any(book.lost for book in more)
        after = settle(admin, traffic, 30 - victim["sessions"])
        assert after.value("wsgw_sessions_opened_total") == 30
