"""The client of a connection, as log lines name it."""

from __future__ import annotations

from typing import NamedTuple


class Peer(NamedTuple):
    """The peer of a browser's socket, and the client behind the proxies. As text: ``#12 192.0.2.7``."""

    connection_id: int
    #: The address and port of the socket's peer: the client or the nearest proxy.
    address: tuple[str, int]
    #: The address of the client.
    client: str
    #: Names the request in the logs of a trusted proxy, and in the PROXY header to the XMPP server.
    request_id: str | None = None
    #: The trace of the request (W3C Trace Context), from a trusted proxy.
    traceparent: str | None = None
    #: The host name that the client asked for, if a PROXY header gave it or will give it.
    authority: str | None = None
    #: Version and cipher suite of the browser's TLS, which wsgw or a balancer ends; None without TLS.
    tls: tuple[str, str] | None = None
    #: The Common Name of the browser's certificate, which wsgw or a balancer has verified, empty without one;
    #: None without a verified certificate.
    common_name: str | None = None

    @property
    def endpoint(self) -> tuple[str, int]:
        """The client's address and port for a PROXY header; port 0 if a proxy hides it."""
        return self.address if self.client == self.address[0] else (self.client, 0)

    @property
    def proxy(self) -> str | None:
        """The nearest proxy's address; None if the client is connected without a proxy."""
        return self.address[0] if self.client != self.address[0] else None

    def __str__(self) -> str:
        return f"#{self.connection_id} {self.client}"
