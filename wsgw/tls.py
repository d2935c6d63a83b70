"""TLS contexts, for browsers and for the XMPP server.

Server side: one PEM with chain and key, TLS 1.2 and up, no compression, no renegotiation. Client
side: the certificate is checked against the XMPP domain (RFC 6120 section 13.7.2), or is one that
the configuration itself names, which is trusted as it stands.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path

from wsgw.errors import ConfigError, ConfigProblem

#: ALPN of direct TLS to an XMPP server (XEP-0368).
ALPN_XMPP_CLIENT = "xmpp-client"
_PEM_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def browser_context(certfile: Path) -> ssl.SSLContext:
    """Return the context of a ``tls`` listener; ``certfile`` holds chain and key.

    Raises ConfigError if it cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certfile)
    except (ssl.SSLError, OSError) as error:
        reason = f"cannot be used as certfile: {error}"
        raise ConfigError([ConfigProblem(str(certfile), 0, reason)]) from error
    return context


class UpstreamTls:
    """How the certificate of the XMPP server is judged."""

    def __init__(
        self, *, verify: bool, cafile: Path | None, trusted: Iterable[Path], alpn: Sequence[str] = ()
    ) -> None:
        """``trusted`` are PEM files whose first certificate is trusted as it stands."""
        self._trusted = frozenset(filter(None, map(_leaf_certificate, trusted)))
        self._verified = ssl.create_default_context(cafile=cafile)
        if cafile is not None:
            self._verified.load_default_certs()
        self._verified.minimum_version = ssl.TLSVersion.TLSv1_2
        self._unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._unverified.check_hostname = False
        self._unverified.verify_mode = ssl.CERT_NONE
        self._verify = verify
        if alpn:
            self._verified.set_alpn_protocols(list(alpn))
            self._unverified.set_alpn_protocols(list(alpn))

    @property
    def attempts(self) -> tuple[ssl.SSLContext, ...]:
        """The contexts to try in turn, each on a new connection."""
        if not self._verify:
            return (self._unverified,)
        return (self._unverified, self._verified) if self._trusted else (self._verified,)

    def accepts(self, context: ssl.SSLContext, certificate: bytes | None) -> bool:
        """Whether a handshake made with ``context`` is good enough; ``certificate`` is the peer's, DER."""
        return context is self._verified or not self._verify or certificate in self._trusted


def _leaf_certificate(path: Path) -> bytes | None:
    """The first certificate of a PEM file, DER; None if there is none to be read."""
    try:
        match = _PEM_CERTIFICATE.search(path.read_text("ascii", "replace"))
    except OSError:
        return None
    return ssl.PEM_cert_to_DER_cert(match[0]) if match else None
