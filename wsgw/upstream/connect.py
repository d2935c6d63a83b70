"""Finds, connects and secures the XMPP server behind a listener (RFC 6120 sections 3 and 5).

Blocking code in the session's greenlet. It returns a socket that is ready for the client's stream header.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from time import monotonic, time
from typing import Any

import gevent
import gevent.socket

from wsgw.config.model import ListenerConfig, UpstreamAddress
from wsgw.config.pem import PemFiles
from wsgw.errors import StreamError, UpstreamFailed, causes
from wsgw.net import srv
from wsgw.net.tls import ALPN_XMPP_CLIENT, UpstreamTls
from wsgw.opening.proxy_protocol import Client, header_v1, header_v2
from wsgw.socket_async import SocketAsync
from wsgw.stanzas.element import read_element
from wsgw.stanzas.parser import STREAM, split_name
from wsgw.stanzas.server import ServerStream
from wsgw.telemetry.peer import Peer
from wsgw.telemetry.tally import Attempt, Tally
from wsgw.xmpp.features import FEATURES, STARTTLS, STARTTLS_PROCEED
from wsgw.xmpp.header import ERROR, condition_of, starttls_header

log = logging.getLogger("wsgw.upstream")

#: (address family, argument of ``socket.connect``)
_SocketAddress = tuple[int, Any]
#: (address, the error of the attempt to connect to it)
Failure = tuple[UpstreamAddress, OSError]
#: Bytes of one element before TLS: enough for features; a server that sends more is not trusted.
_NEGOTIATION_LIMIT = 64 * 1024
#: The client of a connection that wsgw makes to try out an upstream.
_NO_CLIENT = Client(("", 0))
#: The most characters of an element's name in an error.
_SHOWN = 64
#: OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH.
_HOSTNAME_MISMATCH = 62
#: Seconds that ``linger`` takes for the connection of a probe.
PROBE_LINGERS = 0.1


class OtherName(ssl.SSLError):
    """The certificate does not name the domain (RFC 6120 section 13.7.2)."""

    def __init__(self, domain: str) -> None:
        super().__init__(
            0,
            "certificate verify failed: hostname mismatch: its subjectAltName must have DNS:"
            f"{domain}; a Common Name alone does not count",
        )


class OtherCertificate(ssl.SSLError):
    """The certificate is not one of ``certfiles``, and the configuration names no authority."""

    def __init__(self) -> None:
        super().__init__(0, "the certificate is not one of those in the configuration")


class NoStartTls(ConnectionError):
    """The server does not offer STARTTLS, or does not complete its negotiation."""


class StreamRefused(ConnectionError):
    """The server answers the stream header with a stream error before TLS."""

    def __init__(self, condition: str) -> None:
        super().__init__(f"the server refuses the stream: {condition}")
        self.condition = condition


class Upstream:
    """Connects to the XMPP server of one listener."""

    def __init__(self, config: ListenerConfig, files: PemFiles, tally: Tally) -> None:
        """``tally`` counts the attempts. Raises ConfigError if ``upstream_cafile`` cannot be used."""
        self._config = config
        self._tally = tally
        tally.upstreams.update(map(str, config.upstream))
        self._starttls = _tls(config, (), files)
        self._direct_tls = _tls(config, (ALPN_XMPP_CLIENT,), files)

    def connect(self, domain: str, peer: Peer) -> SocketAsync:
        """Return a connection to the server of ``domain``, for the client ``peer``.

        It tries one address after the other, each within ``connect_timeout``. Raises UpstreamFailed if none
        can be used.
        """
        authority, request_id = peer.authority or "", peer.request_id or ""
        client = Client(peer.endpoint, authority, request_id, peer.tls, peer.common_name)
        problems: list[Failure] = []
        for configured, address in self._addresses(problems):
            began = monotonic()
            try:
                connection = self._attempt(configured, address, domain, client)
            except OSError as error:
                self._tally.connect_failures[configured] += 1
                problems.append((address, _without_frames(error)))
            else:
                self._tally.connect_times.append((configured, monotonic() - began))
                return connection
        reasons = "; ".join(f"{address}: {error}" for address, error in problems)
        log.warning("%s: no connection to the XMPP server: %s", domain, reasons)
        raise UpstreamFailed(causes.UPSTREAM_UNREACHABLE)

    def try_out(self, domain: str) -> tuple[SocketAsync | None, list[Failure]]:
        """Connect to the server of ``domain`` without a client.

        Returns (the connection, None if no address can be used; the failures of the addresses before it).
        """
        problems: list[Failure] = []
        for configured, address in self._addresses(problems):
            try:
                return self._attempt(configured, address, domain, _NO_CLIENT), problems
            except OSError as error:
                problems.append((address, _without_frames(error)))
        return None, problems

    def probe(self, domain: str) -> None:
        """Connect to each server of ``domain`` without a client, so that the tally knows which ones answer.

        These attempts do not appear in the counters of clients' connections.
        """
        answering: set[str] = set()
        for configured, address in self._addresses([]):
            if configured not in answering:
                with contextlib.suppress(OSError):
                    self._attempt(configured, address, domain, _NO_CLIENT).linger(0.0, PROBE_LINGERS)
                    answering.add(configured)

    def _attempt(self, configured: str, address: UpstreamAddress, domain: str, client: Client) -> SocketAsync:
        """Connect to one address within ``connect_timeout``, and note the result. Raises OSError."""
        seconds = self._config.connect_timeout
        try:
            with gevent.Timeout(seconds, False):  # type: ignore[arg-type]
                connection = self._connect(address, domain, client)
                self._tally.attempts[configured] = Attempt(ok=True, at=time())
                return connection
            raise TimeoutError(f"not connected within {seconds:g} s")
        except OSError as error:
            self._note_failure(configured, f"{address}: {error}")
            raise

    def _note_failure(self, configured: str, error: str) -> None:
        self._tally.attempts[configured] = Attempt(ok=False, at=time(), error=error)

    def _addresses(self, problems: list[Failure]) -> Iterator[tuple[str, UpstreamAddress]]:
        """Yield (the address as configured, an address to connect to); SRV records give several (RFC 2782).

        A lookup that fails is appended to ``problems``.
        """
        for address in self._config.upstream:
            if address.scheme != "srv":
                yield str(address), address
                continue
            try:
                found = list(srv.look_up(address.host, self._config.connect_timeout))
            except OSError as error:
                problems.append((address, _without_frames(error)))
                self._tally.connect_failures[str(address)] += 1
                self._note_failure(str(address), f"{address}: {error}")
                continue
            yield from ((str(address), one) for one in found)

    def _connect(self, address: UpstreamAddress, domain: str, client: Client) -> SocketAsync:
        if address.scheme in ("tcp", "unix"):
            return self._open(address, client)
        tls = self._direct_tls if address.scheme == "tls" else self._starttls
        *others, last = tls.attempts
        for context in others:
            sock = self._open(address, client)
            with contextlib.suppress(OSError):
                return _with_tls(sock, tls, context, address, domain)
        return _with_tls(self._open(address, client), tls, last, address, domain)

    def _open(self, address: UpstreamAddress, client: Client) -> SocketAsync:
        """Connect to the first address of the host that answers; send the PROXY header."""
        *others, last = _resolve(address)
        # An address that drops packets must not use up the time of the others.
        seconds = self._config.connect_timeout / (len(others) + 1)
        for target in others:
            with contextlib.suppress(OSError):
                return self._connect_to(*target, client, seconds)
        return self._connect_to(*last, client, seconds)

    def _connect_to(self, family: int, target: Any, client: Client, seconds: float) -> SocketAsync:
        sock = socket.socket(family, socket.SOCK_STREAM)
        connection = SocketAsync(sock)
        try:
            with gevent.Timeout(seconds, False):  # type: ignore[arg-type]
                _connect_socket(sock, target)
                self._send_proxy_header(connection, sock, client)
                return connection
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        except BaseException:
            connection.close()
            raise

    def _send_proxy_header(self, connection: SocketAsync, sock: socket.socket, client: Client) -> None:
        version = self._config.upstream_proxy_protocol
        if version == "off":
            return
        name = sock.getpeername()
        if client is _NO_CLIENT and isinstance(name, tuple):
            # ejabberd 23 refuses UNKNOWN (v1), and does not answer after LOCAL (v2).
            client = client._replace(endpoint=sock.getsockname()[:2])
        server = (name[0], name[1]) if isinstance(name, tuple) else ("", 0)
        header = header_v1(client.endpoint, server) if version == "v1" else header_v2(client, server)
        connection.sendall(header)


def _tls(config: ListenerConfig, alpn: tuple[str, ...], files: PemFiles) -> UpstreamTls:
    return UpstreamTls(
        verify=config.upstream_verify,
        cafile=config.upstream_cafile,
        trusted=config.upstream_certfiles,
        alpn=alpn,
        files=files,
    )


def _resolve(address: UpstreamAddress) -> list[_SocketAddress]:
    """Return the socket addresses of a host; a native thread looks up names. Raises OSError."""
    if address.scheme == "unix":
        return [(socket.AF_UNIX, address.host)]
    try:
        version = ip_address(address.host).version
    except ValueError:
        try:
            found = gevent.socket.getaddrinfo(address.host, address.port, 0, socket.SOCK_STREAM)
        except UnicodeError as error:  # an SRV record may contain an invalid host name
            raise OSError(f"{address.host}: no host name") from error
        return [(family, target) for family, _, _, _, target in found]
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return [(family, (address.host, address.port))]


def _connect_socket(sock: socket.socket, target: Any) -> None:
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    code = sock.connect_ex(target)
    if code == errno.EINPROGRESS:
        gevent.socket.wait_write(sock.fileno())
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
    if sock.family != socket.AF_UNIX and sock.getsockname() == sock.getpeername():
        # The kernel may give the socket the free port that it connects to, so that it connects to itself.
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


def _with_tls(
    sock: SocketAsync, tls: UpstreamTls, context: ssl.SSLContext, address: UpstreamAddress, domain: str
) -> SocketAsync:
    """Do the TLS handshake and return ``sock``. If it fails, close ``sock`` and raise OSError."""
    try:
        if address.scheme == "starttls":
            _negotiate_starttls(sock, domain)
        sock.start_tls(context, server_side=False, server_hostname=domain)
        if not tls.accepts(context, sock.peer_certificate):
            raise OtherCertificate
    except ssl.SSLCertVerificationError as error:
        sock.close()
        if error.verify_code == _HOSTNAME_MISMATCH:
            raise OtherName(domain) from error
        raise
    except BaseException:
        sock.close()
        raise
    return sock


def _without_frames(error: OSError) -> OSError:
    """Return ``error`` without its traceback, whose frames would keep the connection alive."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error


def _negotiate_starttls(sock: SocketAsync, domain: str) -> None:
    """Exchange header, features, ``<starttls/>`` and ``<proceed/>`` (RFC 6120 section 5.4).

    Bytes of the server after ``<proceed/>`` and before TLS are an error. Raises ConnectionError.
    """
    stream = ServerStream(_NEGOTIATION_LIMIT)
    sock.sendall(starttls_header(domain))
    header, features = _expect(sock, stream, FEATURES)
    try:
        offered = read_element(header, features).children
    except StreamError as error:  # the features cost too much to read
        raise ConnectionError(str(error)) from None
    if all(child.name != STARTTLS for child in offered):
        raise NoStartTls("the server does not offer STARTTLS")
    sock.sendall(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    _expect(sock, stream, STARTTLS_PROCEED)
    if not stream.at_border:
        raise ConnectionError("the server sent more than <proceed/> before TLS")


def _expect(sock: SocketAsync, stream: ServerStream, wanted: str) -> tuple[bytes, bytes]:
    """Return (the stream header, empty if none was received; the element with the expanded name ``wanted``).

    Raises OSError: StreamRefused for a stream error, NoStartTls for any other element.
    """
    header = b""
    while True:
        data = b"" if stream.busy else sock.recv()
        if not data and not stream.busy:
            raise NoStartTls("the server closed the connection during STARTTLS")
        events = stream.feed(data)
        if events and events[0][0] == STREAM:
            header = events.pop(0)[1]
        if stream.failure is not None:
            raise ConnectionError(str(stream.failure))
        if events:
            name, element = events[0]
            if name == ERROR:
                raise _refused(header, element)
            if name != wanted or len(events) > 1:
                local = split_name(name)[1][:_SHOWN]  # not the namespace, which may contain any text
                raise NoStartTls(f"unexpected {local or 'end of stream'} during STARTTLS")
            return header, element


def _refused(header: bytes, error: bytes) -> ConnectionError:
    try:
        return StreamRefused(condition_of(header, error)[0][:_SHOWN])
    except StreamError as fault:  # the error costs too much to read
        return ConnectionError(str(fault))
