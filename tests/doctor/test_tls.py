"""The judgement about the certificate of a server; ``test_outside`` has real ones."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import pytest

from tests.support.certificates import Certificate as Files
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.reach import connect
from wsgw.doctor.tls import _about_valid, _Offer, about_certificate, examine_tls
from wsgw.net.certificate import Certificate, certificates_in

HOST = "localhost"
SOON = datetime.now(timezone.utc) + timedelta(days=3, hours=1)


@pytest.fixture(scope="module")
def leaf(certificate: Files) -> Certificate:
    return certificates_in(certificate.chain.read_bytes())[0]


@pytest.fixture(scope="module")
def root(certificate: Files) -> Certificate:
    return certificates_in(certificate.ca.read_bytes())[0]


def test_a_name_that_is_not_in_the_certificate(leaf: Certificate) -> None:
    what, fix = about_certificate(62, "example.org", (leaf,))
    assert (what, fix[:27]) == ("its certificate is for localhost, 127.0.0.1", "get one for example.org, or")
    what, _ = about_certificate(62, "example.org", (leaf._replace(names=()),))
    assert what.endswith("the Common Name localhost, which clients ignore")


def test_the_dates(leaf: Certificate, root: Certificate) -> None:
    what, fix = about_certificate(9, HOST, (leaf._replace(not_before=SOON),))
    assert ("is not valid before" in what, "set the clock" in fix) == (True, True)
    expired = root._replace(not_after=datetime(2020, 1, 1, tzinfo=timezone.utc))
    what, fix = about_certificate(10, HOST, (leaf, expired))
    assert (what, fix[:8]) == ("its certificate has expired on 2020-01-01 00:00 UTC", "renew it")


def test_the_issuer(leaf: Certificate, root: Certificate) -> None:
    assert "self-signed" in about_certificate(18, HOST, (root,))[0]
    for code, chain in ((19, (leaf, root)), (20, (leaf,))):
        what, fix = about_certificate(code, HOST, chain)
        assert "an authority that is not trusted here" in what
        assert "--cafile" in fix
    of_a_public_authority = leaf._replace(issuer_urls=("http://ca.example/ca.der",))
    what, fix = about_certificate(20, HOST, (of_a_public_authority,))
    assert "its certificate chain is incomplete" in what
    assert fix.endswith("http://ca.example/ca.der")
    assert about_certificate(20, HOST, ())[1] == "get another one"


def test_a_certificate_that_expires_soon_is_noted(leaf: Certificate) -> None:
    found = _about_valid("localhost:443", _Offer((leaf._replace(not_after=SOON),), "TLSv1.3"))
    assert (found.check, found.verdict) == ("tls.expiry", Verdict.NOTE)
    assert "3 days are left" in found.fix
    assert _about_valid("localhost:443", _Offer((leaf,), "TLSv1.3")).verdict is Verdict.OK


def examined(context: ssl.SSLContext, cafile: Path) -> Finding:
    """The finding about a server with ``context``."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        port = listening.getsockname()[1]
        (found,) = examine_tls("127.0.0.1", port, partial(connect, server=None), cafile)
        thread.join()
    return found


def test_a_good_server(certificate: Files) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.pem)
    found = examined(context, certificate.ca)
    assert (found.check, found.verdict) == ("tls.certificate", Verdict.OK)
    assert found.what.endswith(", TLS 1.3")


@pytest.mark.skipif(not ssl.HAS_TLSv1_1, reason="this OpenSSL has no TLS 1.1")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_old_version_of_tls(certificate: Files) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.load_cert_chain(certificate.pem)
    found = examined(context, certificate.ca)
    assert (found.check, found.verdict) == ("tls.handshake", Verdict.FAILED)
    assert "before 1.2" in found.what
    assert "ssl_protocols" in found.fix
