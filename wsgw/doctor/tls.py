"""The TLS of a server as clients see it: the certificate's name, dates and chain, and the version."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from gevent import socket, ssl

from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.https import Connect
from wsgw.doctor.reach import at_most, reason, shown
from wsgw.net.certificate import Certificate, certificate_of
from wsgw.probe.websocket_client import tls_context

#: Seconds for a handshake.
_HANDSHAKE = 10.0
#: OpenSSL's numbers of the results of a verification (X509_V_ERR_...).
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED, _ROOT_IN_CHAIN, _NO_ISSUER, _HOST, _ADDRESS = (
    9,
    10,
    18,
    19,
    20,
    62,
    64,
)
#: OpenSSL's names of the reasons for which a handshake fails.
_OLD = {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION"}
_PLAIN = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}
#: ``_ssl.ENCODING_DER``.
_DER = 2
#: The time before the expiry in which a certificate should have been renewed.
_SOON = timedelta(days=14)


class _Offer(NamedTuple):
    """What a server shows in a handshake: the chain, and the version."""

    chain: tuple[Certificate, ...]
    version: str


@cache
def verifying(cafile: Path | None) -> ssl.SSLContext:
    """A context that trusts the system's authorities and those of ``cafile``, as a client does."""
    context = tls_context()
    if cafile is not None:
        context.load_verify_locations(str(cafile))
    return context


@cache
def trusting() -> ssl.SSLContext:
    """A context that trusts any certificate, so that the other checks can run in spite of a bad one."""
    context = tls_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def examine_tls(host: str, port: int, connect: Connect, cafile: Path | None) -> Iterator[Finding]:
    """The findings about the TLS of a server. ``connect`` opens the TCP connection; raises as it does."""
    place = shown(host, port)
    try:
        offer = _shake_hands(connect(host, port), host, verifying(cafile))
    except ssl.SSLCertVerificationError as error:
        chain = _shake_hands(connect(host, port), host, trusting()).chain
        what, fix = about_certificate(error.verify_code, host, chain)
        yield Finding("tls.certificate", place, Verdict.FAILED, what, fix)
    except ssl.SSLError as error:
        yield Finding("tls.handshake", place, Verdict.FAILED, *_about_handshake(error))
    except OSError as error:
        fix = f"let the server speak TLS on port {port}"
        yield Finding("tls.handshake", place, Verdict.FAILED, f"{reason(error)} in the TLS handshake", fix)
    else:
        yield _about_valid(place, offer)


def _shake_hands(plain: socket.socket, host: str, context: ssl.SSLContext) -> _Offer:
    with plain, at_most(_HANDSHAKE), context.wrap_socket(plain, server_hostname=host) as sock:
        return _Offer(_chain_of(sock), str(sock.version()))


def _chain_of(sock: Any) -> tuple[Certificate, ...]:
    """The certificates that the server has sent, its own first; those that cannot be read are omitted.

    Python has a public method for it from 3.13 on only; this is the function below it.
    """
    found = []
    for one in sock._sslobj.get_unverified_chain() or ():
        try:
            found.append(certificate_of(one.public_bytes(_DER)))
        except ValueError:
            continue
    return tuple(found)


def _about_handshake(error: ssl.SSLError) -> tuple[str, str]:
    """What is wrong with a server that ends the handshake, by OpenSSL's name of the reason."""
    if error.reason in _OLD:
        what = "speaks only versions of TLS that browsers refuse (before 1.2)"
        return what, "allow TLS 1.2 and 1.3 (nginx ssl_protocols, haproxy ssl-min-ver)"
    if error.reason in _PLAIN:
        return "does not speak TLS on this port", "add TLS (nginx listen ... ssl, haproxy bind ... ssl crt)"
    why = (error.reason or "the connection was closed").replace("_", " ").lower()
    fix = "let it have a certificate for this name (SNI), and read its log"
    return f"refuses the TLS handshake ({why})", fix


def _about_valid(place: str, offer: _Offer) -> Finding:
    version = offer.version.replace("v", " ")
    if not offer.chain:
        return Finding("tls.certificate", place, Verdict.OK, f"its certificate is valid, {version}")
    expires = offer.chain[0].not_after
    left = expires - datetime.now(timezone.utc)
    what = f"its certificate is valid until {expires:%Y-%m-%d}, {version}"
    if left < _SOON:
        fix = f"renew it: {left.days} days are left; the renewal should be automatic"
        return Finding("tls.expiry", place, Verdict.NOTE, what, fix)
    return Finding("tls.certificate", place, Verdict.OK, what)


def about_certificate(code: int, host: str, chain: tuple[Certificate, ...]) -> tuple[str, str]:
    """What is wrong with a certificate that is not accepted for ``host``, and what to do.

    ``code``: OpenSSL's result of the verification; ``chain``: the certificates that the server has sent.
    """
    if not chain:
        return "its certificate is not accepted and cannot be read", "get another one"
    leaf = chain[0]
    if code in (_HOST, _ADDRESS):
        names = ", ".join(leaf.names[:5]) or f"the Common Name {leaf.common_name}, which clients ignore"
        return f"its certificate is for {names}", f"get one for {host}, or name a host of the certificate"
    if code in (_EXPIRED, _NOT_YET_VALID):
        return _about_dates(next(filter(_is_out_of_date, chain), leaf))
    if code == _SELF_SIGNED or leaf.is_its_own_issuer:
        return "its certificate is self-signed: browsers refuse it", "get one of a public authority"
    return _about_issuer(chain, has_root=code == _ROOT_IN_CHAIN)


def _is_out_of_date(certificate: Certificate) -> bool:
    return not certificate.not_before <= datetime.now(timezone.utc) < certificate.not_after


def _about_dates(certificate: Certificate) -> tuple[str, str]:
    if certificate.not_before > datetime.now(timezone.utc):
        what = f"its certificate is not valid before {certificate.not_before:%Y-%m-%d %H:%M} UTC"
        return what, "set the clock of this machine, or use a valid certificate"
    what = f"its certificate has expired on {certificate.not_after:%Y-%m-%d %H:%M} UTC"
    return what, "renew it, and let the server read it (nginx -s reload, systemctl reload haproxy)"


def _about_issuer(chain: tuple[Certificate, ...], *, has_root: bool) -> tuple[str, str]:
    """A chain that ends at an unknown authority, or lacks a certificate: authorities give their URL in it."""
    last = chain[-1]
    if has_root or not last.issuer_urls:
        fix = "get one of a public authority; if all clients trust this one, name its file with --cafile"
        return f"its certificate is of an authority that is not trusted here ({last.issuer})", fix
    what = (
        f"its certificate chain is incomplete: the certificate of {last.issuer} is missing; some browsers"
        " fetch it, other clients refuse the connection"
    )
    fix = (
        "install the whole chain (fullchain.pem): nginx ssl_certificate, haproxy bind ... crt, wsgw certfile;"
        f" the missing certificate is at {last.issuer_urls[0]}"
    )
    return what, fix
