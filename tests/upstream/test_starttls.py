"""Wrong STARTTLS, servers that fall silent in it, and servers that require it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from tests.support.gateway import Gateway
from tests.support.wire import END, SERVER_HEADER, XmppServer
from tests.upstream.scripted import (
    HASTY,
    PATIENT,
    PLAIN,
    PROCEED,
    STARTTLS,
    assert_fails,
    logged,
    negotiate,
    open_stream,
    tls_options,
)


@pytest.mark.rule("6120-5.4.2")
@pytest.mark.parametrize(
    ("features", "answer", "reason"),
    [
        (STARTTLS, PROCEED + b"<message/>", "unexpected"),
        (STARTTLS, PROCEED + b"<mess", "more than <proceed/>"),
        (STARTTLS + PROCEED, b"", "unexpected"),
        (STARTTLS, b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" + END, "unexpected"),
        (PLAIN, b"", "does not offer STARTTLS"),
        (
            b"<stream:features><x xmlns='urn:x' y='urn:ietf:params:xml:ns:xmpp-tls'>"
            b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></x></stream:features>",
            b"",
            "does not offer STARTTLS",
        ),
        (
            b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
            b"",
            "the server refuses the stream: host-unknown",
        ),
        (b"<x>" * 70_000, b"", "."),
        (b"</nonsense>", b"", "."),
        (END, b"", "unexpected end of stream"),
        (b"<x xmlns='a jid=admin@localhost'/>", b"", "unexpected x during STARTTLS"),
    ],
    ids=[
        "stanza",
        "half a stanza",
        "proceed unasked",
        "failure",
        "none",
        "elsewhere",
        "error",
        "endless",
        "bad",
        "end",
        "lookalike",
    ],
)
def test_a_server_that_refuses_starttls_is_not_used(
    start_secure: Callable[[str, str], Gateway],
    xmpp_server: XmppServer,
    features: bytes,
    answer: bytes,
    reason: str,
) -> None:
    gateway = start_secure("starttls", PATIENT)
    already = len(gateway.child.text())
    browser = open_stream(gateway)
    server = xmpp_server.accept()
    server.read_until(b"version='1.0'>")
    with contextlib.suppress(OSError):
        server.send(SERVER_HEADER + features)
        if answer:
            server.read_until(b"/>")
            server.send(answer)
    assert_fails(browser)
    with contextlib.suppress(OSError):
        assert b"\x16\x03" not in server.read_to_end(), "no TLS begins"
    logged(gateway, f"no connection to the XMPP server: starttls://.*{reason}", already)
    server.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "said", [b"", SERVER_HEADER, SERVER_HEADER + STARTTLS], ids=["nothing", "header", "features"]
)
def test_a_server_silent_during_starttls_fails(
    start_secure: Callable[[str, str], Gateway], xmpp_server: XmppServer, said: bytes
) -> None:
    browser = open_stream(start_secure("starttls", HASTY))
    server = xmpp_server.accept()
    server.send(said)
    assert_fails(browser)
    server.read_to_end()
    server.close()


@pytest.mark.slow
def test_a_server_silent_during_tls_fails(hasty: Gateway, xmpp_server: XmppServer, scheme: str) -> None:
    browser = open_stream(hasty)
    server = negotiate(xmpp_server) if scheme == "starttls" else xmpp_server.accept()
    assert_fails(browser)
    server.read_to_end()
    server.close()


def test_a_server_that_requires_starttls_fails_over_tcp(
    start: Callable[..., Gateway], xmpp_server: XmppServer
) -> None:
    gateway = start(tls_options(xmpp_server, "tcp", None))
    browser = open_stream(gateway)
    server = xmpp_server.accept_stream(STARTTLS)
    messages, code, _ = browser.until_close()
    assert b"<remote-connection-failed " in messages[1]
    assert b"the XMPP server requires STARTTLS (upstream starttls://)" in messages[1]
    assert code == 1011
    assert server.read_to_end() == END
    logged(gateway, "ERROR .*localhost: the XMPP server requires STARTTLS; write its upstream as starttls://")
    server.close()
    browser.close()
