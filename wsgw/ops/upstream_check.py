"""Asks the XMPP servers of a configuration once whether they can be used, before the first client does.

Each is connected to as for a client, and sent a stream header; its features, or its error, are the
answer. It is a question of some milliseconds, never of more than ``connect_timeout``, and all are asked
at the same time. The answers are words for an admin, each with its line and the way out: nothing is
decided by them.
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
from wsgw.upstream import Failure, NoStartTls, OtherCertificate, OtherName, Upstream
from wsgw.xmpp.features import FEATURES, STARTTLS
from wsgw.xmpp.header import ERROR, starttls_header

_REQUIRED = expanded_name(split_name(STARTTLS)[0], "required")
_MECHANISMS = (
    expanded_name("urn:ietf:params:xml:ns:xmpp-sasl", "mechanisms"),
    expanded_name("urn:xmpp:sasl:2", "authentication"),
)
#: Features; more is no answer.
_LIMIT = 64 * 1024
#: The end of the connection is accompanied for so long, in seconds.
_LINGERS = 0.1
_END = b"</stream:stream>"


class Question(NamedTuple):
    """What is asked once, however many listeners have it: an address, and how it is spoken to."""

    #: More than one stand for each other.
    addresses: tuple[UpstreamAddress, ...]
    cafile: str
    verify: bool
    certfiles: tuple[str, ...]
    proxy_protocol: str
    domain: str


def questions(config: Config) -> dict[Question, tuple[ListenerConfig, Mark]]:
    """All that is to be asked, each with the first listener it is about, and where the address stands.

    The addresses of ``upstream`` are asked for one by one; those by which one listener of the server may be
    reached, of which any will do, together.
    """
    found: dict[Question, tuple[ListenerConfig, Mark]] = {}
    for listener in config.listeners:
        mark = config.mark(listener, "upstream")
        together = config.origins.server is not None and mark == config.origins.server
        groups = [listener.upstream] if together else [(address,) for address in listener.upstream]
        for addresses in groups:
            question = _question(listener, addresses, config.hosts[0])
            found.setdefault(question, (replace(listener, upstream=addresses), mark))
    return found


def _question(listener: ListenerConfig, addresses: tuple[UpstreamAddress, ...], domain: str) -> Question:
    """How TLS is judged makes no difference where there is none."""
    proxy_protocol = listener.upstream_proxy_protocol
    if all(address.scheme in ("tcp", "unix") for address in addresses):
        return Question(addresses, "", True, (), proxy_protocol, domain)
    certfiles = tuple(map(str, listener.upstream_certfiles))
    cafile = str(listener.upstream_cafile or "")
    return Question(addresses, cafile, listener.upstream_verify, certfiles, proxy_protocol, domain)


def ask(config: Config, files: PemFiles) -> list[ConfigProblem]:
    """Ask all of them, in parallel; returns what is wrong, in the order of the configuration."""
    asked = [
        (mark, gevent.spawn(_Inquiry(listener, files, question.domain).answer))
        for question, (listener, mark) in questions(config).items()
    ]
    found = [(mark, greenlet.get()) for mark, greenlet in asked]
    return [ConfigProblem(mark.file, mark.line, reason) for mark, reason in found if reason]


class _Inquiry:
    """One question."""

    def __init__(self, listener: ListenerConfig, files: PemFiles, domain: str) -> None:
        """``listener`` has the addresses that are asked about, and no others."""
        self._listener = listener
        self._files = files
        self._domain = domain
        self._name = ", ".join(map(str, listener.upstream))
        #: What is waited for.
        self._state = "does not answer"

    def answer(self) -> str:
        """What is wrong and the way out; empty if nothing is, or cannot be said."""
        seconds = self._listener.connect_timeout
        with gevent.Timeout(seconds, False):  # type: ignore[arg-type]
            return self._ask()
        return f"upstream {self._name} {self._state} within {seconds:g} s: {self._way_out_of_silence()}"

    def _ask(self) -> str:
        connection, failures = Upstream(self._listener, self._files, Tally()).try_out(self._domain)
        if connection is None:
            reasons = "; ".join(self._shown(failure) for failure in failures)
            return f"upstream {self._name} cannot be used: {reasons}: {self._way_out(*failures[-1])}"
        self._state = "accepts connections but does not answer a stream header"
        try:
            return self._judge(connection)
        except OSError as error:
            reason = error.strerror or str(error)
            return f"upstream {self._name} resets the connection: {reason}: {self._way_out_of_silence()}"
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

    # -- what the server says --------------------------------------------------------------------

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
        return f"upstream {self._name} ends the connection without an answer: {self._way_out_of_silence()}"

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

    # -- the way out -----------------------------------------------------------------------------

    def _way_out_of_silence(self) -> str:
        other = "write tls://HOST:PORT if it has TLS from the first byte, "
        if not self._is_plain:
            other = "write tcp:// or starttls:// if it has no TLS from the first byte, "
        return f"{_NO_XMPP}; {other}and set upstream_proxy_protocol if it expects a PROXY header"

    def _way_out(self, address: UpstreamAddress, error: OSError) -> str:
        """What an admin does about the last attempt's failure."""
        if isinstance(error, ssl.SSLError):
            return self._way_out_of_tls(address, error)
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
        return self._way_out_of_silence()

    def _way_out_of_tls(self, address: UpstreamAddress, error: ssl.SSLError) -> str:
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
        """What it has instead, by another connection; empty if that cannot be seen."""
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
#: Beside a wrong address, what is most often meant.
_NO_XMPP = "name the port for XMPP clients (ejabberd_c2s, Prosody's c2s_ports)"
_OF_FILES = {
    errno.ENOENT: "start the XMPP server, or correct the path",
    errno.EACCES: "let the account {account} enter its directories and write to the socket",
    errno.ECONNREFUSED: "start the XMPP server: the socket belongs to a stopped server",
    errno.ENOTSOCK: "correct the path",
}


def _wants_starttls(features: Element) -> bool:
    """Whether it is required (RFC 6120 section 5.3.1), or nothing else leads to a login."""
    offers = [child for child in features.children if child.name == STARTTLS]
    required = any(inner.name == _REQUIRED for offer in offers for inner in offer.children)
    return required or (bool(offers) and all(child.name not in _MECHANISMS for child in features.children))


def _read(header: bytes, element: bytes) -> Element | str:
    try:
        return read_element(header, element)
    except StreamError as error:  # it takes too much to be read
        return error.text


def _elements(connection: SocketAsync) -> Iterator[Element | str | None]:
    """The first element of the server's stream, or why it is none; nothing if the connection ends.

    Before it comes None, once the stream header has.
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
