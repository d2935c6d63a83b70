"""The channel between the parent and a worker: messages of a word, bytes and, to a worker, sockets.

It is a socket pair that keeps the borders of messages; when one process ends, the other reads the end of
the channel. A large body is in a memory file whose descriptor is sent along with the message. Workers talk
to peers and have fewer rights than the parent: from a worker only short messages are accepted, without
descriptors, and the parent checks their content.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

#: Descriptors in one message at most: the kernel's limit is 253.
_MOST_DESCRIPTORS = 250
#: Bytes of a message without a memory file: less than half of the kernel's buffer for unread messages.
_MOST_BYTES = 65_536
_INT = array.array("i").itemsize
#: The sign after the word: the body follows, or is in the memory file of the first descriptor.
_HERE, _IN_MEMORY = b"\n", b"\0"


class Message(NamedTuple):
    """``word`` is the command or the report; the meaning of ``body`` depends on it."""

    word: str
    body: bytes
    #: Listening sockets; the receiver owns and closes them.
    sockets: list[socket.socket]


class Channel:
    """One end of a channel. Sending and receiving never block."""

    def __init__(self, sock: socket.socket, *, descriptors: bool = False) -> None:
        """With ``descriptors`` this end accepts descriptors with messages."""
        sock.setblocking(False)
        self._socket = sock
        self._control_size = socket.CMSG_SPACE(_MOST_DESCRIPTORS * _INT) if descriptors else 0

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """The two ends of a new channel; only the second one accepts descriptors. Raises OSError."""
        first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(first), cls(second, descriptors=True)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._socket.fileno()

    def send(self, word: str, body: bytes = b"", sockets: Sequence[socket.socket] = ()) -> bool:
        """Send a message; returns False if the buffer is full because the other process does not read.

        If the other process is gone it returns True; ``receive`` then raises EOFError. Raises ValueError
        for more sockets than the kernel sends at a time, and OSError if a large body gets no memory file.
        """
        if len(sockets) >= _MOST_DESCRIPTORS:
            raise ValueError(f"more than {_MOST_DESCRIPTORS - 1} listeners")
        data, descriptors = word.encode("ascii") + _HERE + body, [sock.fileno() for sock in sockets]
        with ExitStack() as kept:
            if len(data) > _MOST_BYTES:
                memory = kept.enter_context(os.fdopen(os.memfd_create("message"), "wb"))
                memory.write(body)
                memory.flush()
                data, descriptors = word.encode("ascii") + _IN_MEMORY, [memory.fileno(), *descriptors]
            try:
                socket.send_fds(self._socket, [data], descriptors)
            except (BrokenPipeError, ConnectionResetError):
                return True
            except OSError:
                return False
        return True

    def receive(self) -> Message | None:
        """The next message; None if none has arrived.

        Raises EOFError if the other process is gone or has sent an invalid message. Raises OSError if
        this process has no room for the descriptors of a message; that message is lost.
        """
        try:
            data, control, flags, _ = self._socket.recvmsg(
                _MOST_BYTES, self._control_size, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except OSError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        descriptors = array.array("i")
        for _level, _kind, numbers in control:
            descriptors.frombytes(numbers[: len(numbers) - len(numbers) % _INT])
        if flags & socket.MSG_CTRUNC and self._control_size:
            for number in descriptors:
                os.close(number)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self._message(data, list(descriptors))

    def _message(self, data: bytes, descriptors: list[int]) -> Message:
        word, here, body = data.partition(_HERE)
        if not here:
            if not descriptors:
                raise EOFError
            word, memory = data.removesuffix(_IN_MEMORY), descriptors.pop(0)
            with os.fdopen(memory, "rb") as file:
                file.seek(0)
                body = file.read()
        return Message(
            word.decode("ascii", "replace"), body, [socket.socket(fileno=fd) for fd in descriptors]
        )

    def close(self) -> None:
        """Close this end; the other process reads the end of the channel."""
        self._socket.close()
