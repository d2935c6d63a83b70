"""The helpers that start programs and reserve ports."""

from __future__ import annotations

import socket

import pytest

from tests.support.processes import ReservedPort


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::"])
def test_a_reserved_port_is_held_on_every_address(ip: str) -> None:
    """A program that shares the port may listen on any address of it; no other program gets one."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    if family == socket.AF_INET6 and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    port = ReservedPort()
    with socket.socket(family) as other, pytest.raises(OSError, match="in use"):
        other.bind((ip, port.number))
    with socket.socket(family) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((ip, port.number))
        server.listen()
    port.release()
