"""Connections to hosts by the DNS server of the inquiry, each with a bounded time."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import gevent
from gevent import socket

from wsgw.doctor.names import Server, addresses_of

#: Seconds to connect to one address.
CONNECT_TIMEOUT = 5.0
#: The local address that reaches a listener on all addresses.
_OF_ALL = {"0.0.0.0": "127.0.0.1", "::": "::1"}
#: This machine has no way to such an address, which says nothing about the host.
_NO_ROUTE = (errno.ENETUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TimeoutError if the block takes longer than ``seconds``."""
    timer = gevent.Timeout(seconds)
    try:
        with timer:
            yield
    except gevent.Timeout as expired:
        if expired is not timer:
            raise
        raise TimeoutError from None


def local_address(ip: str) -> str:
    """The address by which this machine reaches its listener on ``ip``."""
    return _OF_ALL.get(ip, ip)


class Attempt(NamedTuple):
    """An attempt to connect to ``address``: ``error`` is None if it succeeded."""

    address: str
    error: OSError | None

    @property
    def has_no_route(self) -> bool:
        """Whether this machine cannot reach such addresses, IPv6 for example."""
        return self.error is not None and self.error.errno in _NO_ROUTE


def connect(host: str, port: int, server: Server) -> socket.socket:
    """A connection to the first address of ``host`` that accepts one. Raises OSError and LookupFailed."""
    failure: OSError | None = None
    for address in addresses_of(host, server):
        try:
            return dial(address, port)
        except OSError as error:
            failure = error
    assert failure is not None
    raise failure


def dial(address: str, port: int) -> socket.socket:
    """A connection to an IP address. Raises OSError, also after ``CONNECT_TIMEOUT``."""
    sock = socket.create_connection((address, port), timeout=CONNECT_TIMEOUT)
    sock.settimeout(None)
    return sock


@cache
def attempts(host: str, port: int, server: Server) -> list[Attempt]:
    """One attempt for each address of ``host``, all at the same time, and once only. Raises LookupFailed."""

    def attempt(address: str) -> Attempt:
        try:
            dial(address, port).close()
        except OSError as error:
            return Attempt(address, error)
        return Attempt(address, None)

    running = [gevent.spawn(attempt, address) for address in addresses_of(host, server)]
    return [one.get() for one in running]


def reason(error: OSError) -> str:
    """Why an attempt failed, as a clause."""
    if isinstance(error, TimeoutError):
        return "does not answer"
    if error.errno == errno.ECONNREFUSED:
        return "refuses the connection"
    return (error.strerror or os.strerror(error.errno or errno.EIO)).lower()


def shown(host: str, port: int) -> str:
    """``HOST:PORT``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
