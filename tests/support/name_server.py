"""A DNS server over UDP: a thread, or a program, ``python -m tests.support.name_server IP PORT JSON``."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Mapping, Sequence

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

#: "NAME TYPE" → the data of its records, as in a zone file.
Records = Mapping[str, Sequence[str]]


class NameServer(threading.Thread):
    """Answers from ``records``; a name without any record does not exist. CNAMEs are followed."""

    def __init__(self, records: Records, ip: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(daemon=True)
        self.records = records
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((ip, port))
        self.port: int = self._socket.getsockname()[1]

    def run(self) -> None:
        while True:
            data, client = self._socket.recvfrom(4096)
            if not data:
                self._socket.close()
                return
            self._socket.sendto(self._answer(dns.message.from_wire(data)).to_wire(), client)

    def _answer(self, question: dns.message.Message) -> dns.message.Message:
        (asked,) = question.question
        name, kind = asked.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(asked.rdtype)
        self.asked.append(name)
        reply = dns.message.make_response(question)
        reply.flags |= dns.flags.RA
        if not any(key.split()[0] == name for key in self.records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        while kind != "CNAME" and (alias := self.records.get(f"{name} CNAME")):
            reply.answer.append(dns.rrset.from_text(f"{name}.", 300, "IN", "CNAME", *alias))
            name = alias[0].removesuffix(".")
        if found := self.records.get(f"{name} {kind}"):
            reply.answer.append(dns.rrset.from_text(f"{name}.", 300, "IN", kind, *found))
        return reply

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", self._socket.getsockname())
        self.join()


if __name__ == "__main__":
    server = NameServer(json.loads(sys.argv[3]), sys.argv[1], int(sys.argv[2]))
    print("ready", flush=True)
    server.run()
