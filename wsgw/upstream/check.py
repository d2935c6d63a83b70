"""Checks once, before the first client connects, whether the XMPP servers of a configuration can be used.

A check connects to a server as for a client, sends a stream header, and reads the stream features or the
stream error. It takes some milliseconds and ``connect_timeout`` at most; all servers are checked at the same
time. The results are warnings for the admin, each with its file and line and with what to do; the gateway
does not depend on them.
"""

from __future__ import annotations

import errno
import os
import pwd
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import gevent

from wsgw.config.model import Config, ListenerConfig, UpstreamAddress
from wsgw.config.pem import PemFiles
from wsgw.config.terms import Mark
from wsgw.errors import ConfigProblem, StreamError
from wsgw.net.certificate import certificate_of
from wsgw.socket_async import SocketAsync
from wsgw.stanzas.element import Element, read_element
from wsgw.stanzas.parser import STREAM, expanded_name, split_name
from wsgw.stanzas.server import ServerStream
from wsgw.telemetry.tally import Tally
from wsgw.upstream.connect import Failure, NoStartTls, OtherCertificate, OtherName, Upstream
from wsgw.xmpp.features import FEATURES, STARTTLS
from wsgw.xmpp.header import ERROR, starttls_header

_REQUIRED = expanded_name(split_name(STARTTLS)[0], "required")
_MECHANISMS = (
    expanded_name("urn:ietf:params:xml:ns:xmpp-sasl", "mechanisms"),
    expanded_name("urn:xmpp:sasl:2", "authentication"),
)
#: Bytes of the server's features at most.
_LIMIT = 64 * 1024
#: Seconds that a check waits for the server to close the connection (``SocketAsync.linger``).
_LINGERS = 0.1
_END = b"</stream:stream>"


class Check(NamedTuple):
    """One check: addresses and the way to connect. Listeners with the same check share one check."""

    #: If there are several, it is enough that one of them can be used.
    addresses: tuple[UpstreamAddress, ...]
    #: Empty for the system's authorities.
    cafile: str
    verify: bool
    certfiles: tuple[str, ...]
    proxy_protocol: str
    domain: str


def checks_of(config: Config) -> dict[Check, tuple[ListenerConfig, Mark]]:
    """The checks of a configuration, each with its first listener and the place of the addresses in the file.

    The addresses of the option ``upstream`` are checked one by one. The default addresses are several
    ways to one listener of the XMPP server, so they are checked together: one that works is enough.
    """
    found: dict[Check, tuple[ListenerConfig, Mark]] = {}
    for listener in config.listeners:
        mark = config.mark(listener, "upstream")
        together = config.origins.server is not None and mark == config.origins.server
        groups = [listener.upstream] if together else [(address,) for address in listener.upstream]
        for addresses in groups:
            check = _check_of(listener, addresses, config.hosts[0])
            found.setdefault(check, (replace(listener, upstream=addresses), mark))
    return found


def _check_of(listener: ListenerConfig, addresses: tuple[UpstreamAddress, ...], domain: str) -> Check:
    """Without TLS the options for TLS make no difference, so the check omits them."""
    proxy_protocol = listener.upstream_proxy_protocol
    if all(address.scheme in ("tcp", "unix") for address in addresses):
        return Check(addresses, "", True, (), proxy_protocol, domain)
    certfiles = tuple(map(str, listener.upstream_certfiles))
    cafile = str(listener.upstream_cafile or "")
    return Check(addresses, cafile, listener.upstream_verify, certfiles, proxy_protocol, domain)


def check_upstreams(config: Config, files: PemFiles) -> list[ConfigProblem]:
    """Check all XMPP servers in parallel; returns the warnings in the order of the configuration."""
    running = [
        (mark, gevent.spawn(_RunningCheck(listener, files, check.domain).answer))
        for check, (listener, mark) in checks_of(config).items()
    ]
    found = [(mark, greenlet.get()) for mark, greenlet in running]
    return [ConfigProblem(mark.file, mark.line, reason) for mark, reason in found if reason]


class _RunningCheck:
    """Carries out one check."""

    def __init__(self, listener: ListenerConfig, files: PemFiles, domain: str) -> None:
        """``listener`` has only the addresses to check; ``domain`` is the domain of the stream header."""
        self._listener = listener
        self._files = files
        self._domain = domain
        self._name = ", ".join(map(str, listener.upstream))
        #: What the server has done so far, as the end of a sentence, for the warning after the timeout.
        self._state = "does not answer"

    def answer(self) -> str:
        """The warning: what is wrong, and what to do. Empty if the check found nothing."""
        seconds = self._listener.connect_timeout
        with gevent.Timeout(seconds, False):  # type: ignore[arg-type]
            return self._ask()
        return f"upstream {self._name} {self._state} within {seconds:g} s: {self._advice_for_silence()}"

    def _ask(self) -> str:
        connection, failures = Upstream(self._listener, self._files, Tally()).try_out(self._domain)
        if connection is None:
            reasons = "; ".join(self._shown(failure) for failure in failures)
            return f"upstream {self._name} cannot be used: {reasons}: {self._advice(*failures[-1])}"
        self._state = "accepts connections but does not answer a stream header"
        try:
            return self._judge(connection)
        except OSError as error:
            reason = error.strerror or str(error)
            return f"upstream {self._name} resets the connection: {reason}: {self._advice_for_silence()}"
        finally:
            connection.linger(0.0, _LINGERS)

    def _shown(self, failure: Failure) -> str:
        address, error = failure
        reason = error.strerror or str(error)
        (first, *others) = self._listener.upstream
        if address == first and not others:
            return reason
        if first.scheme == "srv" and address == UpstreamAddress("starttls", first.host, 5222):
            return f"{address}, tried because there are no SRV records: {reason}"
        return f"{address}: {reason}"

    # -- the server's answer ---------------------------------------------------------------------

    def _judge(self, connection: SocketAsync) -> str:
        connection.sendall(starttls_header(self._domain))
        for element in _elements(connection):
            if element is None:
                self._state = "answers with a stream header but sends no features"
                continue
            connection.sendall(_END)
            if isinstance(element, str):
                return f"upstream {self._name} does not speak XMPP ({element}): {_NO_XMPP}"
            return self._about(element)
        return f"upstream {self._name} ends the connection without an answer: {self._advice_for_silence()}"

    def _about(self, element: Element) -> str:
        if element.name == ERROR:
            condition = next((split_name(child.name)[1] for child in element.children), "undefined-condition")
            return f"upstream {self._name} refuses the stream to {self._domain}: {condition}: " + (
                "hosts must name a domain that the XMPP server serves"
                if condition in ("host-unknown", "host-gone", "improper-addressing")
                else "the XMPP server's log has the reason"
            )
        if element.name != FEATURES:
            return ""
        if self._is_plain and _wants_starttls(element):
            host = self._listener.upstream[0]
            form = f"starttls://{host.host}:{host.port}" if host.scheme == "tcp" else "starttls://HOST:PORT"
            return f"upstream {self._name} requires STARTTLS: write it as {form}"
        return ""

    @property
    def _is_plain(self) -> bool:
        return self._listener.upstream[0].scheme in ("tcp", "unix")

    # -- what to do about it ---------------------------------------------------------------------

    def _advice_for_silence(self) -> str:
        other = "write tls://HOST:PORT if it has TLS from the first byte, "
        if not self._is_plain:
            other = "write tcp:// or starttls:// if it has no TLS from the first byte, "
        return f"{_NO_XMPP}; {other}and set upstream_proxy_protocol if it expects a PROXY header"

    def _advice(self, address: UpstreamAddress, error: OSError) -> str:
        """What the admin can do about ``error``, the failure of the last attempt, at ``address``."""
        if isinstance(error, ssl.SSLError):
            return self._advice_for_tls(address, error)
        if isinstance(error, socket.gaierror):
            return f"correct the name {address.host}, or the name servers in /etc/resolv.conf"
        if address.scheme == "unix" and error.errno in _OF_FILES:
            return _OF_FILES[error.errno].format(account=pwd.getpwuid(os.geteuid()).pw_name)
        if error.errno == errno.ECONNREFUSED:
            return "start the XMPP server, or name the port it listens on"
        if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return "correct the address, or the routes of this machine (ip route)"
        if isinstance(error, NoStartTls):
            return "write it as tls://HOST:PORT if it has TLS from the first byte, or as tcp:// on loopback"
        if self._listener.upstream[0].scheme == "srv" and address.scheme == "srv":
            return "name its server with tcp://, starttls:// or tls://"
        return self._advice_for_silence()

    def _advice_for_tls(self, address: UpstreamAddress, error: ssl.SSLError) -> str:
        if isinstance(error, OtherName):
            return f"{self._names_in_the_certificate()}get a certificate for {self._domain}"
        if isinstance(error, ssl.SSLCertVerificationError):
            if error.verify_code in _WRONG_TIME:
                return "renew it at the XMPP server, or set the clock of this machine"
            return "name the authority with upstream_cafile, or the certificate itself in certfiles"
        if isinstance(error, OtherCertificate):
            return "name its current certificate in certfiles, or its authority with upstream_cafile"
        other = "starttls" if address.scheme == "tls" else "tls"
        return f"if it has no such TLS write {other}:// or, on loopback, tcp://"

    def _names_in_the_certificate(self) -> str:
        """The names in the server's certificate, read by another connection; empty if that fails."""
        unverified = replace(self._listener, upstream_verify=False, upstream_certfiles=())
        connection, _ = Upstream(unverified, self._files, Tally()).try_out(self._domain)
        if connection is None:
            return ""
        certificate = connection.peer_certificate
        connection.linger(0.0, _LINGERS)
        try:
            names, common_name = certificate_of(certificate or b"")[2:4]
        except ValueError:
            return ""
        if not names:
            return f"it has the Common Name {common_name or '(none)'} and no subjectAltName: "
        return f"it names {', '.join(names[:5])}: "


#: OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_WRONG_TIME = (9, 10)
#: The most frequent correction of a wrong address.
_NO_XMPP = "name the port for XMPP clients (ejabberd_c2s, Prosody's c2s_ports)"
_OF_FILES = {
    errno.ENOENT: "start the XMPP server, or correct the path",
    errno.EACCES: "let the account {account} enter its directories and write to the socket",
    errno.ECONNREFUSED: "start the XMPP server: the socket belongs to a stopped server",
    errno.ENOTSOCK: "correct the path",
}


def _wants_starttls(features: Element) -> bool:
    """Whether STARTTLS is required (RFC 6120 section 5.3.1), or is offered without any SASL mechanism."""
    offers = [child for child in features.children if child.name == STARTTLS]
    required = any(inner.name == _REQUIRED for offer in offers for inner in offer.children)
    return required or (bool(offers) and all(child.name not in _MECHANISMS for child in features.children))


def _read(header: bytes, element: bytes) -> Element | str:
    try:
        return read_element(header, element)
    except StreamError as error:  # the element exceeds a limit of the parser
        return error.text


def _elements(connection: SocketAsync) -> Iterator[Element | str | None]:
    """Yield None after the server's stream header, then its first element or the reason why it is invalid.

    Yield nothing more if the connection ends before.
    """
    stream = ServerStream(_LIMIT)
    header = b""
    while data := connection.recv():
        events = stream.feed(data)
        while stream.busy:
            events += stream.feed(b"")
        for name, element in events:
            if name == STREAM:
                header = element
                yield None
            elif name:
                yield _read(header, element)
                return
            else:
                return
        if stream.failure is not None:
            yield stream.failure.text
            return
