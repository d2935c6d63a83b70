"""``SocketAsync``: one wrapper over a plain or TLS socket, which can be read in two ways.

Straight-line code (PROXY header, TLS, HTTP, connecting, the end) uses ``recv`` and ``sendall``,
which block the calling greenlet. A running session calls ``active_once``, to get the bytes of one ``recv``
in a callback. A read watcher calls it when ``recv`` would not block; a greenlet that loops on ``recv``
costs twice the processor time per message. Sent bytes leave after all events of a turn of the loop: one
wake-up of a peer serves many messages, which saves a quarter of the time in the kernel.

Erlang twin: ``socket_async``, which gave ejabberd's TLS sockets the ``{active, once}`` interface.
Its ``set_packet_type`` (``http``, ``httph``) is not ported: pywsgi reads the request.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import gevent

from wsgw.socket_async.kernel import PeerState, peer_state
from wsgw.socket_async.outbox import Outbox
from wsgw.socket_async.tls_engine import TlsEngine

#: Bytes that a socket reads at a time by default: a stanza of 64 KiB arrives in one read, and malloc does not
#: map memory for the buffer (as it does from 128 KiB on).
CHUNK = 96 * 1024
#: Seconds that ``linger`` gives a peer to read the last bytes, and to send its own.
LINGER_TIMEOUT = 1.0
#: The most bytes read and discarded before a socket is closed: closing with unread bytes would send an RST.
_DISCARD_LIMIT = 1024 * 1024
_READ = 1
_Step = Callable[[], None]


def _to_no_owner(*_delivered: bytes) -> None:
    """The callback while no owner is attached."""


class SocketAsync:
    """Owns a connected socket, which it makes non-blocking, until ``close``."""

    __slots__ = (
        "_armed",
        "_buffer",
        "_closed",
        "_deliver",
        "_ended",
        "_socket",
        "_tls",
        "_watcher",
        "outbox",
        "read_size",
        "reset",
    )

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        #: The sending half: its queue, and the number of bytes that were taken.
        self.outbox = Outbox(sock, self)
        self._watcher: Any = None
        self._buffer = b""
        self._tls: TlsEngine | None = None
        #: The owner's callback; see ``attach``.
        self._deliver: Callable[[bytes], None] = _to_no_owner
        self._armed = False
        self._closed = False
        #: TLS has ended: bytes that are left in the socket are not read.
        self._ended = False
        #: The most bytes that are read and delivered at a time.
        self.read_size = CHUNK
        #: The peer ended the connection with an RST, or TLS without close_notify.
        self.reset = False

    # -- state ---------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The file descriptor, -1 after ``close``."""
        return self._socket.fileno()

    @property
    def peer_name(self) -> str:
        """The peer's address and port, or the path of its Unix socket; empty if it is gone."""
        try:
            name = self._socket.getpeername()
        except OSError:
            return ""
        if not isinstance(name, tuple):
            return str(name)
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"

    @property
    def tls_parameters(self) -> tuple[str, str] | None:
        """(version of TLS, name of the cipher), None without TLS."""
        return self._tls.parameters if self._tls else None

    @property
    def peer_certificate(self) -> bytes | None:
        """The peer's certificate as DER; None without TLS, or if the peer sent none."""
        return self._tls.peer_certificate if self._tls else None

    @property
    def verified_name(self) -> str | None:
        """The Common Name of the peer's verified certificate, empty without one; None without TLS or it."""
        return self._tls.verified_name if self._tls else None

    @property
    def armed(self) -> bool:
        """Whether ``active_once`` waits for bytes."""
        return self._armed

    @property
    def at_rest(self) -> bool:
        """Whether the kernel has taken all bytes, no write failed, and ``active_once`` waits for bytes."""
        return self._armed and self.outbox.at_rest

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def peer_state(self) -> PeerState:
        """Ask the kernel for the peer's state: a socket that is not read reports neither FIN nor RST."""
        return peer_state(self._socket)

    # -- blocking: for the beginning and the end of a connection -----------------------------------

    def recv(self) -> bytes:
        """Wait for bytes and return them; b"" at the end of the stream. Raises OSError."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        while (received := self._receive()) is None:
            self._wait()
        return received

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data`` and wait until the kernel has taken it. Raises OSError."""
        self.send(bytes(data))
        self.flush()

    def flush(self) -> None:
        """Wait until the kernel has taken all bytes sent so far. Raises OSError."""
        self.outbox.flush()

    def unread(self, data: bytes) -> None:
        """Put back ``data``, which the next ``recv`` or delivery returns."""
        self._buffer = data + self._buffer

    def start_tls(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        """Do the TLS handshake, beginning with the bytes that were put back by ``unread``. Raises OSError."""
        tls = TlsEngine(context, server_side, server_hostname)
        data, self._buffer = self._buffer, b""
        try:
            while not tls.do_handshake(data):
                self.outbox.write(tls.take())
                self.flush()
                data = self._receive_raw_blocking()
                if not data:
                    raise ConnectionResetError("connection closed during the TLS handshake")
        finally:
            self.outbox.write(tls.take())  # the end of the handshake, or the alert that gives the error
        self._tls = tls
        self._buffer = tls.decrypt(None) or b""
        self._after_decryption(tls)

    def linger(self, flush_timeout: float, drain_timeout: float) -> None:
        """End the connection in order: flush, close_notify, FIN, read to the peer's FIN, close.

        The flush takes at most ``flush_timeout`` seconds, reading to the FIN ``drain_timeout``. Never raises.
        """
        self.detach()
        try:
            with gevent.Timeout(flush_timeout, False):  # type: ignore[arg-type]
                if self._tls is not None and not self.outbox.failed:
                    self._tls.close()
                    self.outbox.write(self._tls.take())
                self.flush()
            self._socket.shutdown(socket.SHUT_WR)
            with gevent.Timeout(drain_timeout, False):  # type: ignore[arg-type]
                discarded = 0
                while discarded < _DISCARD_LIMIT:
                    data = self._receive_raw_blocking()
                    if not data:
                        break
                    discarded += len(data)
        except OSError:
            pass  # the connection has ended already
        finally:
            self.close()

    def close(self) -> None:
        """Close at once; queued bytes are lost."""
        if self._closed:
            return
        self._closed = True
        self.detach()
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        self.outbox.close()
        self._socket.close()

    # -- active once: for the life of a session --------------------------------------------------

    def attach(self, deliver: Callable[[bytes], None], drained: _Step, passed: _Step = _to_no_owner) -> None:
        """Set the owner's callbacks; all run in the hub and must not block.

        ``deliver`` gets the bytes that ``recv`` would return, b"" at the end of the stream (``reset``
        distinguishes an RST from a FIN). ``drained`` is called when the queue is empty again, ``passed`` when
        the kernel has taken all bytes sent before ``Outbox.mark``.
        """
        self._deliver = deliver
        self.outbox.attach(drained, passed)

    def detach(self) -> None:
        """Call no callback from now on."""
        self._armed = False
        self._deliver = _to_no_owner
        self.outbox.detach()
        if self._watcher is not None:
            self._watcher.stop()

    def active_once(self) -> None:
        """Deliver once: in this turn of the loop if bytes were read already, otherwise when bytes arrive."""
        self._armed = True
        if self._buffer or self._ended:
            gevent.get_hub().loop.run_callback(self._deliver_buffer)
            return
        watcher = self._watcher or self._watch()
        if not watcher.active:
            watcher.start(self._readable)

    def read_rest(self) -> None:
        """A write has failed: deliver the bytes that the peer sent before, if an owner is attached."""
        if self._deliver is not _to_no_owner and not self._armed:
            self.active_once()

    def send(self, data: bytes) -> None:
        """Encrypt and send ``data`` as ``Outbox.send`` does. Never blocks, never raises."""
        if self._tls is not None:
            try:
                data = self._tls.encrypt(data)
            except ssl.SSLError:
                self.outbox.fail()
                return
        self.outbox.send(data)

    # -- inside ----------------------------------------------------------------------------------

    def _readable(self) -> None:
        """The read watcher's callback. The watcher stays active if ``deliver`` calls ``active_once``."""
        try:
            if self._tls is None:
                data = self._socket.recv(self.read_size)
            elif (decrypted := self._receive()) is not None:
                data = decrypted
            else:
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.reset = True
            data = b""
        self._armed = False
        self._deliver(data)
        if not self._armed and self._watcher is not None:
            self._watcher.stop()

    def _deliver_buffer(self) -> None:
        if self._armed and (self._buffer or self._ended):
            data, self._buffer = self._buffer[: self.read_size], self._buffer[self.read_size :]
            self._armed = False
            self._deliver(data)

    def _receive(self) -> bytes | None:
        """Return the available bytes, b"" at the end of the stream, None if there are none."""
        if self._ended:
            return b""
        try:
            data = self._socket.recv(self.read_size)
        except (BlockingIOError, InterruptedError):
            return None
        tls = self._tls
        if tls is None:
            return data
        plain = tls.decrypt(data)
        if tls.to_send or tls.ended:
            self._after_decryption(tls)
        return plain

    def _after_decryption(self, tls: TlsEngine) -> None:
        """Send the answer that decrypted records require, and note the end of TLS."""
        self.outbox.write(tls.take())
        self._ended = tls.ended
        self.reset = self.reset or tls.broken

    def _receive_raw_blocking(self) -> bytes:
        while True:
            try:
                return self._socket.recv(CHUNK)
            except (BlockingIOError, InterruptedError):
                self._wait()

    def _watch(self) -> Any:
        if self._watcher is None:
            self._watcher = gevent.get_hub().loop.io(self._socket.fileno(), _READ)
        return self._watcher

    def _wait(self) -> None:
        """Wait until the socket can be read."""
        gevent.get_hub().wait(self._watch())
