"""``SocketAsync``: one wrapper over a plain or TLS socket, for both ways of reading it.

Straight-line code (PROXY header, TLS, HTTP, connecting, the end) uses ``recv`` and ``sendall``,
which block the calling greenlet. A running session calls ``active_once``: deliver, once, what
``recv`` would return. That is served by a read watcher when ``recv`` would not block; a
greenlet that loops on ``recv`` costs twice the CPU per message. What it sends leaves when the loop has
worked off what came in: peers are woken once for many messages, which saves a quarter of the time
spent in the kernel.

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

#: What a socket reads at a time unless its owner wants less, in bytes: a stanza of 64 KiB comes whole, with
#: what is around it, and malloc does not map memory for it (from 128 KiB on).
CHUNK = 96 * 1024
#: How long ``linger`` gives a peer for what it has still to read or to say, in seconds.
LAST_WORDS = 1.0
#: What is read and thrown away at most before a socket is closed: unread input would make it an RST.
_DISCARD_LIMIT = 1024 * 1024
_READ = 1
_Step = Callable[[], None]


def _to_no_owner(*_delivered: bytes) -> None:
    """Stands in for the callbacks while no owner is attached."""


class SocketAsync:
    """A connected, non-blocking socket, owned until ``close``."""

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
        #: What is sent: the queue, and how much of it was taken.
        self.outbox = Outbox(sock, self)
        self._watcher: Any = None
        self._buffer = b""
        self._tls: TlsEngine | None = None
        #: The owner's callback; see ``attach``.
        self._deliver: Callable[[bytes], None] = _to_no_owner
        self._armed = False
        self._closed = False
        #: TLS said close_notify: the stream is over, whatever the socket still holds.
        self._ended = False
        #: Bytes read, and delivered, at most at a time.
        self.read_size = CHUNK
        #: The peer ended the connection with an RST (or TLS broke), not with a FIN.
        self.reset = False

    # -- what it is ----------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor, -1 once closed."""
        return self._socket.fileno()

    @property
    def secure(self) -> bool:
        """Whether TLS is up."""
        return self._tls is not None

    @property
    def tls_parameters(self) -> tuple[str, str] | None:
        """The version of TLS and the name of the cipher, if TLS is up."""
        return self._tls.parameters if self._tls else None

    @property
    def peer_certificate(self) -> bytes | None:
        """The peer's certificate as DER, if TLS is up and it sent one."""
        return self._tls.peer_certificate if self._tls else None

    @property
    def armed(self) -> bool:
        """Whether a delivery is being waited for."""
        return self._armed

    @property
    def at_rest(self) -> bool:
        """Whether everything sent was taken, nothing failed, and whatever comes will be delivered."""
        return self._armed and self.outbox.at_rest

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def peer_state(self) -> PeerState:
        """Ask the kernel; for a side that is not being read, where neither FIN nor RST would show."""
        return peer_state(self._socket)

    # -- blocking: for what happens once ---------------------------------------------------------

    def recv(self) -> bytes:
        """Return what has come, or wait for it; empty at the end of the stream. Raises OSError."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        while (received := self._receive()) is None:
            self._wait()
        return received

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything, waiting until the kernel has taken it. Raises OSError."""
        self.send(bytes(data))
        self.flush()

    def flush(self) -> None:
        """Wait until the kernel has taken everything sent so far. Raises OSError."""
        self.outbox.flush()

    def unread(self, data: bytes) -> None:
        """Put back what was read too far."""
        self._buffer = data + self._buffer

    def start_tls(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        """Do the TLS handshake; what was read already counts as its beginning. Raises OSError."""
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
            self.outbox.write(tls.take())  # the end of the handshake, or the alert that says why
        self._tls = tls
        self._buffer = tls.decrypt(None) or b""
        self._obey(tls)

    def linger(self, flush_timeout: float, drain_timeout: float) -> None:
        """Orderly end: flush, FIN (close_notify before it), read to the peer's FIN, close. Never raises."""
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
            pass  # it is gone already, which is what was wanted
        finally:
            self.close()

    def close(self) -> None:
        """Close at once; what is queued is lost."""
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
        """Name the owner's callbacks; all run in the hub and must not block.

        ``deliver`` gets what ``recv`` would return: bytes, empty at the end of the stream (``reset``
        tells an RST from a FIN). ``drained`` is called when everything queued is taken, ``passed`` when
        what was queued at ``mark`` is.
        """
        self._deliver = deliver
        self.outbox.attach(drained, passed)

    def detach(self) -> None:
        """Deliver nothing more."""
        self._armed = False
        self._deliver = _to_no_owner
        self.outbox.detach()
        if self._watcher is not None:
            self._watcher.stop()

    def active_once(self) -> None:
        """Deliver once: now, by the loop, if bytes are at hand; else when they come."""
        self._armed = True
        if self._buffer or self._ended:
            gevent.get_hub().loop.run_callback(self._deliver_buffer)
            return
        watcher = self._watcher or self._watch()
        if not watcher.active:
            watcher.start(self._readable)

    def read_last_words(self) -> None:
        """A write has failed: deliver what the peer said before it went, if an owner takes it."""
        if self._deliver is not _to_no_owner and not self._armed:
            self.active_once()

    def send(self, data: bytes) -> None:
        """Send at the end of this turn of the loop, or at once if it is much. Never blocks, never raises."""
        if self._tls is not None:
            try:
                data = self._tls.encrypt(data)
            except ssl.SSLError:
                self.outbox.fail()
                return
        self.outbox.send(data)

    # -- inside ----------------------------------------------------------------------------------

    def _readable(self) -> None:
        """The read watcher's callback. It stays started if the owner asks again before it returns."""
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
        """Return what is there, empty at the end of the stream, None if it would block."""
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
            self._obey(tls)
        return plain

    def _obey(self, tls: TlsEngine) -> None:
        """Do what decrypted records ask for: an answer, or the end of the stream."""
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
