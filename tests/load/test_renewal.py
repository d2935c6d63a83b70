"""Certificates renewed under load, as by certbot and Kubernetes: no session and no handshake is lost.

In the small form the gateway looks at its files five times a second. In the full form (``scripts/heavy.sh``)
it looks every 20 seconds, as it does in use; that takes some eight minutes.
"""

from __future__ import annotations

import itertools
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.load.renewals import Certbot, CertbotWithHook, Kubernetes, Renewer, Watcher, der
from tests.ops.admin import Admin
from tests.support.certificates import Certificate, make_certificate
from tests.support.forms import FULL, form
from tests.support.gateway import ERLANG_CONFIG, Gateway
from tests.support.observe import PATIENCE, said
from tests.support.processes import ReservedPort, wait_until
from tests.support.traffic import Book, Traffic, assert_whole
from wsgw.net.certificate import certificates_in

SESSIONS = form(small=10, full=100)
#: Each way renews so often.
ROUNDS = form(small=1, full=3)
#: Seconds until every worker must show a new certificate. The small form has time for a busy machine.
WITHIN = form(small=20.0, full=60.0)
#: Seconds between the handshakes of the watcher.
PAUSE = form(small=0.01, full=0.1)
OFTEN = {"wsgw.processes.renewal.LOOK_EVERY": 0.2}

Issue = Callable[[str], Certificate]


@pytest.fixture
def issue(tmp_path: Path) -> Issue:
    """``issue(name)``: a new certificate, each valid for a day longer."""
    number = itertools.count()

    def issue(name: str) -> Certificate:
        at = next(number)
        return make_certificate(tmp_path / f"issue-{at}", name, extra="", days=str(30 + at))

    return issue


@pytest.fixture
def renewers(tmp_path: Path) -> list[Renewer]:
    return [
        Certbot(tmp_path / "letsencrypt", "certbot.example"),
        CertbotWithHook(tmp_path / "hooked", "hook.example"),
        Kubernetes(tmp_path / "kubernetes", "kubernetes.example"),
    ]


@pytest.fixture
def traffic(certificate: Certificate) -> Iterator[Traffic]:
    with Traffic(certificate.ca) as traffic:
        yield traffic


@pytest.fixture
def start(certificate: Certificate, traffic: Traffic, tmp_path: Path) -> Iterator[Callable[..., Admin]]:
    """``start(files)``: a gateway that shows ``certificate`` for localhost, and those in ``files``."""
    port, running = ReservedPort(), []

    def start(files: list[Path]) -> Admin:
        named = ", ".join(f'"{path}"' for path in [certificate.pem, *files])
        gateway = Gateway(
            tmp_path / "gateway",
            certificate,
            traffic.port,
            config=ERLANG_CONFIG.replace(',\n    {{certfile, "{certfile}"}}', ""),
            top_level=f"{{certfiles, [{named}]}}.\n{{listen, [{{{port.number}, wsgw_admin, []}}]}}.\n",
            constants=None if FULL else OFTEN,
        )
        running.append(gateway)
        gateway.start().child.wait_for_ports(port.number)
        return Admin(port.number, gateway)

    yield start
    for gateway in running:
        gateway.close()
    port.release()


class Trial:
    """Renewals while the ``watcher`` looks and sessions with ``books`` have traffic."""

    def __init__(self, admin: Admin, watcher: Watcher, traffic: Traffic, books: list[Book]) -> None:
        self._admin, self._watcher, self._traffic, self._books = admin, watcher, traffic, books
        #: By name: every certificate that was shown, in order.
        self.shown: dict[str, list[bytes]] = {}
        #: For each renewal, the seconds until the last handshake with the previous certificate.
        self.seconds: list[float] = []

    def installed(self, name: str, certificate: Certificate) -> None:
        """Wait until every worker shows ``certificate``, which has just been installed."""
        began, now = time.monotonic(), der(certificate)
        shown = self.shown.setdefault(name, [])
        wait_until(lambda: self._watcher.all_show(name, now), WITHIN, f"the certificate for {name}")
        if shown:
            self.seconds.append(self._watcher.last(name, shown[-1]) - began)
        shown.append(now)
        self._metrics_have(name, certificate)
        self._traffic.moves(self._books)

    def _metrics_have(self, name: str, certificate: Certificate) -> None:
        (leaf,) = certificates_in(certificate.chain.read_bytes())

        def are_current() -> bool:
            found = self._admin.metrics()
            expires = found.value("wsgw_certificate_name_expiry_timestamp_seconds", name=name)
            return found.value("wsgw_certificates_current") == 1 and expires == leaf.not_after.timestamp()

        wait_until(are_current, PATIENCE, "the metrics")

    def refused(self) -> None:
        """Wait until the gateway has refused a renewal."""
        wait_until(
            lambda: self._admin.metrics().value("wsgw_certificates_current") == 0, WITHIN, "the metric"
        )
        said(self._admin.gateway, "the changed certificates cannot be used: the previous ones stay")
        self._traffic.moves(self._books)


@pytest.mark.rule("tls-renewal")
@pytest.mark.timeout(form(small=120, full=1200))
def test_renewals_under_load_lose_no_session_and_no_handshake(
    start: Callable[..., Admin], traffic: Traffic, renewers: list[Renewer], issue: Issue
) -> None:
    first = {one.name: issue(one.name) for one in renewers}
    for one in renewers:
        one.install(first[one.name])
    admin = start([path for one in renewers for path in one.certfiles])
    gateway = admin.gateway
    with Watcher(gateway, list(first), PAUSE) as watcher:
        books = traffic.begin(gateway.wss_port, SESSIONS, 0.05, secure=True)
        trial = Trial(admin, watcher, traffic, books)
        for name, certificate in first.items():
            trial.installed(name, certificate)
        for one in renewers * ROUNDS:
            one.install(new := issue(one.name))
            trial.installed(one.name, new)
        one.install(issue(one.name), key=issue(one.name).key)
        trial.refused()
        one.install(new := issue(one.name))
        trial.installed(one.name, new)
        traffic.finish()
    assert_whole(books)
    assert watcher.errors == []
    assert watcher.sequences() == {
        (pid, name): shown for pid in gateway.workers for name, shown in trial.shown.items()
    }
    print(
        f"\n{SESSIONS} sessions, {sum(book.sent for book in books)} stanzas, {len(watcher.looks)} "
        f"handshakes, {len(trial.seconds)} renewals: the last handshake with the previous certificate after "
        f"{statistics.median(trial.seconds):.1f} s, {max(trial.seconds):.1f} s at most"
    )
    _a_replaced_worker_has_them(gateway, trial)
    assert gateway.stop() == 0


def _a_replaced_worker_has_them(gateway: Gateway, trial: Trial) -> None:
    """It comes from the parent, not from the configuration."""
    killed = gateway.workers[0]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: killed not in gateway.workers and len(gateway.workers) == 2, PATIENCE, "another one")
    with Watcher(gateway, list(trial.shown), PAUSE) as watcher:
        for name, shown in trial.shown.items():
            wait_until(lambda: watcher.all_show(name, shown[-1]), PATIENCE, name)  # noqa: B023
