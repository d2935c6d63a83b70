"""The ``wsgw_admin`` listener: plain HTTP for the admin and the admin's programs.

It only shows, it changes nothing. One request a connection, few connections at a time, a limit on
the head and on the time: whoever is slow here costs no user anything. A page in the admin's own browser must
not get here by a name that its owner points to this machine (DNS rebinding): on loopback, ``Host`` is an
address or ``localhost``.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable
from http.client import HTTPException
from ipaddress import ip_address
from typing import Any, NamedTuple

import gevent
from gevent import pywsgi
from gevent.pool import Pool

from wsgw.errors import HandshakeRefused
from wsgw.net.listen_sockets import Place
from wsgw.opening.head_reader import StrictHeadReader
from wsgw.socket_async import SocketAsync

log = logging.getLogger("wsgw.ops.admin")

#: Connections at a time in each worker; others wait, or another worker takes them.
MOST_CONNECTIONS = 4
#: For a whole request and its answer, in seconds.
REQUEST_TIMEOUT = 10.0
#: Bytes of a request's head.
MAX_HEAD = 8192
#: How long the end of a connection is accompanied, in seconds.
LINGER = 0.5

_HEADERS = [
    ("Cache-Control", "no-store"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'",
    ),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Connection", "close"),
]
#: RFC 9110 section 7.2: an IPv6 address in brackets, or what else there may be, and a port.
_HOST = re.compile(r"(?:\[(?P<address>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::\d*)?", re.ASCII)
_WORDS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    414: "URI Too Long",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Answer(NamedTuple):
    """What a path answers."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


#: What each path answers; called in a greenlet of its own.
Pages = dict[str, Callable[[], Answer]]


class AdminServer(pywsgi.WSGIServer):
    """Serves ``pages`` on a listening socket, which other workers may accept from too."""

    def __init__(self, sock: socket.socket, place: Place, pages: Pages, answering: Pool) -> None:
        """``answering`` has room for ``MOST_CONNECTIONS``, of all servers of this worker."""
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
        """``handle`` closes what was accepted."""

    def release(self) -> None:
        """Accept no more, and leave the socket open: another server has it."""
        self.stop_accepting()
        self._stop_event.set()  # type: ignore[attr-defined]

    def handle(self, sock: socket.socket, address: Any) -> None:
        """Answer one request."""
        connection = SocketAsync(sock)
        try:
            with gevent.Timeout(REQUEST_TIMEOUT, False):  # type: ignore[arg-type]
                _Handler(connection, address, self).handle()
        except OSError:
            pass  # whoever asked is gone
        except Exception:
            log.exception("fault in the gateway")
        finally:
            connection.linger(LINGER, LINGER)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        answer = self._judge(environ)
        headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
        if answer.status == 405:
            headers.append(("Allow", "GET, HEAD"))
        start_response(f"{answer.status} {_WORDS[answer.status]}", headers + _HEADERS)
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
            return page()
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
        except HandshakeRefused as refusal:  # the reader's, in the request line
            result = (str(refusal.status), b"")
        if isinstance(result, tuple):  # what pywsgi refuses by itself
            status = int(str(result[0]).split()[0])
            words = _WORDS.get(status, "Bad Request")
            head = f"HTTP/1.1 {status} {words}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            self.socket.sendall(head.encode("ascii"))

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes] | None:
        """Say what is wrong with a head; pywsgi calls it for whatever is raised while it is read."""
        if isinstance(ex, OSError):
            return None
        if isinstance(ex, HandshakeRefused):
            return str(ex.status), b""
        # Too many lines for the parser, or too long a line for it.
        too_large = isinstance(ex, HTTPException) or self.headers.status
        return ("431" if too_large else "400"), b""

    def log_request(self) -> None:
        """Not logged: it would be a line every few seconds."""


def _plain(status: int) -> Answer:
    return Answer(status, f"{_WORDS[status]}\n".encode())


def _is_local(host: str) -> bool:
    """Whether ``Host`` is no name that somebody else may have pointed here."""
    parts = _HOST.fullmatch(host)
    name = (parts["address"] or parts["name"]) if parts is not None else ""
    if name.lower() == "localhost":
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
