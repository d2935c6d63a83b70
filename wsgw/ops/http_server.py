"""The ``wsgw_admin`` listener: plain HTTP for the admin and the admin's programs.

Its pages show the gateway; those about sessions need the listener's token (``session_pages``). It serves one
request per connection and few connections at a time, with limits on the size of the request and on the time,
so that a slow peer here costs users nothing. A web page in the admin's browser must not reach it under a
domain that the page's owner points to this machine (DNS rebinding): on a loopback address, ``Host`` must be
an IP address, ``localhost`` or one of ``allowed_hosts``.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

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
#: Bytes of the body of a POST at most.
MAX_BODY = 4096
#: Seconds that wsgw waits for the peer to take the answer and to close (``SocketAsync.linger``).
LINGER = 0.5

#: ``Host`` (RFC 9110 section 7.2): an IPv6 address in brackets or a name or IPv4 address, and a port.
_HOST = re.compile(r"(?:\[(?P<address>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::\d*)?", re.ASCII)
#: The key of the WSGI environment for the connection.
_CONNECTION = "wsgw.connection"
_WORDS = {
    200: "OK",
    303: "See Other",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    414: "URI Too Long",
    421: "Misdirected Request",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request for one of the pages. Of several parameters with one name, the last counts."""

    path: str
    #: The query as it was sent, and its parameters.
    query_string: str
    query: Mapping[str, str]
    #: The fields of the form in the body of a POST.
    form: Mapping[str, str]
    environ: Mapping[str, Any]

    @classmethod
    def of(cls, environ: Mapping[str, Any], body: bytes) -> Request:
        """The request with the WSGI environment ``environ``."""
        query = environ["QUERY_STRING"]
        form = dict(parse_qsl(body.decode("utf-8", "replace")))
        return cls(environ["PATH_INFO"], query, dict(parse_qsl(query)), form, environ)

    def field(self, name: str) -> str:
        """The value of a header field, empty if it is missing; ``name`` as in ``If-None-Match``."""
        return str(self.environ.get("HTTP_" + name.upper().replace("-", "_"), ""))

    @property
    def is_of_this_site(self) -> bool:
        """Whether a page of this listener has caused the request, as far as a browser says so.

        By ``Sec-Fetch-Site``, which browsers send on loopback and over TLS, otherwise by ``Origin``.
        """
        site = self.field("Sec-Fetch-Site")
        if site:
            return site == "same-origin"
        return urlsplit(self.field("Origin")).netloc.lower() == self.field("Host").lower() != ""


class Answer(NamedTuple):
    """The answer of a path; ``status`` is one of the HTTP statuses in ``_WORDS``."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    #: More header fields.
    more: Sequence[tuple[str, str]] = ()
    #: The header fields of a file that a browser may keep, with its media type, instead of ``content_type``.
    file_fields: Fields | None = None

    @classmethod
    def of_page(cls, markup: str, status: int = 200, more: Sequence[tuple[str, str]] = ()) -> Answer:
        """A page."""
        return cls(status, markup.encode(), "text/html; charset=utf-8", more)

    @classmethod
    def of_text(cls, status: int) -> Answer:
        """The words of a status alone."""
        return cls(status, f"{_WORDS[status]}\n".encode())

    @classmethod
    def see_other(cls, path: str, more: Sequence[tuple[str, str]] = ()) -> Answer:
        """The page with the outcome of a POST is at ``path``."""
        return cls(303, b"", more=[("Location", path), *more])

    @property
    def fields(self) -> Fields:
        """The header fields of this answer alone."""
        if self.file_fields is not None:
            return self.file_fields
        return [("Content-Type", self.content_type), ("Cache-Control", "no-store"), *self.more]


Page = Callable[[Request], Answer]


class Route(NamedTuple):
    """The answers to a path. Each request calls one of them in a separate greenlet."""

    #: For GET and HEAD, and for POST.
    get: Page | None = None
    post: Page | None = None
    #: It concerns users: ``Host`` is checked on every listener, not only on loopback.
    guarded: bool = False
    #: The page has forms.
    has_form: bool = False

    @property
    def methods(self) -> str:
        """The value of ``Allow``."""
        return ", ".join(["GET", "HEAD"] * (self.get is not None) + ["POST"] * (self.post is not None))


Pages = Mapping[str, Route]
_NO_ROUTE = Route()


class AdminServer(pywsgi.WSGIServer):
    """Serves ``pages`` on a listening socket, which other workers may accept from too."""

    def __init__(
        self,
        sock: socket.socket,
        place: Place,
        pages: Pages,
        answering: Pool,
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        """``answering``: the pool of ``MOST_CONNECTIONS`` greenlets, shared by all servers of this worker.

        ``allowed_hosts``: the names, in lower case, that ``Host`` may have in addition to ``localhost``.
        """
        super().__init__(sock, self._answer, spawn=answering, log=None, environ={"SERVER_NAME": place.ip})
        #: For the log.
        self.url = f"http://{place}/"
        self._pages = pages
        self._is_on_loopback = ip_address(place.ip).is_loopback
        self._allowed_hosts = ("localhost", *allowed_hosts)

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
        route = self._pages.get(environ["PATH_INFO"], _NO_ROUTE)
        answer = self._judge(environ, route)
        headers = [*answer.fields, *security_fields(has_form=route.has_form), ("Connection", "close")]
        if answer.status != 304:  # it has no body and must not have another length (RFC 9110 section 8.6)
            headers.append(("Content-Length", str(len(answer.body))))
        if answer.status == 405:
            headers.append(("Allow", route.methods))
        start_response(f"{answer.status} {_WORDS[answer.status]}", headers)
        return [answer.body] if environ["REQUEST_METHOD"] != "HEAD" else []

    def _judge(self, environ: dict[str, Any], route: Route) -> Answer:
        is_checked = self._is_on_loopback or route.guarded
        if is_checked and not self._is_expected(environ.get("HTTP_HOST", "localhost")):
            return Answer.of_text(421)
        if route is _NO_ROUTE:
            return Answer.of_text(404)
        is_post = environ["REQUEST_METHOD"] == "POST"
        page = route.post if is_post else route.get
        if page is None or not (is_post or environ["REQUEST_METHOD"] in ("GET", "HEAD")):
            return Answer.of_text(405)
        try:
            body = _body(environ) if is_post else b""
            return page(Request.of(environ, body)) if body is not None else Answer.of_text(413)
        except Exception:
            log.exception("fault in the gateway")
            return Answer.of_text(500)

    def _is_expected(self, host: str) -> bool:
        """Whether the ``Host`` header is an IP address or an allowed name; a rebound domain is neither."""
        parts = _HOST.fullmatch(host)
        name = (parts["address"] or parts["name"]) if parts is not None else ""
        if name.lower() in self._allowed_hosts:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


def _body(environ: Mapping[str, Any]) -> bytes | None:
    """The body of a POST; None if it is no form of these pages: too large, without a length, or cut off."""
    length = environ.get("CONTENT_LENGTH", "")
    if not length or len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
        return None
    connection: SocketAsync = environ[_CONNECTION]
    body = b""
    with contextlib.suppress(OSError):
        while len(body) < int(length):
            more = connection.recv()
            if not more:
                break
            body += more
    return body[: int(length)] if len(body) >= int(length) else None


class _Handler(pywsgi.WSGIHandler):
    """Reads the head of one request, within the limits."""

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

    def get_environ(self) -> dict[str, Any]:
        """The WSGI environment; ``_body`` reads the rest of the connection."""
        return {**super().get_environ(), _CONNECTION: self.socket}

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes] | None:
        """Return the status of the answer; pywsgi calls it for an exception raised while the head is read."""
        if isinstance(ex, OSError):
            return None
        if isinstance(ex, HandshakeRefused):
            return str(ex.status), b""
        # The head has more lines than the parser accepts, or a longer one.
        too_large = isinstance(ex, HTTPException) or self.headers.status
        return ("431" if too_large else "400"), b""

    def handle_error(self, kind: Any, error: Any, trace: Any) -> None:
        """End a request that takes too long without an answer; any other error is a fault, and 500."""
        if isinstance(error, gevent.Timeout):
            raise error
        super().handle_error(kind, error, trace)

    def log_request(self) -> None:
        """Do nothing: monitoring would cause a log line every few seconds."""
