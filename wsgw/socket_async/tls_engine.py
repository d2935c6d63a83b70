"""TLS over two memory buffers: bytes of the network in and out, plain bytes in and out; no socket.

CPython's ``SSLSocket`` reads one record at a time and calls the kernel for each; over memory, all that one
read of the socket brought is decrypted at once.
"""

from __future__ import annotations

import contextlib
import ssl

#: The most that one TLS record holds, in bytes (RFC 8446 section 5.1).
_RECORD = 16 * 1024


class TlsEngine:
    """One connection's TLS; the alerts and records it has for the peer wait in ``to_send``."""

    __slots__ = ("_incoming", "_outgoing", "_tls", "broken", "ended", "to_send")

    def __init__(self, context: ssl.SSLContext, server_side: bool, server_hostname: str | None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        #: Bytes for the network that no call has returned: alerts, the handshake.
        self.to_send = b""
        #: The peer's stream of plain bytes is over, by close_notify or because TLS broke.
        self.ended = self.broken = False

    @property
    def parameters(self) -> tuple[str, str]:
        """The version of TLS and the name of the cipher."""
        cipher = self._tls.cipher()
        return self._tls.version() or "", cipher[0] if cipher else ""

    @property
    def peer_certificate(self) -> bytes | None:
        """The peer's certificate as DER, if it sent one."""
        return self._tls.getpeercert(binary_form=True)

    def do_handshake(self, data: bytes) -> bool:
        """Take bytes of the network; whether the handshake is done. Raises SSLError."""
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self.to_send += self._outgoing.read()
        return True

    def take(self) -> bytes:
        """Return what is to be sent, once."""
        data, self.to_send = self.to_send, b""
        return data

    def encrypt(self, data: bytes) -> bytes:
        """Return ``data`` as bytes for the network. Raises SSLError."""
        self._tls.write(data)
        return self._outgoing.read()

    def decrypt(self, data: bytes | None) -> bytes | None:
        """Take bytes of the network, none at its end; None to decrypt what came with the handshake.

        Returns the plain bytes of whole records, none at their end (``ended``); None without a whole one.
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
                    break  # asking again would raise, which takes as long as a record
            else:
                self.ended = True
        except ssl.SSLWantReadError:
            if not plain:
                return None
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError:  # a bare FIN is no orderly end of TLS, a broken record none at all
            self.ended = self.broken = True
        finally:
            if self._outgoing.pending:
                self.to_send += self._outgoing.read()
        return plain[0] if len(plain) == 1 else b"".join(plain)

    def close(self) -> None:
        """Say close_notify; the peer's is not waited for."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self.to_send += self._outgoing.read()
