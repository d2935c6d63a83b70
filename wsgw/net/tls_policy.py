"""What a listener demands of TLS, whatever certificate it shows: versions, ciphers, certificates of clients.

OpenSSL takes most of this from the context in which a connection begins, and the authorities of clients from
the one that the server name selects. So all contexts of a listener have one policy, which is in the key under
which ``net.tls`` keeps them.

No TLS session is resumed where clients show certificates: a resumed one skips the check, so a certificate
that has expired, or an authority that was removed, would still count (CVE-2025-23419 is such a case).
TLS 1.3 resumes nothing without tickets. TLS 1.2 also resumes from a cache of OpenSSL's that the ssl module
cannot turn off, and it sends the client's certificate in clear: such a listener has TLS 1.3 only.
"""

from __future__ import annotations

import ssl
from typing import NamedTuple

from wsgw.config.model import Config, ListenerConfig
from wsgw.config.pem import PemFiles
from wsgw.config.tls_types import NO_TICKET, NO_TLS_1_2, NO_TLS_1_3
from wsgw.errors import ConfigError, ConfigProblem
from wsgw.net.memory_file import as_file

#: Never ciphers without authentication or encryption, although OpenSSL's ``ALL`` has some.
_NEVER = ":!aNULL:!eNULL"
_NO_CIPHER = "openssl ciphers -v shows them; those of TLS 1.3 cannot be selected"


class TlsPolicy(NamedTuple):
    """The options of a listener that do not depend on the name that a client asks for."""

    #: Of the names in ``config.tls_types``.
    protocol_options: tuple[str, ...] = ()
    #: For TLS 1.2, in OpenSSL's form; the ssl module cannot select the ciphers of TLS 1.3.
    ciphers: str | None = None
    #: The content of a PEM file with the authorities of clients; None if clients show no certificate.
    authorities: bytes | None = None

    @classmethod
    def of(cls, listener: ListenerConfig, config: Config, files: PemFiles) -> TlsPolicy:
        """The policy of ``listener``, one of ``config``, for which OpenSSL makes contexts.

        Raises ConfigError with the line of each option that OpenSSL refuses.
        """
        problems: list[ConfigProblem] = []
        authorities = None

        def add(option: str, reason: str) -> None:
            mark = config.mark(listener, option)
            problems.append(ConfigProblem(mark.file, mark.line, f"{option}: {reason}"))

        if listener.tls_verify:
            assert listener.cafile is not None  # ``config.cross_checks``
            try:
                authorities = files.read(listener.cafile)
                cls(authorities=authorities).context()
            except OSError as error:
                add("cafile", f"{listener.cafile} cannot be used: {why(error)}")
        try:
            cls(ciphers=listener.ciphers).context()
        except ssl.SSLError:
            add("ciphers", f"OpenSSL has no cipher of TLS 1.2 for {listener.ciphers!r}: {_NO_CIPHER}")
        if problems:
            raise ConfigError(problems)
        return cls(listener.protocol_options, listener.ciphers, authorities)

    def context(self) -> ssl.SSLContext:
        """A new context without a certificate. Raises OSError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        if NO_TLS_1_2 in self.protocol_options or self.authorities is not None:
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        if NO_TLS_1_3 in self.protocol_options:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        if NO_TICKET in self.protocol_options or self.authorities is not None:
            context.options |= ssl.OP_NO_TICKET  # of TLS 1.2; the number is that of TLS 1.3
            context.num_tickets = 0
        if self.ciphers is not None:
            context.set_ciphers(self.ciphers + _NEVER)
        if self.authorities is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            with as_file(self.authorities) as name:
                context.load_verify_locations(name)
        return context


def why(error: OSError) -> str:
    """The reason that OpenSSL or the system gives, without the line of its source code."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no certificate in it").replace("_", " ").lower()
    return error.strerror or str(error)
