"""A few seconds of the soak, with every kind of session and fault; ``scripts/soak.sh`` runs longer."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest

from tests.soak.reset import reset
from tests.soak.script import Expected, browser_form, stanza
from tests.soak.soak import report, soak
from tests.support.certificates import make_certificate

SECONDS = 8


@pytest.mark.timeout(240)
def test_the_books_of_both_ends_agree(tmp_path: Path) -> None:
    result = soak(SECONDS, tmp_path)
    print(report(result, SECONDS))
    assert not result.faults, "\n".join(result.faults[:20])
    assert sum(row["opened"] for row in result.clients) > 20
    assert any(row["answered"] for row in result.clients)
    assert result.totals["resumptions"]


def test_a_browser_may_leave_at_the_gateways_end(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate.chain, certificate.key)
    trusting = ssl.create_default_context(cafile=certificate.ca)

    async def leave_last() -> None:
        server = await asyncio.start_server(
            lambda _, writer: writer.transport.abort(), "127.0.0.1", 0, ssl=serving
        )
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, server_hostname="localhost"
        )
        with contextlib.suppress(ConnectionError):
            await reader.read()
            await writer.wait_closed()
        reset(writer)
        server.close()

    asyncio.run(asyncio.wait_for(leave_last(), 10))


def test_the_script_notices_a_missing_doubled_or_changed_stanza() -> None:
    said = [stanza("1-rfc7395-chat-5", "up", number) for number in range(5)]
    cases = {
        b"".join(said): (5, b""),
        b"".join(said[:4]) + said[4][:3]: (4, said[4][:3]),
        said[0] + said[2]: (1, said[2]),
        said[0] + said[0]: (1, said[0]),
    }
    for data, (count, rest) in cases.items():
        expected = Expected("1-rfc7395-chat-5", "up")
        for place in range(0, len(data), 7):
            expected.feed(data[place : place + 7])
        assert (expected.count, expected.rest) == (count, rest)
        assert expected.off_script == (rest in (said[0], said[2]))


def test_a_browser_must_get_the_servers_stanza_with_its_declarations() -> None:
    element = b"<iq id='1'><p:x/></iq>"
    assert browser_form(element, "legacy") == element
    assert (
        browser_form(element, "rfc7395") == b"<iq xmlns:p=\"urn:p\" xmlns='jabber:client' id='1'><p:x/></iq>"
    )
