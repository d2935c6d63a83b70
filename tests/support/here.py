"""A gateway in the process of the test. Its peers block, so each of their steps runs in a native thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import gevent

from wsgw.config import from_arguments
from wsgw.config.model import Config
from wsgw.gateway import Gateway

Result = TypeVar("Result")
_SECONDS = 10.0


def config_for(port: int, *domains: str) -> Config:
    """One listener on any free port of loopback, for the XMPP server on ``port``."""
    return from_arguments("127.0.0.1:0", domains or ("localhost",), [f"tcp://127.0.0.1:{port}"])


@contextmanager
def running(config: Config) -> Iterator[Gateway]:
    """A gateway that serves until the end of the block."""
    gateway = Gateway.alone(config)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


def port_of(gateway: Gateway) -> int:
    """The port of its first listener."""
    port: int = gateway.listeners[0].socket.getsockname()[1]
    return port


def in_thread(function: Callable[..., Result], *arguments: object) -> Result:
    """Run a blocking step of a peer while the loop runs."""
    result: Result = gevent.get_hub().threadpool.apply(function, arguments)
    return result


def wait_here(condition: Callable[[], object], what: str) -> None:
    """Wait until ``condition`` holds, while the loop runs. AssertionError if it does not in time."""
    with gevent.Timeout(_SECONDS, AssertionError(f"no {what} in {_SECONDS} s")):
        while not condition():
            gevent.sleep(0.001)
