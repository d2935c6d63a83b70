"""STARTTLS and direct TLS: which certificates are trusted."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable

import pytest

from tests.support.certificates import Certificate
from tests.support.gateway import Gateway
from tests.support.wire import XmppServer
from tests.upstream.scripted import (
    Hello,
    accept_tls,
    assert_fails,
    assert_relays,
    logged,
    open_stream,
    server_context,
    tls_options,
)


@pytest.mark.rule("6120-5.4.3.3", "6120-13.7.2", "xep-0368")
def test_a_certificate_of_a_known_authority_is_trusted(
    secure: Gateway, xmpp_server: XmppServer, certificates: Callable[..., Certificate], scheme: str
) -> None:
    """Signed by an authority of ``upstream_cafile``, for the XMPP domain, at any address."""
    hello = Hello()
    browser = open_stream(secure)
    server = accept_tls(xmpp_server, scheme, server_context(certificates(), hello))
    assert isinstance(server.socket, ssl.SSLSocket)
    assert hello.name == "localhost"
    assert server.socket.selected_alpn_protocol() == ("xmpp-client" if scheme == "tls" else None)
    assert_relays(browser, server)


@pytest.mark.rule("6120-13.7.2")
@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (("127.0.0.1.example",), "hostname mismatch: its subjectAltName must have DNS:localhost"),
        (("localhost", "common name"), "its subjectAltName must have DNS:localhost; a Common Name alone"),
        (("localhost", "other"), "unable to get"),
        (("localhost", "expired"), "expired"),
    ],
    ids=["wrong name", "common name only", "unknown authority", "expired"],
)
def test_a_bad_certificate_is_refused(
    secure: Gateway,
    xmpp_server: XmppServer,
    certificates: Callable[..., Certificate],
    scheme: str,
    shown: tuple[str, ...],
    reason: str,
) -> None:
    browser = open_stream(secure)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        accept_tls(xmpp_server, scheme, server_context(certificates(*shown), Hello())).read(1)
    assert_fails(browser)
    logged(secure, f"certificate verify failed: .*{reason}")


@pytest.mark.rule("6120-13.7.2")
@pytest.mark.parametrize(
    ("where", "scheme"), [("certfiles", "tls"), ("domain_certfile", "starttls"), ("c2s certfile", "starttls")]
)
def test_a_certificate_that_the_configuration_names_is_trusted(
    start: Callable[..., Gateway],
    xmpp_server: XmppServer,
    certificates: Callable[..., Certificate],
    scheme: str,
    where: str,
) -> None:
    """Although it is of an unknown authority, for another name, or expired."""
    own = certificates("somebody.example", kind="own", days="0")
    settings = {
        "certfiles": {"top_level": f'{{certfiles, ["{own.pem}"]}}.\n'},
        "domain_certfile": {"top_level": f'{{domain_certfile, "localhost", "{own.pem}"}}.\n'},
        "c2s certfile": {"c2s_options": f'{{certfile, "{own.pem}"}}, '},
    }[where]
    browser = open_stream(start(tls_options(xmpp_server, scheme, None), **settings))
    assert_relays(browser, accept_tls(xmpp_server, scheme, server_context(own, Hello())))


def test_a_named_certificate_with_a_common_name_only_is_trusted(
    start: Callable[..., Gateway], xmpp_server: XmppServer, certificates: Callable[..., Certificate]
) -> None:
    """A certificate that the configuration names is trusted with any names in it."""
    own = certificates(kind="common name")
    browser = open_stream(
        start(tls_options(xmpp_server, "tls", None), top_level=f'{{certfiles, ["{own.pem}"]}}.\n')
    )
    assert_relays(browser, accept_tls(xmpp_server, "tls", server_context(own, Hello())))


def test_a_named_certificate_and_one_of_a_known_authority_are_both_trusted(
    start: Callable[..., Gateway], xmpp_server: XmppServer, certificates: Callable[..., Certificate]
) -> None:
    """The first client needs a second attempt, later clients do not."""
    own, good = certificates("somebody.example", kind="own", days="0"), certificates()
    gateway = start(tls_options(xmpp_server, "tls", good), top_level=f'{{certfiles, ["{own.pem}"]}}.\n')
    context = server_context(good, Hello())
    browser = open_stream(gateway)
    detour = accept_tls(xmpp_server, "tls", context)
    assert_relays(browser, accept_tls(xmpp_server, "tls", context))
    with contextlib.suppress(OSError):
        assert detour.read_to_end() == b"", "a server that is not trusted gets no bytes"
    assert_relays(open_stream(gateway), accept_tls(xmpp_server, "tls", context))
    browser = open_stream(gateway)
    with pytest.raises(ssl.SSLError):
        accept_tls(xmpp_server, "tls", server_context(own, Hello())).read(1)
    assert_relays(browser, accept_tls(xmpp_server, "tls", server_context(own, Hello())))


def test_a_strangers_certificate_is_refused_although_another_is_named(
    start: Callable[..., Gateway], xmpp_server: XmppServer, certificates: Callable[..., Certificate]
) -> None:
    own, other = certificates("somebody.example", kind="own", days="0"), certificates(kind="other")
    gateway = start(tls_options(xmpp_server, "tls", None), top_level=f'{{certfiles, ["{own.pem}"]}}.\n')
    browser = open_stream(gateway)
    first = accept_tls(xmpp_server, "tls", server_context(other, Hello()))
    with contextlib.suppress(OSError):
        assert first.read_to_end() == b""
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        accept_tls(xmpp_server, "tls", server_context(other, Hello())).read(1)
    assert_fails(browser)


def test_without_verification_any_certificate_is_trusted(
    start: Callable[..., Gateway], xmpp_server: XmppServer, certificates: Callable[..., Certificate]
) -> None:
    gateway = start(tls_options(xmpp_server, "tls", None, "{upstream_verify, false}, "))
    logged(gateway, "WARNING .*upstream_verify false")
    browser = open_stream(gateway)
    other = certificates(kind="other")
    assert_relays(browser, accept_tls(xmpp_server, "tls", server_context(other, Hello())))
