"""TLS over two memory buffers, without a socket: turns bytes of the network into plain bytes, and back.

CPython's ``SSLSocket`` reads one record at a time and calls the kernel for each; this module decrypts all
records of one read of the socket at once.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

#: The most plain bytes of one TLS record (RFC 8446 section 5.1).
_RECORD = 16 * 1024


class TlsEngine:
    """One connection's TLS. Its alerts and handshake records for the peer wait in ``to_send``."""

    __slots__ = ("_incoming", "_outgoing", "_tls", "broken", "ended", "to_send")

    def __init__(self, context: ssl.SSLContext, server_side: bool, server_hostname: str | None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        #: Bytes of the handshake and alerts, which the caller must send.
        self.to_send = b""
        #: ``ended``: no more plain bytes follow, after close_notify (RFC 8446 section 6.1), FIN or an error.
        #: ``broken``: they ended without close_notify.
        self.ended = self.broken = False

    @property
    def parameters(self) -> tuple[str, str]:
        """(version of TLS, name of the cipher); an unknown one is empty."""
        cipher = self._tls.cipher()
        return self._tls.version() or "", cipher[0] if cipher else ""

    @property
    def peer_certificate(self) -> bytes | None:
        """The peer's certificate as DER, None if it sent none."""
        return self._tls.getpeercert(binary_form=True)

    @property
    def verified_name(self) -> str | None:
        """The Common Name of the peer's certificate, empty without one; None without a verified certificate.

        Of several it is the first, as in haproxy's PROXY header.
        """
        certificate = self._tls.getpeercert()
        if not certificate:
            return None
        subject: Any = certificate["subject"]
        names = [value for parts in subject for kind, value in parts if kind == "commonName"]
        return names[0] if names else ""

    def do_handshake(self, data: bytes) -> bool:
        """Take bytes of the network; return whether the handshake is complete. Raises SSLError."""
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self.to_send += self._outgoing.read()
        return True

    def take(self) -> bytes:
        """Return the bytes of ``to_send``, and empty it."""
        data, self.to_send = self.to_send, b""
        return data

    def encrypt(self, data: bytes) -> bytes:
        """Return ``data`` as bytes for the network. Raises SSLError."""
        self._tls.write(data)
        return self._outgoing.read()

    def decrypt(self, data: bytes | None) -> bytes | None:
        """Return the plain bytes of all complete records, including ``data``.

        ``data`` holds bytes of the network, b"" at the end of the connection; None decrypts only bytes that
        came with the handshake. Returns None while no record is complete, b"" at the end (``ended``).
        """
        tls, incoming = self._tls, self._incoming
        if data:
            incoming.write(data)
        elif data is not None:
            incoming.write_eof()
        plain = []
        try:
            while data := tls.read(_RECORD):
                plain.append(data)
                if not incoming.pending and not tls.pending():
                    break  # another read would raise, which takes as long as decrypting a record
            else:
                self.ended = True
        except ssl.SSLWantReadError:
            if not plain:
                return None
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError:  # a FIN without close_notify, or an invalid record
            self.ended = self.broken = True
        finally:
            if self._outgoing.pending:
                self.to_send += self._outgoing.read()
        return plain[0] if len(plain) == 1 else b"".join(plain)

    def close(self) -> None:
        """Put close_notify into ``to_send``, without waiting for the peer's (RFC 8446 section 6.1)."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self.to_send += self._outgoing.read()
