"""Edits the features that a server offers, for the client (RFC 6120 section 4.3.2).

The features that the WebSocket provides itself (TLS, compression) are removed from the server's own bytes,
and a size limit is lowered to that of wsgw. A feature that fails through a gateway is logged as a warning.
"""

from __future__ import annotations

import logging
from functools import lru_cache

from wsgw.errors import Farewell, UpstreamFailed, causes
from wsgw.stanzas.element import Element, read_element
from wsgw.stanzas.parser import STREAMS, WHITESPACE, expanded_name
from wsgw.stanzas.worker_state import warned

log = logging.getLogger("wsgw.xmpp_framing")
#: For the error that ends a session: it is the logger of the session's machine.
_session_log = logging.getLogger("wsgw.websocket_xmpp")

FEATURES = expanded_name(STREAMS, "features")
_TLS = "urn:ietf:params:xml:ns:xmpp-tls"
#: The answer to a request for TLS, and the feature that offers it (RFC 6120 section 5.4).
STARTTLS_PROCEED = expanded_name(_TLS, "proceed")
STARTTLS = expanded_name(_TLS, "starttls")
_REQUIRED = expanded_name(_TLS, "required")
_COMPRESSION = expanded_name("http://jabber.org/features/compress", "compression")
_LIMITS = expanded_name("urn:xmpp:stream-limits:0", "limits")
_MAX_BYTES = expanded_name("urn:xmpp:stream-limits:0", "max-bytes")
#: A number with more digits is above every limit; Python converts at most 4300 digits.
_MAX_DIGITS = 20
#: The feature of XEP-0440, and the elements that list mechanisms (RFC 6120 section 6.4.1, XEP-0388).
_CHANNEL_BINDING = expanded_name("urn:xmpp:sasl-cb:0", "sasl-channel-binding")
_MECHANISMS = (
    expanded_name("urn:ietf:params:xml:ns:xmpp-sasl", "mechanism"),
    expanded_name("urn:xmpp:sasl:2", "mechanism"),
)
#: Bytes of features up to which the result is cached: a server offers the same features to all its clients.
_REMEMBERED = 8 * 1024


def pass_on(root: bytes, features: bytes, max_stanza_size: int, domain: str) -> bytes:
    """Return the features for a client of ``domain``; log an error or a warning for those that will fail.

    The arguments are those of ``for_client``. Raises UpstreamFailed if the server requires STARTTLS, and
    StreamError if the features cost too much to read.
    """
    binds_channel = offers_channel_binding(root, features)
    features, requires_starttls = for_client(root, features, max_stanza_size)
    if requires_starttls:
        _session_log.error("%s: the XMPP server requires STARTTLS; write its upstream as starttls://", domain)
        raise UpstreamFailed(causes.UPSTREAM_WANTS_TLS, Farewell.END)
    if binds_channel:
        warn_of_channel_binding(domain)
    return features


def for_client(root: bytes, features: bytes, max_stanza_size: int) -> tuple[bytes, bool]:
    """Return the features without STARTTLS and compression, and whether the server requires STARTTLS.

    ``root`` is a start tag with the bindings that ``features`` relies on. TLS and compression towards the
    browser belong to the WebSocket (RFC 7395 section 3.9). A size limit that the server announces
    (XEP-0478) is lowered to ``max_stanza_size`` bytes; all other bytes stay. Raises StreamError if the
    features cost too much to read.
    """
    read = _remembered_element if len(features) <= _REMEMBERED else read_element
    requires_starttls = False
    for child in reversed(read(root, features).children):
        if child.name in (STARTTLS, _COMPRESSION):
            if child.name == STARTTLS:
                requires_starttls |= any(inner.name == _REQUIRED for inner in child.children)
            features = features[: child.start] + features[child.end :]
        elif child.name == _LIMITS:
            features = _lowered(features, child, max_stanza_size)
    return features, requires_starttls


def _lowered(features: bytes, limits: Element, size: int) -> bytes:
    """Return the features with the number of bytes in their ``limits`` (XEP-0478) lowered to ``size``."""
    for child in reversed(limits.children):
        number = child.text.strip()
        if child.name == _MAX_BYTES and _is_above(number, size):
            start, end = child.content(features)
            written, ours = features[start:end], str(size).encode()
            plain = written.strip(WHITESPACE) == number.encode()  # or it has references, CDATA, children
            features = (
                features[:start]
                + (written.replace(number.encode(), ours) if plain else ours)
                + features[end:]
            )
    return features


def _is_above(number: str, size: int) -> bool:
    if not (number.isascii() and number.isdigit()):
        return False
    significant = number.lstrip("0")
    return len(significant) > _MAX_DIGITS or int(significant or "0") > size


def offers_channel_binding(root: bytes, features: bytes) -> bool:
    """Whether features offer to bind the login to the server's own TLS (RFC 5802, XEP-0440).

    ``root`` is a start tag with the bindings that ``features`` relies on. Raises StreamError if the features
    cost too much to read.
    """
    look = _remembered_binding if len(features) <= _REMEMBERED else _offers_channel_binding
    return look(root, features)


def _offers_channel_binding(root: bytes, features: bytes) -> bool:
    offered = read_element(root, features).children
    inside = (inner for child in offered for inner in child.children)
    return any(map(_binds_channel, offered)) or any(map(_binds_channel, inside))


def _binds_channel(feature: Element) -> bool:
    if feature.name == _CHANNEL_BINDING:
        return True
    return feature.name in _MECHANISMS and feature.text.strip().endswith("-PLUS")


def warn_of_channel_binding(domain: str) -> None:
    """Log a warning, once for each domain and worker.

    The lists are forwarded unedited, because clients and servers compare them (XEP-0474).
    """
    if warned.first_time("channel binding", domain):
        log.warning(
            "%s: the XMPP server offers channel binding, which binds to its own TLS and fails through"
            " a gateway: switch off its SCRAM-...-PLUS mechanisms and <sasl-channel-binding/>,"
            " or reach it at a plain tcp:// upstream on loopback",
            domain,
        )


_remembered_element = lru_cache(maxsize=16)(read_element)
_remembered_binding = lru_cache(maxsize=16)(_offers_channel_binding)
