"""The channel between the parent and a worker: messages of a word, bytes and, to a worker, sockets.

A socket pair that keeps messages whole; its end says that the other process is gone. What is large
travels in a memory file beside the message. A worker is what peers talk to, and may be less than its
parent: nothing but short messages is taken from it, and what they hold is for the parent to check.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

#: Descriptors in one message: the kernel's limit is 253.
_MOST_DESCRIPTORS = 250
#: What a message holds itself, in bytes; less than half of what the kernel keeps for who has not read it.
_MOST_BYTES = 65_536
_INT = array.array("i").itemsize
#: After the word: the body follows, or is in the first descriptor.
_HERE, _IN_MEMORY = b"\n", b"\0"


class Message(NamedTuple):
    """``word`` says what it is about."""

    word: str
    body: bytes
    #: Listening sockets, ours to close.
    sockets: list[socket.socket]


class Channel:
    """One end. Sending and receiving never block."""

    def __init__(self, sock: socket.socket, *, descriptors: bool = False) -> None:
        """With ``descriptors`` it takes what comes beside messages."""
        sock.setblocking(False)
        self._socket = sock
        self._control_size = socket.CMSG_SPACE(_MOST_DESCRIPTORS * _INT) if descriptors else 0

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """The two ends of a new channel; the second one takes descriptors. Raises OSError."""
        first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(first), cls(second, descriptors=True)

    def fileno(self) -> int:
        """The descriptor, for those who wait."""
        return self._socket.fileno()

    def send(self, word: str, body: bytes = b"", sockets: Sequence[socket.socket] = ()) -> bool:
        """Send a message; False if the other side does not read. That it is gone is seen by receiving.

        Raises ValueError for more sockets than the kernel sends at a time, and OSError if there is no
        memory file to be had for a large body.
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
        """The next message, None if there is none now.

        Raises EOFError when the other side is gone, or has sent what is not taken from it; and OSError if
        there is no room for the descriptors of a message, which is lost then.
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
        """Let the other side see the end."""
        self._socket.close()
