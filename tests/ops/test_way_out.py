"""The advice to an admin about a server that cannot be used, by the kind of its error."""

from __future__ import annotations

import ssl

import pytest

from wsgw.config import from_arguments
from wsgw.config.pem import PemFiles
from wsgw.ops.upstream_check import _RunningCheck
from wsgw.upstream import NoStartTls, OtherCertificate


@pytest.mark.parametrize(
    ("kind", "code", "way_out"),
    [
        (NoStartTls, 0, "write it as tls://HOST:PORT if it has TLS"),
        (OtherCertificate, 0, "name its current certificate in certfiles"),
        (ssl.SSLCertVerificationError, 10, "renew it at the XMPP server"),
        (ssl.SSLCertVerificationError, 18, "name the authority with upstream_cafile"),
    ],
)
def test_the_text_of_an_error_does_not_change_the_advice(
    kind: type[OSError], code: int, way_out: str
) -> None:
    error = kind.__new__(kind, 0, "other words")
    setattr(error, "verify_code", code)  # noqa: B010 - OpenSSL's errors have it
    (listener,) = from_arguments("127.0.0.1:5288", ["localhost"], ["tls://127.0.0.1:1"]).listeners
    check = _RunningCheck(listener, PemFiles(), "localhost")
    assert check._advice(listener.upstream[0], error).startswith(way_out)
