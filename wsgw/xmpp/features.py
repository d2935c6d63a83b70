"""The features that a server offers, as a browser gets them (RFC 6120 section 4.3.2).

What the WebSocket does itself is taken out of the server's own bytes, and a size limit is lowered to the
gateway's. What a server offers that fails through a gateway is warned of.
"""

from __future__ import annotations

import logging
from functools import lru_cache

from wsgw.errors import Farewell, UpstreamFailed, causes
from wsgw.stanzas.element import Element, read_element
from wsgw.stanzas.parser import STREAMS, WHITESPACE, expanded_name
from wsgw.stanzas.worker_state import warned

log = logging.getLogger("wsgw.websocket_xmpp")

FEATURES = expanded_name(STREAMS, "features")
_TLS = "urn:ietf:params:xml:ns:xmpp-tls"
#: What features hold when TLS is offered, and the answer to asking for it (RFC 6120 section 5.4).
STARTTLS_PROCEED = expanded_name(_TLS, "proceed")
STARTTLS = expanded_name(_TLS, "starttls")
_REQUIRED = expanded_name(_TLS, "required")
_COMPRESSION = expanded_name("http://jabber.org/features/compress", "compression")
_LIMITS = expanded_name("urn:xmpp:stream-limits:0", "limits")
_MAX_BYTES = expanded_name("urn:xmpp:stream-limits:0", "max-bytes")
#: More digits than that are a number above every limit; Python converts no more than 4300.
_MAX_DIGITS = 20
#: XEP-0440, and where mechanisms are listed (RFC 6120 section 6.4.1, XEP-0388).
_CHANNEL_BINDING = expanded_name("urn:xmpp:sasl-cb:0", "sasl-channel-binding")
_MECHANISMS = (
    expanded_name("urn:ietf:params:xml:ns:xmpp-sasl", "mechanism"),
    expanded_name("urn:xmpp:sasl:2", "mechanism"),
)
#: Bytes of features that are read once: a server offers the same to all, and login follows login.
_REMEMBERED = 8 * 1024


def pass_on(root: bytes, features: bytes, max_stanza_size: int, domain: str) -> bytes:
    """Return the features as a client of ``domain`` gets them; see ``for_client``.

    Raises UpstreamFailed if the server requires STARTTLS, StreamError if they take too much to be read.
    """
    binds_channel = offers_channel_binding(root, features)
    features, requires_starttls = for_client(root, features, max_stanza_size)
    if requires_starttls:
        log.error("%s: the XMPP server requires STARTTLS; write its upstream as starttls://", domain)
        raise UpstreamFailed(causes.UPSTREAM_WANTS_TLS, Farewell.END)
    if binds_channel:
        warn_of_channel_binding(domain)
    return features


def for_client(root: bytes, features: bytes, max_stanza_size: int) -> tuple[bytes, bool]:
    """Return the features without STARTTLS and compression, and whether the server requires STARTTLS.

    ``root`` is a start tag with the bindings that ``features`` relies on. TLS with the browser is the
    WebSocket's (RFC 7395 section 3.9), and so is compression. A size limit that the server announces
    (XEP-0478) is lowered to ``max_stanza_size`` bytes; nothing else is changed. Raises StreamError if the
    features take too much to be read.
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
    """The features with a number of bytes in their ``limits`` (XEP-0478) that is not above ``size``."""
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

    ``root`` is a start tag with the bindings that ``features`` relies on. Raises StreamError.
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
    """Once a domain and process. The lists pass unedited: clients and servers compare them (XEP-0474)."""
    if warned.first_time("channel binding", domain):
        log.warning(
            "%s: the XMPP server offers channel binding, which binds to its own TLS and fails through"
            " a gateway: switch off its SCRAM-...-PLUS mechanisms and <sasl-channel-binding/>,"
            " or reach it at a plain tcp:// upstream on loopback",
            domain,
        )


_remembered_element = lru_cache(maxsize=16)(read_element)
_remembered_binding = lru_cache(maxsize=16)(_offers_channel_binding)
