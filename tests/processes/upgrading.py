"""Steps of an upgrade, and the end of its newest parent."""

from __future__ import annotations

import os
import re
import signal

from tests.processes.gate import Gate
from tests.support.gateway import Gateway
from tests.support.observe import PATIENCE, count, gone, listening, said
from tests.support.processes import children_of, wait_until


def upgrade(gateway: Gateway, parent: int) -> int:
    """Send SIGUSR2; return the pid of the new parent when it has taken over and no other process accepts."""
    before, older = count(gateway, "has taken over"), [parent, *children_of(parent)]
    os.kill(parent, signal.SIGUSR2)
    said(gateway, "has taken over", before + 1)
    ports = (gateway.ws_port, gateway.wss_port)
    wait_until(lambda: not listening(older, *ports), PATIENCE, "the older one to leave the ports")
    return int(re.findall(r"process (\d+) has taken over", gateway.child.text())[-1])


def begin_upgrade(gateway: Gateway) -> tuple[int, Gate]:
    """Send SIGUSR2; return the pid of the new parent, which handles signals, and the gate that holds it."""
    gate = Gate(gateway.config)
    gateway.child.signal(signal.SIGUSR2)
    said(gateway, r"upgrade: process \d+ starts")
    gate.wait()
    return int(re.findall(r"upgrade: process (\d+) starts", gateway.child.text())[-1]), gate


def stop(parent: int) -> None:
    os.kill(parent, signal.SIGTERM)
    wait_until(lambda: gone(parent), PATIENCE, "the end of the newest")
