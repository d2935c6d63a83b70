"""The count of stanzas of @xmpp/client (XEP-0198), behind wsgw and a server that sends many at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.real.test_clients import CLIENTS, SECONDS
from tests.support.edges import StartEdge
from tests.support.processes import Child
from tests.support.wire import END, SERVER_HEADER, SUCCESS, Connection, XmppServer

TIMES = 8
MECHANISMS = (
    b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
    b"<mechanism>PLAIN</mechanism></mechanisms></stream:features>"
)
FEATURES = (
    b"<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
    b"<sm xmlns='urn:xmpp:sm:3'/></stream:features>"
)
BOUND = (
    b"<iq type='result' id='%s'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
    b"<jid>alice@localhost/x</jid></bind></iq>"
)
#: A stanza before stream management, one after it, and the request for the count.
AT_ONCE = (
    b"<presence from='alice@localhost/x'/><enabled xmlns='urn:xmpp:sm:3' id='1' resume='true'/>"
    b"<message from='bob@localhost/y'><body>hi</body></message><r xmlns='urn:xmpp:sm:3'/>"
)


def test_the_count_is_right_when_the_server_sends_all_at_once(
    start_edge: StartEdge, xmpp_server: XmppServer, node: str, tmp_path: Path
) -> None:
    """On a busy machine the client may sleep through the pause behind ``<enabled/>``, but not every time."""
    parameters = {"url": start_edge().ws, "domain": "localhost", "times": TIMES, "timeout": SECONDS}
    child = Child([node, str(CLIENTS / "counting.mjs"), json.dumps(parameters)], tmp_path / "client.log")
    try:
        counts = [acknowledged(xmpp_server) for _ in range(TIMES)]
        assert child.wait(SECONDS) == 0, child.tail()
    finally:
        child.kill()
    assert "1" in counts, counts


def acknowledged(server: XmppServer) -> str:
    """Play one login; the number of stanzas since ``<enabled/>`` that the client reports."""
    connection = server.accept()
    _answer_header(connection, MECHANISMS)
    connection.read_until(b"</auth>")
    connection.send(SUCCESS)
    _answer_header(connection, FEATURES)
    request = re.search(rb"\sid=['\"]([^'\"]+)", connection.read_until(b"</iq>"))
    assert request
    connection.send(BOUND % request[1])
    connection.read_until(b"<enable ")
    connection.send(AT_ONCE)
    return _count(connection)


def _answer_header(connection: Connection, features: bytes) -> None:
    connection.read_until(b"<stream:stream ")
    connection.read_until(b">")
    connection.send(SERVER_HEADER + features)


def _count(connection: Connection) -> str:
    connection.read_until(b"<a ")
    count = re.search(rb"\sh=['\"](\d+)", b" " + connection.read_until(b">"))
    assert count
    connection.read_until(END)
    connection.send(END)
    connection.close()
    return count[1].decode()
