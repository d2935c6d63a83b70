"""The way to the server by SRV records."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.name_server import NameServer
from wsgw.net import srv


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    server = NameServer(
        {
            "_xmpps-client._tcp.both.example SRV": ["20 0 5223 tls.example."],
            "_xmpp-client._tcp.both.example SRV": ["10 0 5222 first.example.", "30 0 5222 last.example."],
            "_xmpp-client._tcp.none.example SRV": ["0 0 0 ."],
            "_xmpps-client._tcp.half.example SRV": ["0 0 0 ."],
            "_xmpp-client._tcp.half.example SRV": ["0 0 5222 only.example."],
        }
    )
    server.start()
    srv._resolver.cache_clear()
    resolver = srv._resolver()
    resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
    yield server
    srv._resolver.cache_clear()
    server.close()


@pytest.mark.rule("xep-0368")
def test_srv_records_lead_to_the_server(name_server: NameServer) -> None:
    for _ in range(3):
        found = [str(address) for address in srv.look_up("both.example", 20.0)]
        assert found == [
            "starttls://first.example:5222",
            "tls://tls.example:5223",
            "starttls://last.example:5222",
        ]
    assert len(name_server.asked) == 2, "answers are cached"
    assert [str(address) for address in srv.look_up("half.example", 20.0)] == ["starttls://only.example:5222"]
    assert [str(address) for address in srv.look_up("bare.example", 20.0)] == ["starttls://bare.example:5222"]


@pytest.mark.rule("xep-0368")
def test_srv_records_without_a_server_fail(name_server: NameServer) -> None:
    with pytest.raises(OSError, match="no server for clients"):
        srv.look_up("none.example", 20.0)
