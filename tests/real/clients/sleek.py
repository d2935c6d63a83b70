"""SleekXMPP over WebSocket: the scenario of ``scenario.mjs`` for a client that knows only TCP.

SleekXMPP gets a socket that is a WebSocket underneath (RFC 7395, the ``websocket-client`` package): the
stream header becomes ``<open/>`` and back again, every other element travels as its own message.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import re
import select
import socket
import ssl
import sys
import threading
import traceback
from typing import Any, ClassVar

import websocket
from sleekxmpp import ClientXMPP
from sleekxmpp.exceptions import IqError, IqTimeout

FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
RESUMED = "{urn:xmpp:sm:3}resumed"
PARAMETERS = json.loads(sys.argv[1])
_CONTENT_ROOT = re.compile(r"<(message|presence|iq)(?=[\s/>])(?![^>]*\sxmlns=)")


class WebSocketSocket:
    """The methods of a socket that SleekXMPP needs, over one WebSocket."""

    all: ClassVar[list[WebSocketSocket]] = []

    def __init__(self, *_: Any) -> None:
        self.all.append(self)
        self.sent: list[str] = []
        self.received: list[str] = []
        self.close_code: int | None = None
        self._in_use = threading.Lock()

    def connect(self, _address: tuple[str, int]) -> None:
        tls = {"ca_certs": PARAMETERS["ca"]} if PARAMETERS["ca"] else None
        self.ws = websocket.create_connection(
            PARAMETERS["url"], subprotocols=["xmpp"], sslopt=tls, timeout=10
        )
        assert self.ws.getsubprotocol() == "xmpp"
        self.ws.settimeout(0.1)

    def settimeout(self, _seconds: float | None) -> None:
        """The attempt to connect has its own timeout; reads have none."""

    def makefile(self, *_: Any) -> WebSocketSocket:
        return self

    def send(self, data: bytes) -> int:
        text = data.decode()
        if text.strip():
            self._send_text(_to_framing(text))
        return len(data)

    def read(self, _size: int = -1) -> bytes:
        """The next element, b"" at the end of the connection."""
        try:
            opcode, data = self._receive()
        except (OSError, ValueError, websocket.WebSocketException):
            return b""
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            self.close_code = int.from_bytes(data[:2], "big") if data else 1005
            return b""
        assert opcode == websocket.ABNF.OPCODE_TEXT, opcode
        text = data.decode()
        self.received.append(text)
        _check_frame(text)
        return _from_framing(text).encode()

    def get_channel_binding(self) -> None:
        """None: the mechanisms with channel binding are not for WebSockets."""

    def lose(self) -> None:
        """Lose the network: no Close frame, no <close/>, no close_notify."""
        assert self.ws.sock is not None
        socket.socket.shutdown(self.ws.sock, socket.SHUT_RDWR)

    def shutdown(self, _how: int) -> None:
        """After a clean end of the stream, read on to the server's Close frame."""
        if self.received and self.received[-1].startswith("<close"):
            self.read()

    def close(self) -> None:
        if self.ws.sock is not None:
            self.ws.sock.close()

    def _send_text(self, text: str) -> None:
        self.sent.append(text)
        # Like the buffer of a TCP socket, it takes bytes that the network will lose: SleekXMPP must learn of
        # the loss from its reader only, since two of its threads that reconnect at once end each other's
        # connection.
        with contextlib.suppress(OSError, websocket.WebSocketException), self._in_use:
            self.ws.send(text)

    def _receive(self) -> tuple[int, bytes]:
        """The next message. Waits outside the lock: a TLS connection takes only one thread at a time."""
        while True:
            sock = self.ws.sock
            if sock is None:
                raise OSError("closed")
            if not (isinstance(sock, ssl.SSLSocket) and sock.pending()):
                select.select([sock], [], [])
            with self._in_use, contextlib.suppress(websocket.WebSocketTimeoutException):
                opcode, data = self.ws.recv_data()
                return opcode, data


def _to_framing(text: str) -> str:
    if text.startswith("<stream:stream"):
        header = re.sub(r"\sxmlns(:stream)?='[^']*'", "", text)
        return header.replace("<stream:stream", f"<open xmlns='{FRAMING}'").rstrip("> ") + "/>"
    if text == "</stream:stream>":
        return f"<close xmlns='{FRAMING}'/>"
    return _CONTENT_ROOT.sub(r"<\1 xmlns='jabber:client'", text, count=1)


def _from_framing(text: str) -> str:
    if text.startswith("<open"):
        attributes = re.sub(r"^<open|\sxmlns=(['\"]).*?\1|(/>|></open>)$", "", text)
        return f"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'{attributes}>"
    return "</stream:stream>" if text.startswith("<close") else text


def _check_frame(text: str) -> None:
    assert re.match(r"<(?![?!])", text), f"a frame starts with an element: {text}"
    assert "urn:ietf:params:xml:ns:xmpp-tls" not in text, f"STARTTLS offered: {text}"
    if re.match(r"<(message|presence|iq)\b", text):
        assert re.match(r"<\w+[^>]* xmlns=(['\"])jabber:client\1", text), text


class Client(ClientXMPP):  # type: ignore[misc]
    """One logged-in user; its events arrive in queues."""

    def __init__(self, account: dict[str, str], mechanism: str, resumable: bool) -> None:
        self._listens = threading.Event()
        super().__init__(f"{account['user']}@{PARAMETERS['domain']}", account["password"])
        mechanisms = {"PLAIN"} if mechanism == "PLAIN" else {"SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"}
        self["feature_mechanisms"].use_mechs = mechanisms
        self["feature_mechanisms"].unencrypted_plain = True
        self.sockets: list[WebSocketSocket] = []
        self.socket_class = self._new_socket
        self.reconnect_max_delay = 0.1
        self.texts: queue.Queue[tuple[str, str]] = queue.Queue()
        self.events: queue.Queue[str] = queue.Queue()
        self.register_plugin("xep_0199")
        if resumable:
            self.register_plugin("xep_0198", {"window": 1})
            # SleekXMPP forgets its counters before the stream ends, and fails at Prosody's last <a/>.
            self.del_event_handler("session_end", self["xep_0198"].session_end)
        for event in (
            "session_start",
            "session_resumed",
            "sm_enabled",
            "sm_failed",
            "failed_auth",
            "disconnected",
        ):
            self.add_event_handler(event, lambda _, event=event: self.events.put(event))
        self.add_event_handler("message", lambda m: self.texts.put((m["from"].full, m["body"])))

    def _new_socket(self, *arguments: Any) -> WebSocketSocket:
        self.sockets.append(WebSocketSocket(*arguments))
        return self.sockets[-1]

    def reconnect(self, reattempt: bool = True, wait: bool = False, send_close: bool = False) -> bool:
        """As in the base class, but a lost connection sends no end of stream, which would end the session."""
        return bool(super().reconnect(reattempt, wait, send_close))

    def register_handler(self, handler: Any, before: Any = None, after: Any = None) -> None:
        super().register_handler(handler, before, after)
        if handler.name == "resumed_or_failed":
            self._listens.set()

    def incoming_filter(self, xml: Any) -> Any:
        """SleekXMPP asks to resume before it listens for the answer, and misses a fast one: delay that."""
        if xml.tag == RESUMED:
            assert self._listens.wait(15), "it does not listen"
        return xml

    def log_in(self, until: str) -> None:
        assert self.connect(("127.0.0.1", 1), reattempt=False, use_tls=False), "not connected"
        self.process(block=False)
        self.await_event(until)

    def await_event(self, wanted: str) -> None:
        while (event := self.events.get(timeout=15)) != wanted:
            assert event not in ("failed_auth", "sm_failed"), event

    def say(self, to: str, body: str) -> None:
        self.send_message(mto=to, mbody=body, mtype="chat")

    def expect(self, sender: str, body: str) -> None:
        got = self.texts.get(timeout=15)
        assert got == (sender, body), f"expected {(sender, body)}, got {got}"

    def ping(self, to: str, seconds: float) -> str:
        try:
            self["xep_0199"].send_ping(to, timeout=seconds)
        except IqError as error:
            return str(error.condition)
        except IqTimeout:
            return "silence"
        return "result"


def step(name: str, **details: object) -> None:
    print(json.dumps({"step": name, **details}), flush=True)


def scenario() -> None:
    mechanism = PARAMETERS["mechanism"]
    alice = Client(PARAMETERS["alice"], mechanism, resumable=True)
    alice.log_in("sm_enabled")
    used = _mechanism(alice.sockets[0])
    assert used == "PLAIN" if mechanism == "PLAIN" else used.startswith("SCRAM-"), used
    _check_restart(alice.sockets[0])
    step("login", jid=alice.boundjid.full, mechanism=used)

    bob = Client(PARAMETERS["bob"], mechanism, resumable=False)
    bob.log_in("session_start")
    _check_restart(bob.sockets[0])
    roster = alice.get_roster(timeout=10)
    assert not roster["roster"]["items"]
    alice.send_presence()
    bob.send_presence()
    step("roster")
    alice_jid, bob_jid = alice.boundjid.full, bob.boundjid.full
    for text in PARAMETERS["texts"]:
        alice.say(bob_jid, text)
        bob.expect(alice_jid, text)
        bob.say(alice_jid, text)
        alice.expect(bob_jid, text)
    step("messages", count=2 * len(PARAMETERS["texts"]))
    assert bob.ping(alice_jid, 10) == "result"

    alice.say(bob_jid, "said just before the loss")
    bob.expect(alice_jid, "said just before the loss")
    lost = alice.sockets[-1]
    lost.lose()
    bob.say(alice_jid, "said during the loss")
    step("lost")
    alice.await_event("session_resumed")
    assert len(alice.sockets) == 2
    assert any(text.startswith("<resumed") for text in alice.sockets[1].received)
    step("resumed")
    alice.expect(bob_jid, "said during the loss")
    alice.say(bob_jid, "after the loss")
    bob.expect(alice_jid, "after the loss")
    assert alice.texts.empty()
    assert bob.texts.empty()

    _leave(alice)
    while (answer := bob.ping(alice_jid, 1)) in ("result", "silence"):
        step("alice still answers", answer=answer)
    _leave(bob)


def _leave(client: Client) -> None:
    client.disconnect(wait=True)
    client.await_event("disconnected")
    last = client.sockets[-1]
    assert last.received[-1].startswith("<close"), last.received[-1]
    step("left", code=last.close_code)
    assert last.close_code == 1000, last.close_code


def _mechanism(socket: WebSocketSocket) -> str:
    auth = next(text for text in socket.sent if text.startswith("<auth"))
    found = re.search(r"mechanism=['\"]([^'\"]+)", auth)
    assert found, auth
    return found[1]


def _check_restart(socket: WebSocketSocket) -> None:
    for frames in (socket.sent, socket.received):
        assert sum(text.startswith("<open") for text in frames) == 2, frames
    kinds = [re.match(r"<([\w:]+)", text)[1] for text in socket.received[:8]]  # type: ignore[index]
    assert kinds.index("success") < kinds.index("open", 1), kinds


def _frames() -> list[dict[str, list[str]]]:
    def last(texts: list[str]) -> list[str]:
        return [text[:300] for text in texts[-12:]]

    return [{"sent": last(s.sent), "received": last(s.received)} for s in WebSocketSocket.all]


def main() -> int:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    deadline = threading.Timer(PARAMETERS["timeout"], _give_up)
    deadline.daemon = True
    deadline.start()
    try:
        scenario()
    except BaseException:
        step("failed", error=traceback.format_exc(), frames=_frames())
        return 1
    step("done")
    return 0


def _give_up() -> None:
    step("failed", error=f"not done within {PARAMETERS['timeout']} s", frames=_frames())
    os._exit(1)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # SleekXMPP's threads may wait for ever
