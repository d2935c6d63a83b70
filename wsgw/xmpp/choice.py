"""A client's stream header: which of the two framings it speaks, and whether it may open a stream.

RFC 7395 section 3.4; for the older framing, RFC 6120 section 4.2. The first header decides for the session.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from wsgw.errors import SessionError, causes
from wsgw.stanzas.parser import STREAM, not_well_formed, split_name
from wsgw.stanzas.start_tag import Opening, parse_opening
from wsgw.xmpp.domain import is_domain
from wsgw.xmpp.framing import OPEN, Framing, LegacyFraming, Rfc7395Framing

#: Attributes and declarations of a client's header: in legacy framing each element inherits its bindings.
MAX_HEADER_ATTRIBUTES = 256

#: In an element that is well-formed, or begins so, this finds what the parser finds.
_STREAM_TAG = re.compile(rb"<(?:[^\s/>:]+:)?stream(?=[\s/>]|$)")
#: Stands in before a client's header.
NO_OPENING = Opening("", "stream", (), (), b"", closed=False)


def choose_framing(opening: Opening) -> Framing:
    """Return the framing that a client's first message speaks.

    Raises SessionError as ``require_opening`` does, and ``not-well-formed`` for an ``<open>`` left open.
    """
    require_opening(opening.name)
    if opening.name == OPEN:
        if not opening.closed:
            raise not_well_formed("a message is exactly one element")
        return Rfc7395Framing(opening)
    return LegacyFraming(opening)


def framing_of_refusal(text: bytes) -> Framing:
    """Return the framing in which a client is told that its first message ``text`` is refused."""
    return LegacyFraming(NO_OPENING) if _STREAM_TAG.match(text) else Rfc7395Framing(NO_OPENING)


def read_opening(text: bytes, judge: Callable[[str], None] | None = None) -> Opening:
    """Read a client's header as ``parse_opening`` does.

    Raises SessionError, also for more than ``MAX_HEADER_ATTRIBUTES`` attributes and declarations.
    """
    opening = parse_opening(text, judge)
    if len(opening.attributes + opening.namespaces) > MAX_HEADER_ATTRIBUTES:
        raise SessionError(causes.MANY_ATTRIBUTES)
    return opening


def require_same_host(opening: Opening, first: Opening, domain: str) -> None:
    """Return if a new header on a connection, ``opening``, is for the server of the ``first`` one's domain.

    Raises SessionError ``host-unknown``.
    """
    to = opening.attribute("to")
    if to is not None and to != first.attribute("to") and not is_domain(to, domain):
        raise SessionError(causes.OTHER_HOST)


def require_opening(name: str) -> None:
    """Return if an element of this expanded name opens a stream.

    Raises SessionError ``invalid-namespace`` for an opening in a namespace that is neither framing's,
    ``bad-format`` for anything that opens no stream.
    """
    if name in (OPEN, STREAM):
        return
    if split_name(name)[1] in ("open", "stream"):
        raise SessionError(causes.OTHER_NAMESPACE)
    raise SessionError(causes.NO_OPENING)
