"""The way to the server by SRV records."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rrset
import pytest

from wsgw.net import srv


class NameServer(threading.Thread):
    """Answers SRV queries over UDP with the ``records`` of the name."""

    def __init__(self, records: dict[str, list[str]]) -> None:
        super().__init__(daemon=True)
        self.records = records
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def run(self) -> None:
        while True:
            data, client = self._socket.recvfrom(4096)
            if not data:
                self._socket.close()
                return
            question = dns.message.from_wire(data)
            name = question.question[0].name
            self.asked.append(name.to_text(omit_final_dot=True))
            reply = dns.message.make_response(question)
            reply.flags |= dns.flags.RA
            found = self.records.get(self.asked[-1])
            if found:
                reply.answer.append(dns.rrset.from_text(name, 300, "IN", "SRV", *found))
            self._socket.sendto(reply.to_wire(), client)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", ("127.0.0.1", self.port))
        self.join()


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    server = NameServer(
        {
            "_xmpps-client._tcp.both.example": ["20 0 5223 tls.example."],
            "_xmpp-client._tcp.both.example": ["10 0 5222 first.example.", "30 0 5222 last.example."],
            "_xmpp-client._tcp.none.example": ["0 0 0 ."],
            "_xmpps-client._tcp.half.example": ["0 0 0 ."],
            "_xmpp-client._tcp.half.example": ["0 0 5222 only.example."],
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
