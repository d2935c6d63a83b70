"""How many connections are accepted at a time, and what happens to the others."""

from __future__ import annotations

import resource
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import gevent
import pytest

from tests.listener.heads import (
    GOOD,
    SWITCHING,
    connect,
    request,
)
from tests.support.certificates import Certificate
from tests.support.gateway import Gateway
from tests.support.here import config_for, port_of, running, wait_here
from tests.support.processes import wait_until
from tests.support.wire import SECONDS, XmppServer
from wsgw.listener.accept import MAX_ACCEPT, Listener


def test_a_few_new_connections_are_accepted_in_each_turn_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wave of logins must not delay the open sessions."""
    taken = Counter[int]()
    do_read = Listener.do_read

    def counted(listener: Listener) -> tuple[socket.socket, Any] | None:
        accepted = do_read(listener)
        taken[gevent.get_hub().loop.iteration] += accepted is not None
        return accepted

    monkeypatch.setattr(Listener, "do_read", counted)
    with running(config_for(1)) as gateway:
        address = ("127.0.0.1", port_of(gateway))
        wave = [socket.create_connection(address) for _ in range(10 * MAX_ACCEPT)]
        wait_here(lambda: taken.total() == len(wave), "accepted wave")
        for connection in wave:
            connection.close()
    assert max(taken.values()) == MAX_ACCEPT


@pytest.mark.slow
def test_new_connections_wait_for_descriptors(
    xmpp_server: XmppServer, certificate: Certificate, tmp_path: Path
) -> None:
    """They wait; the gateway neither spins nor dies, and serves them later."""
    gateway = Gateway(tmp_path, certificate, xmpp_server.port, ws_options="{workers, 1}, ")
    try:
        gateway.start()
        (worker,) = gateway.workers
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (40, 40))
        crowd = [connect(gateway.ws_port) for _ in range(60)]
        wait_until(
            lambda: "accepts no connections: Too many open files" in gateway.child.text(), SECONDS, "log"
        )
        for connection in crowd[:-1]:
            connection.close()
        crowd[-1].send(request(*GOOD))
        assert crowd[-1].read_until(b"\r\n\r\n") == SWITCHING
        crowd[-1].close()
        assert gateway.child.text().count("accepts no connections") <= len(crowd), "thousands if it span"
        assert gateway.stop() == 0
        gateway.assert_clean_log({})
    finally:
        gateway.close()
