"""Requests as a browser makes them from a page of another origin (CORS): HTTPS only, with redirects."""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from gevent import socket, ssl

from wsgw.probe.websocket_client import reader_of

#: The origin of the page that asks. Not a name of DNS (RFC 6761 section 6.4).
ORIGIN = "https://wsgw-doctor.invalid"
_HEADERS = {"Accept": "*/*", "Origin": ORIGIN, "User-Agent": "wsgw doctor"}
_MAX_BODY = 256 * 1024
_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)


class Page(NamedTuple):
    """The answer to a request for ``url``."""

    url: str
    status: int
    #: (lower-case name, value) in order.
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        """The values of every header line called ``name`` (lower-case)."""
        return [value for key, value in self.headers if key == name]

    @property
    def redirect(self) -> str:
        """The URL to which this answer sends the client; empty if to none, or to one that is no URL."""
        places = self.values("location")
        try:
            found = urljoin(self.url, places[0]) if self.status in _REDIRECTS and places else ""
            return found if urlsplit(found).port != 0 else ""
        except ValueError:
            return ""

    @property
    def media_type(self) -> str:
        """The type of the body, without parameters, in lower case."""
        return ", ".join(self.values("content-type")).partition(";")[0].strip().lower()


class _Response(HTTPResponse):
    """An answer on whose end or length the reader does not depend: its timeout counts in any case."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.fp.close()
        self.fp = reader_of(sock)


class RequestFailed(Exception):
    """A server's answer is not one of HTTP, or too long; the message says which, as a clause."""


Connect = Callable[[str, int], socket.socket]


def get(url: str, connect: Connect, context: ssl.SSLContext) -> list[Page]:
    """Ask for ``url`` and follow redirects; returns all answers, the last one last.

    A redirect to another scheme is not followed, nor more than five. ``connect`` opens the connection to a
    host and port. Raises OSError, RequestFailed and what ``connect`` raises.
    """
    pages = [_get_one(url, connect, context)]
    while urlsplit(pages[-1].redirect).scheme == "https" and len(pages) <= _MAX_REDIRECTS:
        pages.append(_get_one(pages[-1].redirect, connect, context))
    return pages


def _get_one(url: str, connect: Connect, context: ssl.SSLContext) -> Page:
    parts = urlsplit(url)
    if parts.hostname is None:
        raise RequestFailed(f"redirects to {url}, which names no host")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    plain = connect(parts.hostname, parts.port or 443)
    try:
        with plain, context.wrap_socket(plain, server_hostname=parts.hostname) as sock:
            connection = HTTPConnection(parts.netloc.rpartition("@")[2])
            connection.sock = sock
            connection.response_class = _Response
            connection.request("GET", target, headers=_HEADERS)
            return _read(url, connection.getresponse())
    except ssl.SSLError:  # a refused certificate is a ValueError too
        raise
    except (HTTPException, ValueError) as error:
        raise RequestFailed(f"does not answer in HTTP ({type(error).__name__})") from error


def _read(url: str, response: HTTPResponse) -> Page:
    body = response.read(_MAX_BODY + 1)
    if len(body) > _MAX_BODY:
        raise RequestFailed(f"answers with more than {_MAX_BODY // 1024} KiB")
    headers = tuple((name.lower(), value) for name, value in response.getheaders())
    return Page(url, response.status, headers, body)
