"""The functions of the extension, as Python sees them.

Each takes input that is wholly common, and says where it stopped; the caller reads the other bytes. ``size``,
``levels`` and ``attributes`` are the bounds of a common stanza (``stanzas.fast_path.Bounds``). A place is an
index in ``data``.
"""

from __future__ import annotations

from typing import Protocol


class Functions(Protocol):
    """The module ``_core``."""

    def unmask(self, payload: bytes, mask: bytes, /) -> bytes:
        """Return ``payload`` XOR the repeated ``mask`` of 4 bytes (RFC 6455 section 5.3)."""

    def text_frame(self, data: bytes, start: int, max_size: int, /) -> tuple[bytes, int] | None:
        """Read the frame at the place ``start`` as ``pure.text_frame``, of any size up to ``max_size``."""

    def kind_of(self, text: bytes, inherits: bool, size: int, levels: int, attributes: int, /) -> int:
        """Return the kind of ``text`` if it is one common stanza, a number of ``stanza.h``; otherwise -1.

        With ``inherits``, stanzas may inherit the namespace ``jabber:client``.
        """

    def take_stanzas(
        self,
        data: bytes,
        events: list[tuple[str, bytes]],
        names: tuple[str, ...],
        inherits: bool,
        size: int,
        levels: int,
        attributes: int,
        /,
    ) -> int:
        """Append (name, bytes) of each common stanza at the start of ``data`` to ``events``.

        ``names`` has the name of each kind. White space between stanzas is skipped. Returns the place of the
        first byte that was not taken.
        """

    def stanzas_of_frames(
        self, data: bytes, start: int, max_size: int, size: int, levels: int, attributes: int, /
    ) -> tuple[bytes, int, int, int]:
        """Read frames from the place ``start`` on, as long as each holds one common stanza and no more.

        Each declares its namespace, and has at most ``max_size`` bytes. Returns the payloads together, their
        number, the number of messages, presences and iqs among them, and the place of the first byte that
        was not taken.
        """

    def frames_of_stanzas(
        self, data: bytes, declaration: bytes, inherits: bool, size: int, levels: int, attributes: int, /
    ) -> tuple[bytes, int, int, int]:
        """Make a text frame of each common stanza at the start of ``data``.

        It has ``declaration`` after the name in its first tag, unless that declares the namespace. White
        space between stanzas is skipped. Returns the frames together, their number, the number of messages,
        presences and iqs among them, and the place of the first byte that was not taken.
        """
