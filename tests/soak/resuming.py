"""Sessions that lose their connection and resume (XEP-0198): ``tests.soak.resuming WS-PORT SECONDS``.

They run with the demo server. Each has its own account, sends numbered messages to itself over one WebSocket
after another, and repeats the messages that the server's ``h`` does not count. Prints one line of JSON: every
message must arrive exactly once, in order.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import re
import sys
import threading
import time
from collections import Counter

from tests.support.wire import Browser

ACCOUNTS = {"alice": "wonderland", "bob": "builder"}
_OPEN = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>"
_SM = b"urn:xmpp:sm:3"
_BODY = re.compile(rb"<body>(\d+)</body>")
#: Messages between two losses.
_MOST = 15


class Resuming:
    """One account, one XMPP session, many WebSockets."""

    def __init__(self, port: int, name: str, password: str, counts: Counter[str], faults: list[str]) -> None:
        self._port, self._name, self._password = port, name, password
        self._counts, self._faults = counts, faults
        self._chance = random.Random(name)
        self._jid = b""
        self._token = b""
        #: The stanzas that the server may not have, and the number that it has.
        self._unacknowledged: list[bytes] = []
        self._acknowledged = 0
        self._handled = 0
        self._next = 0
        self._heard = 0
        self.browser: Browser

    def run(self, until: float) -> None:
        try:
            self._login()
            self._bind()
            while time.monotonic() < until:
                self._talk()
                self.browser.reset()
                self._counts["losses"] += 1
                self._login()
                self._resume()
            self._settle()
        except (OSError, EOFError, AssertionError) as error:
            self._faults.append(f"resuming {self._name}: {error!r}")

    def _login(self) -> None:
        self.browser = Browser(self._port)
        credentials = base64.b64encode(f"\0{self._name}\0{self._password}".encode())
        self.browser.text(_OPEN)
        self._until(b"features")
        sasl = b"urn:ietf:params:xml:ns:xmpp-sasl"
        self.browser.text(b"<auth xmlns='%s' mechanism='PLAIN'>%s</auth>" % (sasl, credentials))
        self._until(b"<success")
        self.browser.text(_OPEN)
        self._until(b"features")

    def _bind(self) -> None:
        bind = b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
        self.browser.text(b"<iq xmlns='jabber:client' type='set' id='b'>" + bind + b"</iq>")
        found = re.search(rb"<jid>([^<]*)</jid>", self._until(b"<jid>"))
        assert found is not None
        self._jid = found[1]
        self.browser.text(b"<enable xmlns='%s' resume='true'/>" % _SM)
        token = re.search(rb" id='([^']*)'", self._until(b"<enabled"))
        assert token is not None
        self._token = token[1]

    def _talk(self) -> None:
        for _ in range(self._chance.randint(1, _MOST)):
            self._send(b"<body>%d</body>" % self._next)
            self._next += 1
        if self._chance.random() < 0.5:  # otherwise the loss overtakes all bytes
            self.browser.text(b"<r xmlns='%s'/>" % _SM)
            self._until(b"<a ")

    def _send(self, body: bytes) -> None:
        element = b"<message xmlns='jabber:client' type='chat' to='%s'>%s</message>" % (self._jid, body)
        self._unacknowledged.append(element)
        self.browser.text(element)

    def _resume(self) -> None:
        self.browser.text(b"<resume xmlns='%s' previd='%s' h='%d'/>" % (_SM, self._token, self._handled))
        self._take_count(self._until(b"<resumed"))
        self._counts["resumptions"] += 1
        self._counts["sent again"] += len(self._unacknowledged)
        for element in self._unacknowledged:
            self.browser.text(element)

    def _settle(self) -> None:
        """Wait until the server has counted all messages, and all have come back."""
        self.browser.text(b"<r xmlns='%s'/>" % _SM)
        self._until(b"<a ")
        deadline = time.monotonic() + 10
        while self._heard < self._next and time.monotonic() < deadline:
            self._take(self.browser.message())
        if self._unacknowledged or self._heard != self._next:
            self._faults.append(
                f"resuming {self._name}: sent {self._next}, came back {self._heard},"
                f" not counted {len(self._unacknowledged)}"
            )
        self._counts["resumed stanzas"] += self._heard
        self.browser.text(b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" />')
        self.browser.until_close()
        self.browser.close()

    def _until(self, mark: bytes) -> bytes:
        while True:
            message = self.browser.message()
            self._take(message)
            if mark in message:
                return message

    def _take(self, message: bytes) -> None:
        """Count stanzas, answer requests, and note messages out of order."""
        if message.startswith((b"<message", b"<presence", b"<iq")) and self._token:
            self._handled += 1
        if message.startswith(b"<r "):
            with contextlib.suppress(OSError):
                self.browser.text(b"<a xmlns='%s' h='%d'/>" % (_SM, self._handled))
        elif message.startswith(b"<a "):
            self._take_count(message)
        found = _BODY.search(message)
        if found is not None:
            if int(found[1]) != self._heard:
                self._faults.append(f"resuming {self._name}: {int(found[1])} came instead of {self._heard}")
            self._heard = int(found[1]) + 1

    def _take_count(self, message: bytes) -> None:
        found = re.search(rb" h='(\d+)'", message)
        assert found is not None, message
        new = int(found[1]) - self._acknowledged
        if not 0 <= new <= len(self._unacknowledged):
            self._faults.append(f"resuming {self._name}: h={int(found[1])} after {self._acknowledged}")
        del self._unacknowledged[:new]
        self._acknowledged = int(found[1])


def main(port: int, seconds: float) -> None:
    counts: Counter[str] = Counter()
    faults: list[str] = []
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=Resuming(port, name, password, counts, faults).run, args=(until,))
        for name, password in ACCOUNTS.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({**counts, "faults": faults}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
