"""The begin of an XMPP stream over an open WebSocket (RFC 7395 section 3.3): ``<open/>`` and the features.

Like the probe it shares no codec with the gateway.
"""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import quoteattr

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from wsgw.doctor.reach import at_most
from wsgw.probe.websocket_client import WebSocketClient, WebSocketFailed

#: Seconds for the server's ``<open/>`` and its features.
TIMEOUT = 15.0
#: Seconds for the server's ``<close/>`` and its Close frame, which decide nothing.
LEAVING = 2.0
_FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
_STREAMS = "http://etherx.jabber.org/streams"
_OPEN, _CLOSE = f"{{{_FRAMING}}}open", f"{{{_FRAMING}}}close"
_ERROR, _FEATURES = f"{{{_STREAMS}}}error", f"{{{_STREAMS}}}features"


class Answer(NamedTuple):
    """The server's answer to ``<open/>``: one field at most says why the stream is not open."""

    #: The condition of a stream error (RFC 6120 section 4.9.3).
    condition: str = ""
    #: The other content that came in its place, as a clause.
    fault: str = ""
    #: Whether nothing came within ``TIMEOUT``.
    silent: bool = False
    #: Seconds until the features.
    seconds: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the features have arrived."""
        return not (self.condition or self.fault or self.silent)


def open_stream(client: WebSocketClient, domain: str) -> Answer:
    """Open a stream to ``domain`` and wait for the features."""
    began = monotonic()
    try:
        with at_most(TIMEOUT):
            client.send(f"<open xmlns='{_FRAMING}' to={quoteattr(domain)} version='1.0'/>")
            while True:
                element = fromstring(client.receive(), forbid_dtd=True)
                if element.tag == _FEATURES:
                    return Answer(seconds=monotonic() - began)
                if element.tag == _ERROR:
                    return Answer(condition=_condition(element))
                if element.tag != _OPEN:
                    return Answer(fault=f"<{element.tag.rpartition('}')[2]}/> came in place of the features")
    except TimeoutError:
        return Answer(silent=True)
    except (ParseError, DefusedXmlException, ValueError):
        return Answer(fault="a message came that is not one XML document")
    except (WebSocketFailed, OSError) as error:
        return Answer(fault=str(error))


def close_stream(client: WebSocketClient, seconds: float = LEAVING) -> bool:
    """Close the stream and the WebSocket; whether the server has taken part in it within ``seconds``."""
    try:
        with at_most(seconds):
            client.send(f"<close xmlns='{_FRAMING}'/>")
            while fromstring(client.receive(), forbid_dtd=True).tag != _CLOSE:
                pass
            client.finish()
    except (ParseError, DefusedXmlException, ValueError, WebSocketFailed, OSError):
        return False
    finally:
        client.close()
    return True


def _condition(error: Element) -> str:
    return next((child.tag.rpartition("}")[2] for child in error), "undefined-condition")
