"""Checks once, before the first client connects, whether the XMPP servers of a configuration can be used.

A check connects to a server as for a client, sends a stream header, and reads the stream features or the
stream error. It takes some milliseconds and ``connect_timeout`` at most; all servers are checked at the same
time. The gateway does not depend on the answers: they are remarks for the admin, and what the server offers.
"""

from __future__ import annotations

import errno
import os
import pwd
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import gevent
from gevent.pool import Pool

from wsgw.config.model import Config, ListenerConfig, UpstreamAddress
from wsgw.config.pem import PemFiles
from wsgw.config.remark import Remark
from wsgw.config.terms import Mark
from wsgw.errors import StreamError
from wsgw.net.certificate import certificate_of
from wsgw.socket_async import SocketAsync
from wsgw.stanzas.element import Element, read_element
from wsgw.stanzas.parser import STREAM, expanded_name, split_name
from wsgw.stanzas.server import ServerStream
from wsgw.telemetry.tally import Tally
from wsgw.upstream.connect import Failure, NoStartTls, OtherCertificate, OtherName, StreamRefused, Upstream
from wsgw.xmpp.features import FEATURES, STARTTLS, offers_channel_binding
from wsgw.xmpp.header import ERROR, condition_of, starttls_header

#: The topics of remarks about a server: it cannot be reached, its TLS or its certificate cannot be used, it
#: requires TLS, it does not serve the domain, or it does not speak XMPP.
REACH, TLS, CERTIFICATE = "upstream.reach", "upstream.tls", "upstream.certificate"
WANTS_TLS, HOST, XMPP = "upstream.starttls", "upstream.host", "upstream.xmpp"

_REQUIRED = expanded_name(split_name(STARTTLS)[0], "required")
#: The features that list mechanisms.
_LISTS = (
    expanded_name("urn:ietf:params:xml:ns:xmpp-sasl", "mechanisms"),
    expanded_name("urn:xmpp:sasl:2", "authentication"),
)
#: Bytes of the server's features at most.
_LIMIT = 64 * 1024
#: Seconds that a check waits for the server to close the connection (``SocketAsync.linger``).
_LINGERS = 0.1
_END = b"</stream:stream>"
#: Checks that run at the same time.
_AT_ONCE = 50
_SILENT = "does not answer"


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


class Offer(NamedTuple):
    """What a server offers for a login."""

    #: SASL mechanisms (RFC 6120 section 6), and those of SASL2 (XEP-0388).
    mechanisms: tuple[str, ...]
    sasl2: tuple[str, ...]
    #: Whether a mechanism binds to the server's TLS, which fails through a gateway.
    binds_channel: bool
    #: The server's certificate in DER; None without TLS.
    certificate: bytes | None = None


class Answer(NamedTuple):
    """What a check found out: a remark about a server that cannot be used, or the offer of one that can."""

    check: Check
    #: The first listener with this check; it has only the addresses of the check.
    listener: ListenerConfig
    remark: Remark | None
    offer: Offer | None


def checks_of(config: Config, hosts: Sequence[str] = ()) -> dict[Check, tuple[ListenerConfig, Mark]]:
    """The checks of a configuration, each with its first listener and the place of the addresses in the file.

    ``hosts``: the domains to ask each server for; empty for the first one. The addresses of the option
    ``upstream`` are checked one by one. The default addresses are several ways to one listener of the XMPP
    server, so they are checked together: one that works is enough.
    """
    found: dict[Check, tuple[ListenerConfig, Mark]] = {}
    for listener in config.listeners:
        mark = config.mark(listener, "upstream")
        together = config.origins.server is not None and mark == config.origins.server
        groups = [listener.upstream] if together else [(address,) for address in listener.upstream]
        for addresses in filter(None, groups):  # a listener with pages only has none
            for host in hosts or config.hosts[:1]:
                check = _check_of(listener, addresses, host)
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


def check_upstreams(config: Config, files: PemFiles) -> list[Remark]:
    """Check all XMPP servers in parallel; returns the remarks in the order of the configuration."""
    return [answer.remark for answer in answers(config, files) if answer.remark is not None]


def answers(config: Config, files: PemFiles, hosts: Sequence[str] = ()) -> Iterator[Answer]:
    """Check all XMPP servers in parallel; yields the answers in the order of the configuration."""
    pool = Pool(_AT_ONCE)
    running = [
        (check, listener, pool.spawn(_RunningCheck(listener, files, check.domain, mark).answer))
        for check, (listener, mark) in checks_of(config, hosts).items()
    ]
    for check, listener, greenlet in running:
        yield Answer(check, listener, *greenlet.get())


def one_answer(listener: ListenerConfig, files: PemFiles, domain: str, mark: Mark) -> Answer:
    """The answer for the addresses of ``listener`` together; ``mark`` is their place in the configuration."""
    check = _check_of(listener, listener.upstream, domain)
    return Answer(check, listener, *_RunningCheck(listener, files, domain, mark).answer())


_Found = tuple[Remark | None, Offer | None]


class _RunningCheck:
    """Carries out one check."""

    def __init__(self, listener: ListenerConfig, files: PemFiles, domain: str, mark: Mark) -> None:
        """``listener`` has only the addresses to check; ``domain`` is the domain of the stream header."""
        self._listener = listener
        self._files = files
        self._domain = domain
        self._mark = mark
        #: What the server has done so far, as the end of a sentence, for the remark after the timeout.
        self._state = _SILENT

    def answer(self) -> _Found:
        """What is wrong, and what the server offers if it can be used."""
        seconds = self._listener.connect_timeout
        with gevent.Timeout(seconds, False):  # type: ignore[arg-type]
            return self._ask()
        topic = REACH if self._state == _SILENT else XMPP
        return self._fault(topic, f"{self._state} within {seconds:g} s", self._advice_for_silence())

    def _fault(self, topic: str, what: str, fix: str) -> _Found:
        name = ", ".join(map(str, self._listener.upstream))
        return Remark(topic, self._mark, f"upstream {name}", what, fix), None

    def _ask(self) -> _Found:
        connection, failures = Upstream(self._listener, self._files, Tally()).try_out(self._domain)
        if connection is None:
            reasons = "; ".join(self._shown(failure) for failure in failures)
            topic = _topic_of(failures[-1][1])
            return self._fault(topic, f"cannot be used: {reasons}", self._advice(*failures[-1]))
        self._state = "accepts connections but does not answer a stream header"
        try:
            return self._judge(connection)
        except OSError as error:
            reason = error.strerror or str(error)
            return self._fault(XMPP, f"resets the connection: {reason}", self._advice_for_silence())
        finally:
            connection.linger(0.0, _LINGERS)

    def _shown(self, failure: Failure) -> str:
        address, error = failure
        reason = _words(error)
        (first, *others) = self._listener.upstream
        if address == first and not others:
            return reason
        if first.scheme == "srv" and address == UpstreamAddress("starttls", first.host, 5222):
            return f"{address}, tried because there are no SRV records: {reason}"
        return f"{address}: {reason}"

    # -- the server's answer ---------------------------------------------------------------------

    def _judge(self, connection: SocketAsync) -> _Found:
        connection.sendall(starttls_header(self._domain))
        for header, element in _elements(connection):
            if not element:
                self._state = "answers with a stream header but sends no features"
                continue
            connection.sendall(_END)
            if isinstance(element, str):
                return self._fault(XMPP, f"does not speak XMPP ({element})", _NO_XMPP)
            try:
                return self._about(header, element, connection.peer_certificate)
            except StreamError as error:  # the element exceeds a limit of the parser
                return self._fault(XMPP, f"does not speak XMPP ({error.text})", _NO_XMPP)
        return self._fault(XMPP, "ends the connection without an answer", self._advice_for_silence())

    def _about(self, header: bytes, data: bytes, certificate: bytes | None) -> _Found:
        """What the server's first element says. Raises StreamError if it costs too much to read."""
        element = read_element(header, data)
        if element.name == ERROR:
            condition, _ = condition_of(header, data)
            what = f"refuses the stream to {self._domain}: {condition}"
            return self._fault(_topic_of_refusal(condition), what, _advice_for_refusal(condition))
        if element.name != FEATURES:
            return None, None
        if self._is_plain and _wants_starttls(element):
            host = self._listener.upstream[0]
            form = f"starttls://{host.host}:{host.port}" if host.scheme == "tcp" else "starttls://HOST:PORT"
            return self._fault(WANTS_TLS, "requires STARTTLS", f"write it as {form}")
        offer = _offer(element, offers_channel_binding(header, data))
        return None, offer._replace(certificate=certificate)

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
        if isinstance(error, StreamRefused):
            return _advice_for_refusal(error.condition)
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
        if _reason_of(error) == _UNKNOWN_NAME:
            return _SERVED
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
_SERVED = "hosts must name a domain that the XMPP server serves"
_UNKNOWN_HOST = ("host-unknown", "host-gone", "improper-addressing")
#: OpenSSL's reason for the alert of a server without a certificate for the name (RFC 6066 section 3).
_UNKNOWN_NAME = "TLSV1_UNRECOGNIZED_NAME"
_OF_FILES = {
    errno.ENOENT: "start the XMPP server, or correct the path",
    errno.EACCES: "let the account {account} enter its directories and write to the socket",
    errno.ECONNREFUSED: "start the XMPP server: the socket belongs to a stopped server",
    errno.ENOTSOCK: "correct the path",
}


def _words(error: OSError) -> str:
    """What went wrong, without the places in the source code of OpenSSL."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    return _reason_of(error).replace("_", " ").lower() or error.strerror or str(error)


def _reason_of(error: OSError) -> str:
    """OpenSSL's name for the reason, as ``WRONG_VERSION_NUMBER``; empty if it has none."""
    return getattr(error, "reason", "") or "" if isinstance(error, ssl.SSLError) else ""


def _topic_of_refusal(condition: str) -> str:
    return HOST if condition in _UNKNOWN_HOST else XMPP


def _advice_for_refusal(condition: str) -> str:
    return _SERVED if condition in _UNKNOWN_HOST else "the XMPP server's log has the reason"


def _topic_of(error: OSError) -> str:
    if isinstance(error, StreamRefused):
        return _topic_of_refusal(error.condition)
    if _reason_of(error) == _UNKNOWN_NAME:
        return HOST
    if isinstance(error, OtherName | OtherCertificate | ssl.SSLCertVerificationError):
        return CERTIFICATE
    return TLS if isinstance(error, ssl.SSLError | NoStartTls) else REACH


def _wants_starttls(features: Element) -> bool:
    """Whether STARTTLS is required (RFC 6120 section 5.3.1), or is offered without any SASL mechanism."""
    offers = [child for child in features.children if child.name == STARTTLS]
    required = any(inner.name == _REQUIRED for offer in offers for inner in offer.children)
    return required or (bool(offers) and all(child.name not in _LISTS for child in features.children))


def _offer(features: Element, binds_channel: bool) -> Offer:
    lists: dict[str, list[str]] = {name: [] for name in _LISTS}
    for child in features.children:
        for inner in child.children if child.name in lists else ():
            if split_name(inner.name)[1] == "mechanism":
                lists[child.name].append(inner.text.strip())
    sasl, sasl2 = map(tuple, lists.values())
    return Offer(sasl, sasl2, binds_channel)


def _elements(connection: SocketAsync) -> Iterator[tuple[bytes, bytes | str]]:
    """Yield (the server's stream header, an empty element), then (the header, its first element).

    Instead of an invalid element yield the reason. Yield nothing more if the connection ends before.
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
                yield header, b""
            elif name:
                yield header, element
                return
            else:
                return
        if stream.failure is not None:
            yield header, stream.failure.text
            return
