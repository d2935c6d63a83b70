"""Every error wsgw raises on purpose; each carries the reply it deserves.

WsgwError
 ├── ConfigError            what `check` prints: every problem of the file, exit 2
 ├── HandshakeRefused       HTTP status and reason phrase
 │    ├── PlainRequest      200 and a text
 │    └── PageAnswer        a page of the listener, or why there is none
 ├── WebSocketViolation     a Close code (RFC 6455 section 7.4); the XMPP server gets a FIN
 │    ├── InvalidText       1007; the stream ends with an error
 │    └── MessageTooBig     1009; the stream ends with an error
 └── StreamError            a stream error (RFC 6120 section 4.9)
      └── SessionError      and a Close code: wsgw ends the session
           └── UpstreamFailed    the XMPP server is unreachable, lost or unusable

causes    the table of the causes that end sessions
refusals  the table of the causes for which connections are refused
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

from wsgw.errors.causes import BAD_WEBSOCKET, LARGE_STANZA, NOT_UTF8, Cause, Ending
from wsgw.errors.refusals import HANDSHAKE, PLAIN_REQUEST, Refusal


class CloseCode(IntEnum):
    """The Close codes that wsgw sends itself (RFC 6455 section 7.4.1 and its IANA registry)."""

    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012


class Farewell(Enum):
    """The last bytes that the XMPP server gets: they decide whether the session can be resumed (XEP-0198)."""

    #: A bare FIN: the server keeps the session for resumption.
    FIN = "fin"
    #: The closing stream tag, then FIN: the session is over.
    END = "end"
    #: A stream error and the closing tag: the session is over, and the server knows why.
    ERROR = "error"


class WsgwError(Exception):
    """The base of all errors that wsgw raises on purpose."""


@dataclass(frozen=True, slots=True, order=True)
class ConfigProblem:
    """One mistake in a configuration file."""

    file: str
    #: From 1 on; 0 if the mistake belongs to no line.
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"


class ConfigError(WsgwError):
    """A configuration that cannot be used; ``problems`` holds every mistake found, in file order."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class HandshakeRefused(WsgwError):
    """An upgrade request is refused with ``status`` and the reason ``phrase``.

    ``headers`` holds (name, value) for the response, ``body`` its text or bytes, ``hint`` a text for the log.
    ``cause`` is for the counter.
    """

    def __init__(
        self,
        status: int,
        phrase: str,
        headers: Sequence[tuple[str, str]] = (),
        cause: Refusal = HANDSHAKE,
        *,
        body: str | bytes = "",
        hint: str = "",
    ) -> None:
        super().__init__(f"{status} {phrase}")
        self.status = status
        self.phrase = phrase
        self.headers = tuple(headers)
        self.cause = cause
        self.body = body
        self.hint = hint


class PlainRequest(HandshakeRefused):
    """A GET or HEAD of the WebSocket's path that asks for no WebSocket: answered with a text (200)."""

    def __init__(self, body: str) -> None:
        super().__init__(200, "OK", [("Cache-Control", "no-store")], PLAIN_REQUEST, body=body)


class PageAnswer(HandshakeRefused):
    """The answer to a request for a page of the listener: the page, or the reason why there is none."""

    def __init__(
        self,
        cause: Refusal,
        status: int,
        phrase: str,
        headers: Sequence[tuple[str, str]] = (),
        body: str | bytes = "",
    ) -> None:
        super().__init__(status, phrase, headers, cause, body=body)


class WebSocketViolation(WsgwError):
    """The browser broke RFC 6455, or sent a message that wsgw does not accept: Close with ``code``.

    ``reason`` is a text for the log; ``ending`` is the cause of the session's end, by default
    ``BAD_WEBSOCKET``.
    """

    def __init__(self, code: int, reason: str, ending: Ending | None = None) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason
        self.ending = ending or Ending(BAD_WEBSOCKET, str(self))


class InvalidText(WebSocketViolation):
    """A text message is not UTF-8 (RFC 6455 section 8.1)."""

    def __init__(self) -> None:
        ending = Ending(NOT_UTF8)
        super().__init__(CloseCode.INVALID_PAYLOAD, ending.text, ending)


class MessageTooBig(WebSocketViolation):
    """A message is above ``limit`` bytes (RFC 6455 section 10.4); raised as soon as its header is read."""

    def __init__(self, limit: int) -> None:
        ending = Ending(LARGE_STANZA, str(limit))
        super().__init__(CloseCode.MESSAGE_TOO_BIG, ending.text, ending)


class StreamError(WsgwError):
    """A stream error: its ``condition`` (RFC 6120 section 4.9.3), and a ``text`` for people.

    The text never contains bytes of a stanza.
    """

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(f"{condition}: {text}")
        self.condition = condition
        self.text = text


class SessionError(StreamError):
    """The session ends for ``cause``, with the cause's stream error and the Close code ``code``.

    The stream error has the text of the cause, with ``detail`` inserted. ``farewell`` is for the XMPP server.
    """

    def __init__(
        self,
        cause: Cause,
        detail: str = "",
        *,
        code: int = CloseCode.POLICY_VIOLATION,
        farewell: Farewell = Farewell.ERROR,
    ) -> None:
        self.ending = Ending(cause, detail)
        super().__init__(cause.condition, self.ending.text)
        self.code = code
        self.farewell = farewell


class UpstreamFailed(SessionError):
    """There is no usable connection to the XMPP server; the browser gets ``remote-connection-failed``."""

    def __init__(self, cause: Cause, farewell: Farewell = Farewell.FIN) -> None:
        super().__init__(cause, code=CloseCode.INTERNAL_ERROR, farewell=farewell)
