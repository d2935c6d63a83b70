"""What a listener demands of TLS, whatever certificate it shows: versions, ciphers, tickets.

OpenSSL takes all of this from the context in which a connection begins, and ignores it in a context that the
server name selects later. So it is in the key under which ``net.tls`` keeps its contexts.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import NamedTuple

from wsgw.config.model import ListenerConfig
from wsgw.config.tls_types import NO_TICKET, NO_TLS_1_2, NO_TLS_1_3

#: Never ciphers without authentication or encryption, although OpenSSL's ``ALL`` has some.
_NEVER = ":!aNULL:!eNULL"


class TlsPolicy(NamedTuple):
    """The options of a listener that do not depend on the name that a client asks for."""

    #: Of the names in ``config.tls_types``.
    protocol_options: tuple[str, ...] = ()
    #: For TLS 1.2, in OpenSSL's form; the ssl module cannot select the ciphers of TLS 1.3.
    ciphers: str | None = None

    @classmethod
    def of(cls, listener: ListenerConfig) -> TlsPolicy:
        """The policy of ``listener``."""
        return cls(listener.protocol_options, listener.ciphers)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (name of the option, the reason) for each option that OpenSSL refuses."""
        try:
            if self.ciphers is not None:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(self.ciphers + _NEVER)
        except ssl.SSLError:
            reason = f"OpenSSL has no cipher of TLS 1.2 for {self.ciphers!r}"
            hint = "openssl ciphers -v shows them; those of TLS 1.3 cannot be selected"
            yield "ciphers", f"{reason}: {hint}"

    def context(self) -> ssl.SSLContext:
        """A new context without a certificate. Raises SSLError if there are ``problems``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if NO_TLS_1_2 in self.protocol_options:
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        if NO_TLS_1_3 in self.protocol_options:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        if self.ciphers is not None:
            context.set_ciphers(self.ciphers + _NEVER)
        if NO_TICKET in self.protocol_options:
            context.options |= ssl.OP_NO_TICKET  # of TLS 1.2; the number is that of TLS 1.3
            context.num_tickets = 0
        return context
