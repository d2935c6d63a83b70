"""The begin of an XMPP stream over an open WebSocket (RFC 7395 section 3.3): ``<open/>`` and the features."""

from __future__ import annotations

from contextlib import closing, suppress
from time import monotonic
from typing import NamedTuple

from wsgw.doctor.reach import at_most
from wsgw.probe.session import Rfc7395, Session, StreamFailed
from wsgw.probe.websocket_client import WebSocketClient, WebSocketFailed

#: Seconds for the server's ``<open/>`` and its features.
TIMEOUT = 15.0
#: Seconds for the server's ``<close/>`` and its Close frame, which decide nothing.
LEAVING = 2.0


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
            _session(client, domain).open()
    except StreamFailed as error:
        return Answer(condition=error.condition)
    except TimeoutError:
        return Answer(silent=True)
    except (ValueError, WebSocketFailed, OSError) as error:
        return Answer(fault=str(error))
    return Answer(seconds=monotonic() - began)


def close_stream(client: WebSocketClient, seconds: float = LEAVING) -> bool:
    """Close the stream and the WebSocket; whether the server has taken part in it within ``seconds``."""
    with suppress(ValueError, WebSocketFailed, OSError), closing(client), at_most(seconds):
        _session(client, "").leave()
        return True
    return False


def _session(client: WebSocketClient, domain: str) -> Session:
    """A session that never logs in."""
    return Session(client, ("", ""), domain, Rfc7395())
