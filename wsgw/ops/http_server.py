"""The ``wsgw_admin`` listener: plain HTTP for the admin and the admin's programs.

Its pages show the gateway and change nothing. It serves one request per connection and few connections at
a time, with limits on the size of the head and on the time, so that a slow peer here costs users nothing.
A web page in the admin's browser must not reach it under a domain that the page's owner points to this
machine (DNS rebinding): on a loopback address, ``Host`` must be an IP address or ``localhost``.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable, Mapping
from http.client import HTTPException
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import gevent
from gevent import pywsgi
from gevent.pool import Pool

from wsgw.errors import HandshakeRefused
from wsgw.net.listen_sockets import Place
from wsgw.opening.head_reader import StrictHeadReader
from wsgw.pages.assets import Fields, security_fields
from wsgw.socket_async import SocketAsync

log = logging.getLogger("wsgw.ops.admin")

#: Connections at a time in each worker; further ones wait, or another worker accepts them.
MOST_CONNECTIONS = 4
#: Seconds for a whole request and its answer.
REQUEST_TIMEOUT = 10.0
#: Bytes of a request's head at most.
MAX_HEAD = 8192
#: Seconds that wsgw waits for the peer to take the answer and to close (``SocketAsync.linger``).
LINGER = 0.5

#: ``Host`` (RFC 9110 section 7.2): an IPv6 address in brackets or a name or IPv4 address, and a port.
_HOST = re.compile(r"(?:\[(?P<address>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::\d*)?", re.ASCII)
_WORDS = {
    200: "OK",
    304: "Not Modified",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    414: "URI Too Long",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Request(NamedTuple):
    """A request for one of the pages."""

    #: The parameters of the query; of several with one name the last.
    query: Mapping[str, str]
    if_none_match: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> Request:
        """The request with the WSGI environment ``environ``."""
        return cls(dict(parse_qsl(environ["QUERY_STRING"])), environ.get("HTTP_IF_NONE_MATCH", ""))


class Answer(NamedTuple):
    """The answer of a path; ``status`` is one of the HTTP statuses in ``_WORDS``."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    #: The header fields of a file that a browser may keep, with its media type, instead of ``content_type``.
    file_fields: Fields | None = None

    @classmethod
    def of_page(cls, markup: str) -> Answer:
        """A page."""
        return cls(200, markup.encode(), "text/html; charset=utf-8")

    @property
    def fields(self) -> Fields:
        """The header fields of this answer alone."""
        if self.file_fields is not None:
            return self.file_fields
        return [("Content-Type", self.content_type), ("Cache-Control", "no-store")]


#: Answers one path; each request calls it in a separate greenlet.
Page = Callable[[Request], Answer]
Pages = Mapping[str, Page]


class AdminServer(pywsgi.WSGIServer):
    """Serves ``pages`` on a listening socket, which other workers may accept from too."""

    def __init__(self, sock: socket.socket, place: Place, pages: Pages, answering: Pool) -> None:
        """``answering``: the pool of ``MOST_CONNECTIONS`` greenlets, shared by all servers of this worker."""
        super().__init__(sock, self._answer, spawn=answering, log=None, environ={"SERVER_NAME": place.ip})
        #: For the log.
        self.url = f"http://{place}/"
        self._pages = pages
        self._only_local_names = ip_address(place.ip).is_loopback

    def do_read(self) -> tuple[socket.socket, Any] | None:  # type: ignore[override]
        """Accept one connection as a plain socket; gevent's own wrapper is not needed."""
        try:
            return self.socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None

    def do_close(self, *_args: Any) -> None:
        """Do nothing: ``handle`` closes the accepted connection."""

    def release(self) -> None:
        """Accept no more connections, and leave the listening socket open for another server."""
        self.stop_accepting()
        self._stop_event.set()  # type: ignore[attr-defined]

    def handle(self, sock: socket.socket, address: Any) -> None:
        """Answer one request."""
        connection = SocketAsync(sock)
        try:
            with gevent.Timeout(REQUEST_TIMEOUT, False):  # type: ignore[arg-type]
                _Handler(connection, address, self).handle()
        except OSError:
            pass  # the peer has closed the connection
        except Exception:
            log.exception("fault in the gateway")
        finally:
            connection.linger(LINGER, LINGER)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        answer = self._judge(environ)
        headers = [*answer.fields, *security_fields(), ("Connection", "close")]
        if answer.status != 304:  # it has no body and must not have another length (RFC 9110 section 8.6)
            headers.append(("Content-Length", str(len(answer.body))))
        if answer.status == 405:
            headers.append(("Allow", "GET, HEAD"))
        start_response(f"{answer.status} {_WORDS[answer.status]}", headers)
        return [answer.body] if environ["REQUEST_METHOD"] != "HEAD" else []

    def _judge(self, environ: dict[str, Any]) -> Answer:
        page = self._pages.get(environ["PATH_INFO"])
        if self._only_local_names and not _is_local(environ.get("HTTP_HOST", "localhost")):
            return _plain(421)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _plain(405)
        if page is None:
            return _plain(404)
        try:
            return page(Request.of(environ))
        except Exception:
            log.exception("fault in the gateway")
            return _plain(500)


class _Handler(pywsgi.WSGIHandler):
    """Reads one request, within the limits, and never its body."""

    def __init__(self, connection: SocketAsync, address: Any, server: AdminServer) -> None:
        reader = StrictHeadReader(connection, MAX_HEAD)
        super().__init__(connection, address, server, rfile=reader)  # type: ignore[arg-type,call-arg]

    def handle(self) -> None:
        """Read one request and answer it."""
        try:
            result: Any = self.handle_one_request()
        except HandshakeRefused as refusal:  # from the head reader, in the request line
            result = (str(refusal.status), b"")
        if isinstance(result, tuple):  # pywsgi itself has refused the request
            status = int(str(result[0]).split()[0])
            words = _WORDS.get(status, "Bad Request")
            head = f"HTTP/1.1 {status} {words}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            self.socket.sendall(head.encode("ascii"))

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes] | None:
        """Return the status of the answer; pywsgi calls it for an exception raised while the head is read."""
        if isinstance(ex, OSError):
            return None
        if isinstance(ex, HandshakeRefused):
            return str(ex.status), b""
        # The head has more lines than the parser accepts, or a longer one.
        too_large = isinstance(ex, HTTPException) or self.headers.status
        return ("431" if too_large else "400"), b""

    def log_request(self) -> None:
        """Do nothing: monitoring would cause a log line every few seconds."""


def _plain(status: int) -> Answer:
    return Answer(status, f"{_WORDS[status]}\n".encode())


def _is_local(host: str) -> bool:
    """Whether the ``Host`` header is ``localhost`` or an IP address; a rebound domain is neither."""
    parts = _HOST.fullmatch(host)
    name = (parts["address"] or parts["name"]) if parts is not None else ""
    if name.lower() == "localhost":
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
