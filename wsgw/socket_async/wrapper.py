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

import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any

import gevent

from wsgw.loop_turn import turn_of
from wsgw.socket_async.kernel import PeerState, peer_state, unsent
from wsgw.socket_async.tls_engine import TlsEngine

#: What a socket reads at a time unless its owner wants less, in bytes: a stanza of 64 KiB comes whole, with
#: what is around it, and malloc does not map memory for it (from 128 KiB on).
CHUNK = 96 * 1024
#: How long ``linger`` gives a peer for what it has still to read or to say, in seconds.
LAST_WORDS = 1.0
#: What is read and thrown away at most before a socket is closed: unread input would make it an RST.
_DISCARD_LIMIT = 1024 * 1024
#: So much is not kept for the end of the turn, in bytes: whoever sent it must see now what is not taken.
_AT_ONCE = 16 * 1024
_READ, _WRITE = 1, 2
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
        "_drained",
        "_ended",
        "_hub",
        "_mark",
        "_outbox",
        "_passed",
        "_pending",
        "_read_watcher",
        "_socket",
        "_tls",
        "_turn",
        "_write_watcher",
        "progress",
        "queued",
        "read_size",
        "reset",
        "write_failed",
    )

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._hub = gevent.get_hub()
        self._read_watcher: Any = None
        self._write_watcher: Any = None
        self._turn = turn_of(self._hub)
        self._buffer = b""
        #: What was sent in this turn of the loop.
        self._pending = b""
        self._outbox = bytearray()
        self._tls: TlsEngine | None = None
        #: The owner's callbacks; see ``attach``.
        self._deliver: Callable[[bytes], None] = _to_no_owner
        self._drained: _Step = _to_no_owner
        self._passed: _Step = _to_no_owner
        #: The value of ``progress`` at which what was sent before ``mark`` has left; 0 for no mark.
        self._mark = 0
        self._armed = False
        self._closed = False
        #: TLS said close_notify: the stream is over, whatever the socket still holds.
        self._ended = False
        #: Bytes read, and delivered, at most at a time.
        self.read_size = CHUNK
        #: Grows with every byte the kernel took.
        self.progress = 0
        #: Bytes sent by us that the kernel did not take: the length of the outbox.
        self.queued = 0
        #: A write failed; the peer's last words may still be there to be read.
        self.write_failed = False
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
    def taken(self) -> int:
        """Bytes that have left this machine: it changes as long as the peer takes something."""
        return self.progress - unsent(self._socket)

    @property
    def way(self) -> tuple[int, int]:
        """Bytes sent by us, and those of them that have left this machine."""
        return self.progress + len(self._outbox) + len(self._pending), self.taken

    @property
    def marked_waits(self) -> bool:
        """Whether the kernel has not taken everything that was sent before ``mark``."""
        return bool(self._outbox) and self.progress < self._mark

    @property
    def armed(self) -> bool:
        """Whether a delivery is being waited for."""
        return self._armed

    @property
    def at_rest(self) -> bool:
        """Whether everything sent was taken, nothing failed, and whatever comes will be delivered."""
        return self._armed and not self._outbox and not self.write_failed

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
            self._wait(self._watch_reads())
        return received

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything, waiting until the kernel has taken it. Raises OSError."""
        self.send(bytes(data))
        self.flush()

    def flush(self) -> None:
        """Wait until the kernel has taken everything sent so far. Raises OSError."""
        self._write_raw()
        while self._outbox:
            if self._write_watcher is not None:
                self._write_watcher.stop()
            self._wait(self._watch_writes())
            self._write()
        if self.write_failed:
            # pywsgi tells a peer that is gone from a fault by the number.
            raise BrokenPipeError(errno.EPIPE, "the peer is gone")

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
                self._write_raw(tls.take())
                self.flush()
                data = self._receive_raw_blocking()
                if not data:
                    raise ConnectionResetError("connection closed during the TLS handshake")
        finally:
            self._write_raw(tls.take())  # the end of the handshake, or the alert that says why
        self._tls = tls
        self._buffer = tls.decrypt(None) or b""
        self._obey(tls)

    def linger(self, flush_timeout: float, drain_timeout: float) -> None:
        """Orderly end: flush, FIN (close_notify before it), read to the peer's FIN, close. Never raises."""
        self.detach()
        try:
            with gevent.Timeout(flush_timeout, False):  # type: ignore[arg-type]
                if self._tls is not None and not self.write_failed:
                    self._tls.close()
                    self._write_raw(self._tls.take())
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
        for watcher in (self._read_watcher, self._write_watcher):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._read_watcher = self._write_watcher = None
        self._pending = b""
        self._outbox.clear()
        self.queued = 0
        self._socket.close()

    # -- active once: for the life of a session --------------------------------------------------

    def attach(self, deliver: Callable[[bytes], None], drained: _Step, passed: _Step = _to_no_owner) -> None:
        """Name the owner's callbacks; all run in the hub and must not block.

        ``deliver`` gets what ``recv`` would return: bytes, empty at the end of the stream (``reset``
        tells an RST from a FIN). ``drained`` is called when everything queued is taken, ``passed`` when
        what was queued at ``mark`` is.
        """
        self._deliver = deliver
        self._drained = drained
        self._passed = passed

    def mark(self) -> None:
        """Ask to be told when the kernel has taken what was sent so far, if it does not do so at once."""
        self._mark = self.progress + len(self._outbox) + len(self._pending)

    def detach(self) -> None:
        """Deliver nothing more."""
        self._armed = False
        self._deliver = self._drained = self._passed = _to_no_owner
        if self._read_watcher is not None:
            self._read_watcher.stop()

    def active_once(self) -> None:
        """Deliver once: now, by the loop, if bytes are at hand; else when they come."""
        self._armed = True
        if self._buffer or self._ended:
            self._hub.loop.run_callback(self._deliver_buffer)
            return
        watcher = self._read_watcher or self._watch_reads()
        if not watcher.active:
            watcher.start(self._readable)

    def send(self, data: bytes) -> None:
        """Send when no event of this turn of the loop is left, at once if it is much.

        What the kernel does not take is queued. Never blocks, never raises.
        """
        if self._tls is not None:
            try:
                data = self._tls.encrypt(data)
            except ssl.SSLError:
                self._fail_writing()
                return
        if len(data) >= _AT_ONCE:
            self._write_raw(data)
        elif self._pending:
            self._pending += data
            if len(self._pending) >= _AT_ONCE:
                self._write_raw()
        else:
            self._pending = data
            self._turn.ends_with(self._write_raw)

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
        if not self._armed and self._read_watcher is not None:
            self._read_watcher.stop()

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
        self._write_raw(tls.take())
        self._ended = tls.ended
        self.reset = self.reset or tls.broken

    def _receive_raw_blocking(self) -> bytes:
        while True:
            try:
                return self._socket.recv(CHUNK)
            except (BlockingIOError, InterruptedError):
                self._wait(self._watch_reads())

    def _write_raw(self, data: bytes = b"") -> None:
        """Write what is pending, then ``data``; queue what the kernel does not take."""
        if self._pending:
            data = self._pending + data if data else self._pending
            self._pending = b""
        if self._outbox:
            self._outbox += data
            self.queued = len(self._outbox)
            return
        if self.write_failed or not data:
            return
        try:
            taken = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            taken = 0
        except OSError:
            self._fail_writing()
            return
        self.progress += taken
        if taken < len(data):
            self._outbox += memoryview(data)[taken:]
            self.queued = len(self._outbox)
            watcher = self._watch_writes()
            if not watcher.active:
                watcher.start(self._writable)

    def _writable(self) -> None:
        """The write watcher's callback."""
        self._write()
        if self._mark and not self.marked_waits:
            self._mark = 0
            self._passed()
        if not self._outbox:
            if self._write_watcher is not None:
                self._write_watcher.stop()
            self._drained()

    def _write(self) -> None:
        try:
            with memoryview(self._outbox) as view:
                taken = self._socket.send(view[: 4 * CHUNK])
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._fail_writing()
            return
        self.progress += taken
        del self._outbox[:taken]
        self.queued = len(self._outbox)

    def _fail_writing(self) -> None:
        """It ends nothing by itself: the peer may have said why before it went, which is read now."""
        self.write_failed = True
        self._pending = b""
        self._outbox.clear()
        self.queued = 0
        if self._deliver is not _to_no_owner and not self._armed and not self._closed:
            self.active_once()

    def _watch_reads(self) -> Any:
        if self._read_watcher is None:
            self._read_watcher = self._hub.loop.io(self._socket.fileno(), _READ)
        return self._read_watcher

    def _watch_writes(self) -> Any:
        if self._write_watcher is None:
            self._write_watcher = self._hub.loop.io(self._socket.fileno(), _WRITE)
        return self._write_watcher

    def _wait(self, watcher: Any) -> None:
        self._hub.wait(watcher)
