"""Decides which framing a client's stream header speaks, and whether the header may open a stream.

RFC 7395 section 3.4; for legacy framing, RFC 6120 section 4.2. The first header decides for the session.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from wsgw.errors import SessionError, causes
from wsgw.stanzas.parser import STREAM, not_well_formed, split_name
from wsgw.stanzas.start_tag import Opening, parse_opening
from wsgw.xmpp.domain import is_domain
from wsgw.xmpp.framing import OPEN, Framing, LegacyFraming, Rfc7395Framing

#: The most attributes and declarations of a client's header: in legacy framing each element inherits them.
MAX_HEADER_ATTRIBUTES = 256

#: A tag with the local name ``stream``. In a well-formed element it finds the same name as a parser.
_STREAM_TAG = re.compile(rb"<(?:[^\s/>:]+:)?stream(?=[\s/>]|$)")
#: The opening of a session before its client's header.
NO_OPENING = Opening("", "stream", (), (), b"", closed=False)


def choose_framing(opening: Opening) -> Framing:
    """Return the framing of a client, from the ``opening`` in its first message.

    Raises SessionError as ``require_opening`` does, and ``not-well-formed`` for an ``<open>`` left open.
    """
    require_opening(opening.name)
    if opening.name == OPEN:
        if not opening.closed:
            raise not_well_formed("a message is exactly one element")
        return Rfc7395Framing(opening)
    return LegacyFraming(opening)


def framing_of_refusal(text: bytes) -> Framing:
    """Return the framing of the error that refuses ``text``, a client's first message."""
    return LegacyFraming(NO_OPENING) if _STREAM_TAG.match(text) else Rfc7395Framing(NO_OPENING)


def read_opening(text: bytes, judge: Callable[[str], None] | None = None) -> Opening:
    """Read a client's header as ``parse_opening`` does.

    Raises SessionError as ``parse_opening`` does, and for more than ``MAX_HEADER_ATTRIBUTES`` attributes
    and declarations.
    """
    opening = parse_opening(text, judge)
    if len(opening.attributes + opening.namespaces) > MAX_HEADER_ATTRIBUTES:
        raise SessionError(causes.MANY_ATTRIBUTES)
    return opening


def require_same_host(opening: Opening, first: Opening, domain: str) -> None:
    """Check that ``opening``, a later header of a session, is for the same ``domain`` as its ``first`` one.

    A session has one upstream connection, to the server of ``domain`` (normalised). Raises SessionError
    ``host-unknown`` for a ``to`` of any other domain.
    """
    to = opening.attribute("to")
    if to is not None and to != first.attribute("to") and not is_domain(to, domain):
        raise SessionError(causes.OTHER_HOST)


def require_opening(name: str) -> None:
    """Check that an element with this expanded name opens a stream.

    Raises SessionError ``invalid-namespace`` for ``open`` or ``stream`` in any other namespace (RFC 6120
    section 4.9.3.10), ``bad-format`` for all other names (section 4.9.3.1).
    """
    if name in (OPEN, STREAM):
        return
    if split_name(name)[1] in ("open", "stream"):
        raise SessionError(causes.OTHER_NAMESPACE)
    raise SessionError(causes.NO_OPENING)
