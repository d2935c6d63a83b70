"""A login through the gateway to a server that the test plays, and the log lines about it."""

from __future__ import annotations

import json
from typing import Any

from tests.support.gateway import Gateway
from tests.support.processes import wait_until
from tests.support.wire import CLOSE_7395, END, OPENINGS, SERVER_HEADER, Browser, Connection, XmppServer

#: For a log line on a busy machine, in seconds.
PATIENCE = 20.0
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
FEATURES = b"<stream:features/>"
#: The header of a stanza in both framings, of either side.
_OPENED = {"rfc7395": b"<open ", "legacy": b"<stream:stream "}


class Played:
    """One session, with its two ends ``browser`` and ``server``."""

    def __init__(self, gateway: Gateway, xmpp_server: XmppServer, framing: str, **browser: Any) -> None:
        self.framing = framing
        self.gateway = gateway
        port = gateway.wss_port if "context" in browser else gateway.ws_port
        self.browser = Browser(port, **browser)
        self.browser.text(OPENINGS[framing])
        self.server: Connection = xmpp_server.accept()
        self._header()

    def _header(self) -> None:
        self.server.read_until(b"version='1.0'>" if self.framing == "rfc7395" else b">")
        self.server.read_until(b">") if b"<stream:stream" in self.server.buffer else None
        self.server.buffer = b""
        self.server.send(SERVER_HEADER + FEATURES)
        assert self.browser.message().startswith(_OPENED[self.framing])
        assert b"features" in self.browser.message()

    def ask(self, request: str, *answers: str) -> None:
        """The client sends, the server answers, and the client has got the whole answer."""
        self.browser.text(request.encode())
        self.server.read_until(request.encode()[-12:])
        self.server.send("".join(answers).encode())
        for _ in answers:
            self.browser.message()

    def restart(self) -> None:
        """A new stream, after SASL."""
        self.browser.text(OPENINGS[self.framing])
        self._header()

    def close(self) -> None:
        """The client ends the stream, and then the server."""
        self.browser.text(CLOSE_7395 if self.framing == "rfc7395" else END)
        self.server.read_until(END)
        self.server.send(END)
        self.browser.until_close()
        self.server.close()
        self.browser.close()


def iq(id_: str, type_: str, content: str = "") -> str:
    return f"<iq xmlns='jabber:client' type='{type_}' id='{id_}'>{content}</iq>"


def bound(jid: str, id_: str = "bind") -> tuple[str, str]:
    """The request to bind, and the server's answer."""
    return (
        iq(id_, "set", f"<bind xmlns='{BIND}'/>"),
        f"<iq type='result' id='{id_}'><bind xmlns='{BIND}'><jid>{jid}</jid></bind></iq>",
    )


def objects(gateway: Gateway) -> list[dict[str, Any]]:
    """The whole lines of a JSON log; any other line is a failure."""
    text = gateway.log.read_text("utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line]


def events(gateway: Gateway, name: str, count: int = 1) -> list[dict[str, Any]]:
    """The objects whose ``event`` is ``name``, as soon as there are ``count``."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = [each for each in objects(gateway) if each.get("event") == name]
        return len(found) >= count

    wait_until(there, PATIENCE, f"{count} events {name}")
    return found
