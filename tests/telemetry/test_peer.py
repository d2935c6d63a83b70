"""The client of a connection, with a proxy before it and without."""

from __future__ import annotations

from wsgw.telemetry.peer import Peer


def test_a_client_without_a_proxy_has_its_port() -> None:
    peer = Peer(12, ("192.0.2.7", 5000), "192.0.2.7")
    assert (peer.endpoint, peer.proxy) == (("192.0.2.7", 5000), None)
    assert str(peer) == "#12 192.0.2.7"


def test_the_port_of_a_client_behind_a_proxy_is_not_known() -> None:
    peer = Peer(12, ("192.0.2.1", 5000), "192.0.2.7")
    assert (peer.endpoint, peer.proxy) == (("192.0.2.7", 0), "192.0.2.1")
