"""Steady traffic, for ten seconds or (``scripts/heavy.sh``) a minute: no loss, and no growth of memory.

The small form has tens of thousands of messages after the first measurement of memory: it finds any loss, and
a leak of some fifty bytes for each message. The full form finds a leak of a tenth of that.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.forms import form
from tests.support.processes import Child, ReservedPort, wait_until

LOAD = Path(__file__).with_name("echo_load.py")
SESSIONS = 64
SECONDS = form(small=10, full=60)
#: The time of the first measurement of memory; the last is a second before the end.
SETTLED_AFTER = form(small=4, full=15)
GROWTH_LIMIT = 1024 * 1024


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """``child(name, *argv)``: a Python program that ends with the test."""
    children: list[Child] = []

    def start(name: str, *argv: str) -> Child:
        children.append(Child([sys.executable, *argv], tmp_path / f"{name}.log"))
        return children[-1]

    yield start
    for each in reversed(children):
        each.kill()


def tree_rss(pid: int) -> int:
    """Resident bytes of a process and everything below it."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return pages * 4096 + sum(map(tree_rss, map(int, children)))


@pytest.mark.timeout(SECONDS + 60)
def test_sixty_four_sessions_lose_no_message_and_do_not_grow(child: Callable[..., Child]) -> None:
    stub = child("stub", str(LOAD), "serve")
    wait_until(lambda: stub.text().endswith("\n"), 10, "the stub server")
    port = ReservedPort()
    gateway = child(
        "wsgw",
        *("-m", "wsgw", "--offline", "--listen", f"127.0.0.1:{port.number}", "--domain", "localhost"),
        *("--upstream", f"tcp://127.0.0.1:{stub.text().strip()}"),
    )
    gateway.wait_for_ports(port.number)
    load = child("load", str(LOAD), "drive", str(port.number), str(SESSIONS), str(SECONDS))
    time.sleep(SETTLED_AFTER)  # the age of the load at the measurement
    settled = tree_rss(gateway.pid)
    time.sleep(SECONDS - SETTLED_AFTER - 1)
    grown = tree_rss(gateway.pid) - settled
    assert load.wait(30) == 0, load.tail()
    books = json.loads(load.text().splitlines()[-1])
    assert books["errors"] == 0
    assert books["sent"] == books["received"] > SECONDS * SESSIONS
    assert grown <= GROWTH_LIMIT, f"RSS grew by {grown} bytes from {settled}"
    assert gateway.terminate() == 0
    port.release()
    print(f"{books} RSS {settled} + {grown}")
