"""The client at the other end of a connection, as its log lines name it."""

from __future__ import annotations

from typing import NamedTuple


class Peer(NamedTuple):
    """The socket's peer, and the client behind the proxies; as text ``#12 192.0.2.7``."""

    connection_id: int
    #: Of the socket: the client's own, or the nearest proxy's.
    address: tuple[str, int]
    client: str

    @property
    def endpoint(self) -> tuple[str, int]:
        """What the PROXY protocol tells an XMPP server."""
        return self.address if self.client == self.address[0] else (self.client, 0)

    @property
    def proxy(self) -> str | None:
        """The nearest proxy's address; None if the client is connected itself."""
        return self.address[0] if self.client != self.address[0] else None

    def __str__(self) -> str:
        return f"#{self.connection_id} {self.client}"
