"""The soak: ``python -m tests.soak.soak [SECONDS [FOLDER]]``; exits with 1 if the books do not agree.

Five minutes of load (half of the time in a shorter soak), silence, and the first measurement of the memory of
each process; load for the rest, silence, and the second measurement. Under load the XMPP server dies and
returns. A second gateway with the demo server has the sessions that resume.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.soak.script import pause_share
from tests.support.certificates import Certificate, make_certificate
from tests.support.gateway import Gateway
from tests.support.processes import ROOT, Child, ReservedPort, wait_until

#: Deadlines shorter than the silence.
OPTIONS = (
    "{tls_handshake_timeout, 3}, {handshake_timeout, 3}, {open_timeout, 3}, {connect_timeout, 2}, "
    "{send_timeout, 10}, {websocket_ping_interval, 5}, {pong_timeout, 20}, {max_sessions_per_ip, infinity}, "
)
_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
#: The times for which the server is down and is up, in seconds.
DEAD_FOR, LIVES_FOR = 1.0, 20.0
#: A session ends at most this long after the load: twice its patience, and the time to connect.
LAST_SESSION = 80.0
#: The allowed growth of a process between the two measurements: the larger of a share and bytes.
GROWTH_SHARE, GROWTH_LIMIT = 0.05, 4 * 1024 * 1024
#: The age, in seconds, at which the heap of a process has reached its largest size.
WARM_UP = 300.0

Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """The phases, in seconds."""

    warm_up: float
    load: float
    silence: float

    @classmethod
    def of(cls, seconds: float) -> Plan:
        """Five minutes and half a minute of silence if there is time for them, otherwise in proportion."""
        silence = min(30.0, seconds / 10)
        warm_up = min(WARM_UP, seconds / 2)
        return cls(warm_up, seconds - warm_up - 2 * silence, silence)

    @property
    def growth_limit(self) -> int:
        """The bytes that a process may always grow by; more if the warm-up takes only seconds."""
        return GROWTH_LIMIT if self.warm_up >= WARM_UP else 2 * GROWTH_LIMIT


@dataclass
class State:
    """A gateway at rest: bytes of RSS by process identifier, the parent first, and its open files."""

    rss: dict[int, int]
    files: int


@dataclass
class Result:
    """The findings of the soak; ``faults`` is empty if there are none."""

    clients: list[Row] = field(default_factory=list)
    servers: list[Row] = field(default_factory=list)
    resumed: Row = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    states: dict[str, tuple[State, State]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def process_tree(pid: int) -> list[int]:
    """A process and everything below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return [pid, *(below for child in map(int, children) for below in process_tree(child))]


def open_files(pid: int) -> int:
    """File descriptors of a process and everything below it."""
    return sum(len(list(Path(f"/proc/{each}/fd").iterdir())) for each in process_tree(pid))


def settled_files(pid: int) -> int:
    """The same, as soon as it does not change: when the port is open, workers are still starting."""
    before = -1
    while (now := open_files(pid)) != before:
        before = now
        time.sleep(1)
    return now


def state_of(pid: int) -> State:
    rss = {
        each: int(Path(f"/proc/{each}/statm").read_text("ascii").split()[1]) * resource.getpagesize()
        for each in process_tree(pid)
    }
    return State(rss, open_files(pid))


# -- running it ------------------------------------------------------------------------------------


class Soak:
    """All processes of one soak, below ``folder``."""

    def __init__(self, folder: Path, certificate: Certificate) -> None:
        self.folder = folder
        self.result = Result()
        self._certificate = certificate
        self._port = ReservedPort()
        self._books = folder / "server.books"
        self._client_books = folder / "clients.books"
        self._gateway = Gateway(folder / "gateway", certificate, self._port.number, ws_options=OPTIONS)
        self._demo_port, self._resuming_port = ReservedPort(), ReservedPort()
        self._children: list[Child] = []
        self._first = 0

    def run(self, plan: Plan) -> Result:
        try:
            self._run(plan)
        finally:
            for child in reversed(self._children):
                child.kill()
            self._gateway.close()
            for port in (self._port, self._demo_port, self._resuming_port):
                port.release()
        audit(self.result, plan.growth_limit)
        return self.result

    def _run(self, plan: Plan) -> None:
        self._gateway.start()
        demo = self._start("demo", "-m", "wsgw.demo", "--port", str(self._demo_port.number))
        demo.wait_for_ports(self._demo_port.number)
        resuming = self._start(
            "resuming-gateway",
            *("-m", "wsgw", "--listen", f"127.0.0.1:{self._resuming_port.number}", "--domain", "localhost"),
            *("--upstream", f"tcp://127.0.0.1:{self._demo_port.number}"),
        )
        resuming.wait_for_ports(self._resuming_port.number)
        pids = {"gateway": self._gateway.child.pid, "resuming gateway": resuming.pid}
        fresh = {name: settled_files(pid) for name, pid in pids.items()}
        first = self._load(plan.warm_up, plan.silence, pids, fresh)
        second = self._load(plan.load, plan.silence, pids, fresh)
        self.result.states = {name: (first[name], second[name]) for name in pids}
        self._check_end(resuming)
        self.result.clients = _lines(self._client_books)
        self.result.servers = _lines(self._books)

    def _start(self, name: str, *argv: str) -> Child:
        child = Child([sys.executable, *argv], self.folder / f"{name}.log", _ENVIRONMENT)
        self._children.append(child)
        return child

    def _load(
        self, seconds: float, silence: float, pids: dict[str, int], fresh: dict[str, int]
    ) -> dict[str, State]:
        """Load for so long, then silence; returns the memory and files of the gateways then."""
        ports = (str(self._gateway.ws_port), str(self._gateway.wss_port), str(self._certificate.ca))
        clients = self._start(
            f"clients-{self._first}",
            *("-m", "tests.soak.clients", *ports, str(seconds), str(self._first), str(self._client_books)),
        )
        resuming = self._start(
            f"resuming-{self._first}",
            *("-m", "tests.soak.resuming", str(self._resuming_port.number), str(seconds)),
        )
        self._serve_until_done(clients, seconds)
        self._first = self._take_totals(clients)["next"]
        self._take_totals(resuming)
        time.sleep(silence)
        for name, pid in pids.items():
            try:
                wait_until(partial(_has_at_most, pid, fresh[name]), 10, name)
            except TimeoutError:
                self.result.faults.append(
                    f"{name}: {open_files(pid)} files open, {fresh[name]} before the load"
                )
        return {name: state_of(pid) for name, pid in pids.items()}

    def _serve_until_done(self, clients: Child, seconds: float) -> None:
        """Let the XMPP server live and die until the load ends, but not in its last moments."""
        until = time.monotonic() + seconds
        lives_for = min(LIVES_FOR, seconds / 3)
        share = str(pause_share(seconds))
        while True:
            server = self._start(
                "server", *("-m", "tests.soak.server", str(self._port.number), str(self._books), share)
            )
            server.wait_for_ports(self._port.number)
            life = min(until, time.monotonic() + lives_for)
            if until - life < lives_for:
                clients.wait(until - time.monotonic() + LAST_SESSION)
                self._stop(server)
                return
            time.sleep(life - time.monotonic())
            self._stop(server)
            self.result.totals["deaths of the server"] += 1
            time.sleep(DEAD_FOR)

    def _stop(self, server: Child) -> None:
        if server.terminate() != 0 or "Traceback" in server.text():
            self.result.faults.append(f"the XMPP server of the soak failed: {server.tail(1000)}")

    def _take_totals(self, child: Child) -> Row:
        status = child.wait(LAST_SESSION)
        if status != 0:
            raise RuntimeError(f"{child.argv[1]} ended with {status}: {child.tail()}")
        totals: Row = json.loads(child.text().splitlines()[-1])
        for name, value in totals.items():
            if isinstance(value, int) and name != "next":
                self.result.totals[name] += value
        self.result.faults.extend(totals.get("faults", ()))
        return totals

    def _check_end(self, resuming: Child) -> None:
        statuses = {"gateway": self._gateway.stop(), "resuming gateway": resuming.terminate(40)}
        logs = {"gateway": self._gateway.log, "resuming gateway": resuming.log}
        for name, status in statuses.items():
            if status != 0:
                self.result.faults.append(f"{name}: ended with {status}")
            text = logs[name].read_text("utf-8", "replace")
            if "Traceback" in text:
                self.result.faults.append(f"{name}: {text[text.index('Traceback') :][:3000]}")


def _lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# -- the audit -------------------------------------------------------------------------------------


def audit(result: Result, growth_limit: int) -> None:
    """Compare both ends' books, and memory; adds to ``faults``. ``growth_limit`` in bytes."""
    by_name: defaultdict[str, list[Row]] = defaultdict(list)
    for row in result.servers:
        by_name[row["name"]].append(row)
    for client in result.clients:
        for fault in _session_faults(client, by_name.pop(client["name"], [])):
            result.faults.append(f"session {client['name']}: {fault}; {client}")
    result.faults.extend(f"a session nobody opened: {name}" for name in by_name)
    for name, (first, second) in result.states.items():
        if first.rss.keys() != second.rss.keys():
            result.faults.append(f"{name}: processes {[*first.rss]} have become {[*second.rss]}")
        for pid, before in first.rss.items():
            now = second.rss.get(pid, 0)
            if now > before + max(before * GROWTH_SHARE, growth_limit):
                result.faults.append(f"{name}: process {pid} has grown from {before} to {now} bytes")


#: The server ends the stream itself, or is lost: the end that the client gets is not determined.
_ENDING_MODES = ("ends", "error", "dies")


def _session_faults(client: Row, servers: list[Row]) -> list[str]:
    if len(servers) != 1:
        missing = not servers and not client["opened"]
        return [] if missing and not client["mismatch"] else [f"{len(servers)} streams; {client['mismatch']}"]
    (server,) = servers
    faults = [side["mismatch"] for side in (client, server) if side["mismatch"]]
    if server["received"] > client["sent"]:
        faults.append(f"up: {server['received']} of {client['sent']} stanzas came out")
    if client["received"] > server["sent"]:
        faults.append(f"down: {client['received']} of {server['sent']} stanzas came out")
    if client["answered"] and server["mode"] not in _ENDING_MODES and server["end"] in ("end tag", "fin"):
        if (server["received"], server["end"]) != (client["sent"], "end tag"):
            faults.append(f"up: ended by the client, but not all came out: {server}")
        if client["received"] != server["sent"]:
            faults.append(f"down: ended by the client, but not all came out: {server}")
    if _server_ended(client, server) and client["received"] != server["sent"]:
        faults.append(f"down: ended by the server, but not all came out: {server}")
    if client["how"] in ("fin", "rst", "close frame", "cut frame") and _is_end_unasked(client, server):
        faults.append(f"the client was lost, the server heard an end tag: {server}")
    return faults


def _server_ended(client: Row, server: Row) -> bool:
    """Whether the server sent all and ended the stream, and the client stayed to the end without an error."""
    said_all = server["mode"] in ("ends", "error") and server["sent"] == server["planned"]
    heard = client["code"] == 1000 and not client["left"] and client["how"] == "end"
    return said_all and heard and client["error"] in ("", "conflict")


def _is_end_unasked(client: Row, server: Row) -> bool:
    """An end tag prevents a resumption (XEP-0198); an answer to that of the server is correct."""
    return server["end"] == "end tag" and server["mode"] not in _ENDING_MODES


# -- the report ------------------------------------------------------------------------------------


def report(result: Result, seconds: float) -> str:
    """The table."""
    clients, servers = result.clients, result.servers
    opened = [row for row in clients if row["opened"]]
    lines = [
        ("sessions", len(clients)),
        ("  opened", len(opened)),
        ("  refused as the server was away", len(clients) - len(opened)),
        *((f"  over {name}", _count(opened, "transport", name)) for name in ("ws", "wss")),
        *((f"  in {name} framing", _count(opened, "framing", name)) for name in ("rfc7395", "legacy")),
        *((f"  ended by {name}", count) for name, count in _ways(opened)),
        *((f"  whose server: {name}", count) for name, count in _column(opened, "mode")),
        ("whole in both directions, ended by <close/> or end tag", sum(row["answered"] for row in opened)),
        ("stanzas from browsers: sent", sum(row["sent"] for row in opened)),
        ("  come out", sum(row["received"] for row in servers)),
        ("stanzas from the server: sent", sum(row["sent"] for row in servers)),
        ("  come out", sum(row["received"] for row in clients)),
        *sorted(result.totals.items()),
    ]
    for name, (first, second) in result.states.items():
        for number, (pid, before) in enumerate(first.rss.items()):
            now = second.rss.get(pid, 0)
            process = f"worker {number}" if number else "parent"
            lines.append(
                (
                    f"{name}: {process}, RSS KiB at rest",
                    f"{before // 1024} -> {now // 1024} ({now / before - 1:+.1%})",
                )
            )
        lines.append((f"{name}: open files at rest", f"{first.files} -> {second.files}"))
    lines.append(("faults", len(result.faults)))
    table = "\n".join(f"{name:<56} {value:>24}" for name, value in lines)
    return f"soak of {seconds:g} s\n{table}"


def _count(rows: list[Row], key: str, value: str) -> int:
    return sum(row[key] == value for row in rows)


def _column(rows: list[Row], key: str) -> list[tuple[str, int]]:
    return sorted(Counter(row[key] for row in rows).items())


def _ways(rows: list[Row]) -> list[tuple[str, int]]:
    named = Counter(
        "the other side" if "Error" in row["how"] or row["how"] == "end" else row["how"] for row in rows
    )
    return sorted(named.items())


def soak(seconds: float, folder: Path) -> Result:
    """Run one soak below ``folder``."""
    certificate = make_certificate(folder / "certificate")
    return Soak(folder, certificate).run(Plan.of(seconds))


@contextmanager
def progress(seconds: float) -> Iterator[None]:
    """Print every ten seconds how long the soak has run; its start and its checks take some time more."""
    ended, began = threading.Event(), time.monotonic()

    def tell() -> None:
        while not ended.wait(10.0):
            print(f"   ... {time.monotonic() - began:.0f} s of {seconds:g}", file=sys.stderr, flush=True)

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


def main(arguments: list[str]) -> int:
    seconds = float(arguments[0]) if arguments else 600.0
    folder = Path(arguments[1] if len(arguments) > 1 else tempfile.mkdtemp(prefix="wsgw-soak-"))
    with progress(seconds):
        result = soak(seconds, folder)
    print(report(result, seconds))
    for fault in result.faults[:20]:
        print(f"FAULT {fault}")
    print(f"logs and books: {folder}")
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))


def _has_at_most(pid: int, files: int) -> bool:
    return open_files(pid) <= files
