"""The channel between the parent and a worker: messages of a word, a Python object and sockets.

A socket pair that keeps messages whole; its end says that the other process is gone. Both ends are
ours, so pickle is safe here. What may be large travels in a memory file beside the message.
"""

from __future__ import annotations

import array
import os
import pickle
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

#: Descriptors in one message: the kernel's limit is 253.
_MOST_DESCRIPTORS = 250
_MOST_BYTES = 256
_INT = array.array("i").itemsize


class Message(NamedTuple):
    """``word`` says what it is about."""

    word: str
    body: Any
    #: Listening sockets, ours to close.
    sockets: list[socket.socket]


class Channel:
    """One end. Sending and receiving never block."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """The two ends of a new channel."""
        first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(first), cls(second)

    def fileno(self) -> int:
        """The descriptor, for those who wait."""
        return self._socket.fileno()

    def send(self, word: str, body: object = None, sockets: Sequence[socket.socket] = ()) -> bool:
        """Send a message; False if the other side is gone, or does not read.

        Raises ValueError for more sockets than the kernel sends at a time.
        """
        if len(sockets) >= _MOST_DESCRIPTORS:
            raise ValueError(f"more than {_MOST_DESCRIPTORS - 1} listeners")
        with os.fdopen(os.memfd_create("message"), "wb") as memory:
            pickle.dump(body, memory)
            memory.flush()
            descriptors = [memory.fileno(), *(sock.fileno() for sock in sockets)]
            try:
                socket.send_fds(self._socket, [word.encode("ascii")], descriptors)
            except OSError:
                return False
        return True

    def receive(self) -> Message | None:
        """The next message, None if there is none now. Raises EOFError when the other side is gone."""
        size = socket.CMSG_SPACE(_MOST_DESCRIPTORS * _INT)
        try:
            word, control, _, _ = self._socket.recvmsg(_MOST_BYTES, size, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except OSError as error:
            raise EOFError from error
        if not word:
            raise EOFError
        descriptors = array.array("i")
        for _level, _kind, data in control:
            descriptors.frombytes(data[: len(data) - len(data) % _INT])
        memory, *rest = descriptors
        with os.fdopen(memory, "rb") as file:
            file.seek(0)
            body = pickle.load(file)
        return Message(word.decode("ascii"), body, [socket.socket(fileno=fd) for fd in rest])

    def close(self) -> None:
        """Let the other side see the end."""
        self._socket.close()
