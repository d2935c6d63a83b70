"""Accepts connections and gives each a stream; starts and stops the server.

For demonstrations and tests only: accounts in memory, no TLS, no s2s.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from gevent import sleep
from gevent.pool import Group, Pool
from gevent.server import StreamServer
from gevent.socket import socket

from wsgw.demo.connection import LINGER, Connection
from wsgw.demo.host import Host
from wsgw.demo.stream import Stream
from wsgw.errors import StreamError

DEMO_ACCOUNTS: Mapping[str, str] = {"alice": "wonderland", "bob": "builder"}

#: Connections at one time.
MAX_CONNECTIONS = 1000


class DemoServer:
    """An XMPP server on a loopback port, in this process; not for production.

    ``accounts``: localpart → password. ``port`` 0 means any free port, known after ``start``.
    ``stanza_limit`` is in bytes. ``resumption_window``: the seconds for which a lost session with stream
    management can be resumed.
    """

    def __init__(
        self,
        domain: str = "localhost",
        accounts: Mapping[str, str] = DEMO_ACCOUNTS,
        ip: str = "127.0.0.1",
        port: int = 0,
        allow_registration: bool = True,
        stanza_limit: int = 262144,
        resumption_window: float = 60.0,
    ) -> None:
        self._host = Host(domain, accounts, allow_registration, resumption_window)
        self._stanza_limit = stanza_limit
        self._streams: set[Stream] = set()
        self._writers = Group()
        self._connections = Pool(MAX_CONNECTIONS)
        self._server = StreamServer((ip, port), self._serve, spawn=self._connections, backlog=1024)

    @property
    def domain(self) -> str:
        """The served domain, a prepared string."""
        return self._host.domain

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_port or 0)

    def acquaint(self, *localparts: str) -> None:
        """Make accounts contacts of each other, as two clients find them that try a chat."""
        self._host.acquaint(localparts)

    def start(self) -> None:
        """Listen and accept. Raises OSError if the port cannot be used."""
        self._server.start()

    def stop(self) -> None:
        """Stop listening, end every stream with ``system-shutdown``, and wait for all greenlets."""
        self._server.close()
        for stream in list(self._streams):
            stream.end(StreamError("system-shutdown", "The server stops."))
        self._connections.join(2 * LINGER)
        self._connections.kill()
        self._writers.kill()
        self._host.close()

    def __enter__(self) -> DemoServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _serve(self, sock: socket, address: object) -> None:
        """One connection, from its first byte to its last."""
        connection = Connection(sock, self._writers)
        stream = Stream(self._host, connection, self._stanza_limit)
        self._streams.add(stream)
        try:
            while data := connection.receive():
                stream.receive(data)
                # recv does not switch greenlets while bytes are waiting; let the others run.
                sleep(0)
        finally:
            self._streams.discard(stream)
            stream.end_of_file()
            connection.close()
