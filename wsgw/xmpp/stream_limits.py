"""Announces the limits of wsgw in the server's features (XEP-0478), with as few edits as possible.

Of a limit that the server announces too, the lower number counts. The state machines enforce the limits:
``websocket_frame`` the size, ``websocket_session`` the idle time.
"""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

from wsgw.stanzas.element import Element
from wsgw.stanzas.parser import ELEMENT_NAME, WHITESPACE, end_of_tag, expanded_name, split_name

_NAMESPACE = "urn:xmpp:stream-limits:0"
#: The feature.
LIMITS = expanded_name(_NAMESPACE, "limits")
_MAX_BYTES = expanded_name(_NAMESPACE, "max-bytes")
_IDLE_SECONDS = expanded_name(_NAMESPACE, "idle-seconds")
#: A number with more digits is above every limit; Python converts at most 4300 digits.
_MAX_DIGITS = 20


class StreamLimits(NamedTuple):
    """The limits of a client (XEP-0478). A limit without end is not announced."""

    #: Bytes of one element of the client; ``sys.maxsize`` for no limit.
    max_bytes: int
    #: Seconds without any byte of the client after which wsgw disconnects it; ``math.inf`` for no limit.
    idle_seconds: float

    def announced(self) -> dict[str, int]:
        """Return each limit that is announced, by the expanded name of its element."""
        numbers = {}
        if self.max_bytes < sys.maxsize:
            numbers[_MAX_BYTES] = self.max_bytes
        if self.idle_seconds < math.inf:
            numbers[_IDLE_SECONDS] = int(self.idle_seconds)
        return numbers


def added(features: bytes, element: Element, limits: StreamLimits) -> bytes:
    """Return ``features``, which have no ``<limits/>``, with ``limits`` at the end of their content.

    ``element`` is what ``read_element`` has read from them.
    """
    announced = _written(limits.announced())
    if not announced:
        return features
    return _appended(features, element, b"<limits xmlns='%s'>%s</limits>" % (_NAMESPACE.encode(), announced))


def lowered(features: bytes, element: Element, limits: StreamLimits) -> bytes:
    """Return ``features`` with the numbers in a ``<limits/>`` lowered to ``limits``, and missing ones added.

    ``element`` is that ``<limits/>``; no byte outside of it changes. A limit that is not a number stays.
    """
    ours, said = limits.announced(), {child.name for child in element.children}
    prefix = b"".join(_tag_name(features, element).rpartition(b":")[:2])  # it binds the children's names too
    missing = _written({name: number for name, number in ours.items() if name not in said}, prefix)
    if missing:
        features = _appended(features, element, missing)
    for child in reversed(element.children):
        number = child.text.strip()
        if child.name in ours and _is_above(number, ours[child.name]):
            features = _with_number(features, child, number.encode(), b"%d" % ours[child.name])
    return features


def _with_number(features: bytes, element: Element, number: bytes, ours: bytes) -> bytes:
    """Return the features with ``ours`` in place of ``number`` in one limit."""
    start, end = element.content(features)
    written = features[start:end]
    plain = written.strip(WHITESPACE) == number  # or it has references, CDATA, children
    return features[:start] + (written.replace(number, ours) if plain else ours) + features[end:]


def _written(limits: dict[str, int], prefix: bytes = b"") -> bytes:
    tags = ((prefix + split_name(name)[1].encode(), number) for name, number in limits.items())
    return b"".join(b"<%s>%d</%s>" % (tag, number, tag) for tag, number in tags)


def _tag_name(document: bytes, element: Element) -> bytes:
    match = ELEMENT_NAME.match(document, element.start)
    assert match is not None
    return match[0][1:]


def _appended(document: bytes, element: Element, content: bytes) -> bytes:
    """Return ``document`` with ``content`` at the end of the content of ``element``."""
    if end_of_tag(document, element.start) == element.end:  # an empty-element tag
        tag = document[element.start : element.end].removesuffix(b"/>")
        content = b"%s>%s</%s>" % (tag, content, _tag_name(document, element))
        return document[: element.start] + content + document[element.end :]
    _, end = element.content(document)
    return document[:end] + content + document[end:]


def _is_above(number: str, size: int) -> bool:
    if not (number.isascii() and number.isdigit()):
        return False
    significant = number.lstrip("0")
    return len(significant) > _MAX_DIGITS or int(significant or "0") > size
