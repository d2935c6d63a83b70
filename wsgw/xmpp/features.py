"""Edits the features that a server offers, for the client (RFC 6120 section 4.3.2).

The features that the WebSocket provides itself (TLS, compression) are removed from the server's own bytes,
and the limits of wsgw are announced (XEP-0478). All other bytes stay. A feature that fails through a gateway
is logged as a warning.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from functools import lru_cache

from wsgw.errors import Farewell, UpstreamFailed, causes
from wsgw.stanzas.element import Element, read_element
from wsgw.stanzas.parser import STREAMS, expanded_name
from wsgw.stanzas.worker_state import warned
from wsgw.xmpp.stream_limits import LIMITS, StreamLimits, added, lowered

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
#: The feature of XEP-0440, and the elements that list mechanisms (RFC 6120 section 6.4.1, XEP-0388 and 0484).
_CHANNEL_BINDING = expanded_name("urn:xmpp:sasl-cb:0", "sasl-channel-binding")
_MECHANISMS = (
    expanded_name("urn:ietf:params:xml:ns:xmpp-sasl", "mechanism"),
    expanded_name("urn:xmpp:sasl:2", "mechanism"),
    expanded_name("urn:xmpp:fast:0", "mechanism"),
)
#: The mechanisms that bind to TLS: of SCRAM (RFC 5802 section 4), and of FAST's tokens (XEP-0484).
_BINDING_MECHANISM = re.compile(r".+-PLUS|HT-.+-(?:EXPR|UNIQ|ENDP)", re.DOTALL)
#: FAST's mechanisms are the deepest: in ``<fast/>`` in ``<inline/>`` in SASL2's ``<authentication/>``.
_LEVELS = 4
#: Bytes of features up to which the result is cached: a server offers the same features to all its clients.
_REMEMBERED = 8 * 1024


def pass_on(root: bytes, features: bytes, limits: StreamLimits, domain: str) -> bytes:
    """Return the features for a client of ``domain``; log an error or a warning for those that will fail.

    The arguments are those of ``for_client``. Raises UpstreamFailed if the server requires STARTTLS, and
    StreamError if the features cost too much to read.
    """
    binds_channel = offers_channel_binding(root, features)
    edit = _remembered_edit if len(features) <= _REMEMBERED else for_client
    features, requires_starttls = edit(root, features, limits)
    if requires_starttls:
        _session_log.error("%s: the XMPP server requires STARTTLS; write its upstream as starttls://", domain)
        raise UpstreamFailed(causes.UPSTREAM_WANTS_TLS, Farewell.END)
    if binds_channel:
        warn_of_channel_binding(domain)
    return features


def for_client(root: bytes, features: bytes, limits: StreamLimits) -> tuple[bytes, bool]:
    """Return the features without STARTTLS and compression, and whether the server requires STARTTLS.

    ``root`` is a start tag with the bindings that ``features`` relies on. TLS and compression towards the
    browser belong to the WebSocket (RFC 7395 section 3.9). ``limits`` are announced (XEP-0478): limits of the
    server are lowered to them, and those that it does not announce are added. All other bytes stay. Raises
    StreamError if the features cost too much to read.
    """
    element = read_element(root, features)
    requires_starttls = False
    if all(child.name != LIMITS for child in element.children):
        features = added(features, element, limits)
    for child in reversed(element.children):  # from the end: the positions before an edit stay true
        if child.name in (STARTTLS, _COMPRESSION):
            if child.name == STARTTLS:
                requires_starttls |= any(inner.name == _REQUIRED for inner in child.children)
            features = features[: child.start] + features[child.end :]
        elif child.name == LIMITS:
            features = lowered(features, child, limits)
    return features, requires_starttls


def offers_channel_binding(root: bytes, features: bytes) -> bool:
    """Whether features offer to bind the login to the server's own TLS (RFC 5802, XEP-0440).

    ``root`` is a start tag with the bindings that ``features`` relies on. Raises StreamError if the features
    cost too much to read.
    """
    look = _remembered_binding if len(features) <= _REMEMBERED else _offers_channel_binding
    return look(root, features)


def _offers_channel_binding(root: bytes, features: bytes) -> bool:
    return any(map(_binds_channel, _below(read_element(root, features, _LEVELS))))


def _below(element: Element) -> Iterator[Element]:
    for child in element.children:
        yield child
        yield from _below(child)


def _binds_channel(feature: Element) -> bool:
    if feature.name == _CHANNEL_BINDING:
        return True
    return feature.name in _MECHANISMS and _BINDING_MECHANISM.fullmatch(feature.text.strip()) is not None


def warn_of_channel_binding(domain: str) -> None:
    """Log a warning, once for each domain and worker.

    The lists are forwarded unedited, because clients and servers compare them (XEP-0474).
    """
    if warned.first_time("channel binding", domain):
        log.warning(
            "%s: the XMPP server offers channel binding, which binds to its own TLS and fails through"
            " a gateway: switch off its mechanisms SCRAM-...-PLUS and HT-...-EXPR, -UNIQ and -ENDP (FAST) and"
            " <sasl-channel-binding/>, or reach it at a plain tcp:// upstream on loopback",
            domain,
        )


_remembered_edit = lru_cache(maxsize=16)(for_client)
_remembered_binding = lru_cache(maxsize=16)(_offers_channel_binding)
