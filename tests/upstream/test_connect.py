"""Without TLS: TCP, Unix sockets, failover, and servers that cannot be reached."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.gateway import Gateway
from tests.support.processes import ReservedPort, wait_until
from tests.support.wire import SECONDS, Browser, Connection, XmppServer, within
from tests.upstream.scripted import HASTY, SOON, assert_fails, assert_relays, dropping, logged, open_stream

#: The log line of an ended session.
CLOSED = "= closed host=localhost"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_is_reached_over_tcp(
    start: Callable[..., Gateway], xmpp_server: XmppServer, host: str
) -> None:
    browser = open_stream(start(f'{{upstream, "tcp://{host}:{xmpp_server.port}"}}, '))
    assert_relays(browser, xmpp_server.accept())


def test_a_server_is_reached_over_a_unix_socket(start: Callable[..., Gateway], tmp_path: Path) -> None:
    path = tmp_path / "xmpp.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(SECONDS)
        browser = open_stream(start(f'{{upstream, "unix:{path}"}}, '))
        assert_relays(browser, Connection(listener.accept()[0]))


def test_the_next_server_is_tried_after_a_failure(
    start: Callable[..., Gateway], xmpp_server: XmppServer, tmp_path: Path
) -> None:
    nobody = ReservedPort()
    ways = [
        f"tcp://127.0.0.1:{nobody.number}",
        f"unix:{tmp_path}/none",
        f"tcp://127.0.0.1:{xmpp_server.port}",
    ]
    gateway = start(f'{{upstream, ["{ways[0]}", "{ways[1]}", "{ways[2]}"]}}, ')
    browser = open_stream(gateway)
    assert_relays(browser, xmpp_server.accept())
    nobody.release()


def test_without_a_server_the_session_fails(start: Callable[..., Gateway], tmp_path: Path) -> None:
    nobody = ReservedPort()
    gateway = start(f'{{upstream, ["tcp://127.0.0.1:{nobody.number}", "unix:{tmp_path}/none"]}}, ')
    assert_fails(open_stream(gateway))
    logged(
        gateway,
        r"localhost: no connection to the XMPP server: tcp://\S+: .*refused; unix:\S+: .*No such file",
    )
    nobody.release()


def test_a_name_that_does_not_resolve_fails(start: Callable[..., Gateway]) -> None:
    gateway = start('{upstream, "tcp://no-such-host.invalid:5222"}, ', HASTY)
    assert_fails(open_stream(gateway))


def test_an_attempt_whose_packets_are_dropped_fails_in_time(start: Callable[..., Gateway]) -> None:
    with dropping() as port:
        gateway = start(f'{{upstream, "tcp://127.0.0.1:{port}"}}, ', HASTY)
        assert_fails(open_stream(gateway))
        logged(gateway, r"no connection to the XMPP server: tcp://\S+: ")


def test_the_next_server_is_tried_after_one_that_drops_packets(
    start: Callable[..., Gateway], xmpp_server: XmppServer
) -> None:
    """Each server has its own time: the first must not use up that of the next."""
    with dropping() as port:
        ways = f'["tcp://127.0.0.1:{port}", "tcp://127.0.0.1:{xmpp_server.port}"]'
        browser = open_stream(start(f"{{upstream, {ways}}}, ", HASTY))
        with within(SOON):
            server = xmpp_server.accept()
        assert_relays(browser, server)


def test_a_browser_that_vanishes_ends_the_attempt_to_connect(start: Callable[..., Gateway]) -> None:
    with dropping() as port:
        gateway = start(f'{{upstream, "tcp://127.0.0.1:{port}"}}, ')
        for vanish in (Browser.reset, Browser.close):
            browser = open_stream(gateway)
            wait_until(lambda: descriptors(gateway, port) == 1, SECONDS, "the attempt to connect")
            closed = gateway.child.text().count(CLOSED)
            vanish(browser)
            wait_until(
                partial(_has_ended, gateway, closed),
                SECONDS,
                "the end in the log",
            )
            wait_until(lambda: descriptors(gateway, port) == 0, SECONDS, "the end of the attempt")


def _has_ended(gateway: Gateway, before: int) -> bool:
    """Whether the log has more ended sessions than ``before``."""
    return gateway.child.text().count(CLOSED) > before


def descriptors(gateway: Gateway, port: int) -> int:
    """The number of the gateway's sockets that are connected to ``port``."""
    inodes = set()
    for pid in gateway.workers:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    rows = [line.split() for line in lines]
    return sum(row[2].endswith(f":{port:04X}") and row[9] in inodes for row in rows)
