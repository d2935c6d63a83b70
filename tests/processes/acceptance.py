"""Reload, deaths, upgrades and drain under load: ``python -m tests.processes.acceptance [SESSIONS]``.

A new certificate, a new limit, a file with an error, a killed worker and one that hangs, two upgrades and
a drain, while every session sends stanzas and new clients connect. Prints a table. Exits with 1 if a stanza
was lost or doubled, or a session ended or a connection was refused without a reason.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.certificates import Certificate, make_certificate
from tests.support.gateway import Gateway
from tests.support.observe import PATIENCE, gone, held, reload, said
from tests.support.processes import wait_until
from tests.support.traffic import Book, Traffic

SESSIONS = 200
#: The pause between two stanzas of a session, in seconds.
PAUSE = 0.5
DRAIN = 10
#: The seconds within which a hanging worker is replaced.
HANGS_FOR = 60.0
OPTIONS = f"{{drain_timeout, {DRAIN}}}, "


class Acceptance:
    """One run, with its files below ``folder``."""

    def __init__(self, folder: Path, sessions: int) -> None:
        self._sessions = sessions
        self._certificate = make_certificate(folder / "certificate")
        self._pem = folder / "served.pem"
        self._pem.write_bytes(self._certificate.pem.read_bytes())
        self._renewed = make_certificate(folder / "renewed")
        both = folder / "authorities.pem"
        both.write_bytes(self._certificate.ca.read_bytes() + self._renewed.ca.read_bytes())
        self._traffic = Traffic(both)
        certificate = self._certificate
        served = Certificate(certificate.ca, certificate.chain, certificate.key, self._pem)
        self._gateway_of: Callable[[int], Gateway] = lambda port: Gateway(
            folder / "gateway", served, port, ws_options=OPTIONS
        )
        self._rows: list[tuple[str, int, int, int, str, float]] = []
        self._expected_losses: list[Book] = []
        self.faults: list[str] = []

    def run(self) -> None:
        with self._traffic as traffic:
            self._gateway = self._gateway_of(traffic.port)
            self._gateway.start()
            try:
                self._run(traffic)
            finally:
                self._gateway.close()

    def _run(self, traffic: Traffic) -> None:
        gateway = self._gateway
        with self._step("start"):
            traffic.begin(gateway.ws_port, self._sessions * 3 // 4, PAUSE)
            traffic.begin(gateway.wss_port, self._sessions - self._sessions * 3 // 4, PAUSE, secure=True)
            traffic.attempt(gateway.ws_port, 0.02)
        with self._step("HUP: new certificate, new limit"):
            self._pem.write_bytes(self._renewed.pem.read_bytes())
            self._edit("{ip, {127,0,0,1}},", "{max_depth, 50}, {ip, {127,0,0,1}},")
            reload(gateway)
        with self._step("HUP: a file that is wrong"):
            self._edit("{hosts, ", "{hosts ")
            reload(gateway)
            self._edit("{hosts ", "{hosts, ")
        with self._step("a worker is killed"):
            self._kill_a_worker(traffic)
        with self._step("a worker hangs"):
            self._hang_a_worker(traffic)
        parent = gateway.child.pid
        for step in ("USR2: an upgrade", "USR2: another, by the newer parent"):
            with self._step(step):
                os.kill(parent, signal.SIGUSR2)
                said(gateway, "has taken over", len(re.findall("has taken over", gateway.child.text())) + 1)
                parent = int(re.findall(r"process (\d+) has taken over", gateway.child.text())[-1])
                traffic.begin(gateway.ws_port, self._sessions // 10, PAUSE)
        self._drain(traffic, parent)

    def _edit(self, old: str, new: str) -> None:
        config = self._gateway.config
        config.write_text(config.read_text().replace(old, new))

    def _kill_a_worker(self, traffic: Traffic) -> None:
        gateway = self._gateway
        its_own = self._held_by_the_first()
        os.kill(min(gateway.workers), signal.SIGKILL)
        said(gateway, r"worker \d .* serves")
        self._note_losses(traffic, its_own)

    def _hang_a_worker(self, traffic: Traffic) -> None:
        gateway = self._gateway
        its_own = self._held_by_the_first()
        os.kill(min(gateway.workers), signal.SIGSTOP)
        wait_until(lambda: "hangs: killing it" in gateway.child.text(), HANGS_FOR, "it to be seen")
        said(gateway, r"worker \d .* serves", 2)
        self._note_losses(traffic, its_own)

    def _held_by_the_first(self) -> int:
        gateway = self._gateway
        return sum(held(gateway, port)[0] for port in (gateway.ws_port, gateway.wss_port))

    def _note_losses(self, traffic: Traffic, its_own: int) -> None:
        """Only the worker's own sessions may be lost with it; their clients connect again."""
        before = len(self._expected_losses)
        wait_until(lambda: self._lost() - before >= its_own - 1, PATIENCE, "the losses")
        self._expected_losses = [book for book in traffic.books if book.lost]
        lost = len(self._expected_losses) - before
        if abs(lost - its_own) > 1:  # one may have been an attempt at that moment
            self.faults.append(f"{lost} sessions lost with a worker that had {its_own}")
        # The stanzas inside that process are lost with it, once.
        for what in ("ConnectionResetError", "IncompleteReadError"):
            if traffic.attempts[what] == 1:
                del traffic.attempts[what]
        traffic.begin(self._gateway.ws_port, lost, PAUSE)

    def _lost(self) -> int:
        return sum(bool(book.lost) for book in self._traffic.books)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Do one step, let every session continue for a while, and check the books."""
        traffic = self._traffic
        began, attempts = time.monotonic(), Counter(traffic.attempts)
        back = sum(book.came_back for book in traffic.books)
        yield
        traffic.moves([book for book in traffic.books if book.open], 4)
        books = traffic.books
        unexpected = [book for book in books if book.lost and book not in self._expected_losses]
        self.faults += [f"{name}: {book}" for book in unexpected]
        met = Counter(traffic.attempts) - attempts
        if set(met) - {"101"}:
            self.faults.append(f"{name}: attempts to connect met {dict(met)}")
        came = sum(book.came_back for book in books) - back
        shown = ", ".join(f"{what} {count}" for what, count in met.items())
        lost = self._lost()
        self._rows.append((name, len(books) - lost, lost, came, shown, time.monotonic() - began))

    def _drain(self, traffic: Traffic, parent: int) -> None:
        began, attempts = traffic.now(), Counter(traffic.attempts)
        back = sum(book.came_back for book in traffic.books)
        sessions = [book for book in traffic.books if book.open]
        os.kill(parent, signal.SIGTERM)
        wait_until(lambda: gone(parent), 3 * DRAIN, "the end")
        ends = sorted(book.ended_at - began for book in sessions)
        met = Counter(traffic.attempts) - attempts
        for book in sessions:
            if book.code != 1012 or book.sent - book.came_back > 1 or len(book.unexpected) > 2:
                self.faults.append(f"drain: {book}")
        name = f"TERM: ends from {ends[0]:.1f} to {ends[-1]:.1f} s, half by {ends[len(ends) // 2]:.1f} s"
        came = sum(book.came_back for book in traffic.books) - back
        shown = ", ".join(f"{what} {count}" for what, count in met.items())
        self._rows.append((name, 0, self._lost(), came, shown, traffic.now() - began))
        self._gateway.assert_clean_log({})

    def report(self) -> str:
        lines = [f"{'step':<52} {'alive':>6} {'ended':>6} {'stanzas':>8} {'s':>6}  attempts to connect"]
        for name, alive, lost, came, met, seconds in self._rows:
            lines.append(f"{name:<52} {alive:>6} {lost:>6} {came:>8} {seconds:>6.1f}  {met}")
        return "\n".join(lines)


def main(arguments: list[str]) -> int:
    sessions = int(arguments[0]) if arguments else SESSIONS
    folder = Path(tempfile.mkdtemp(prefix="wsgw-acceptance-"))
    acceptance = Acceptance(folder, sessions)
    acceptance.run()
    print(acceptance.report())
    for fault in acceptance.faults[:20]:
        print(f"FAULT {fault}")
    print(f"faults: {len(acceptance.faults)}; logs: {folder}")
    return 1 if acceptance.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
