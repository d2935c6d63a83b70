"""Types of option values: addresses, domains, servers, origins, and paths of URLs."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from wsgw.config.model import (
    HANDLER,
    HANDLER_NAMES,
    OWN_HANDLERS,
    IPNetwork,
    RequestHandler,
    Traced,
    UpstreamAddress,
)
from wsgw.config.option_types import Context, one_or_more, parse_each, wrong_type
from wsgw.config.spelling import near, nearest
from wsgw.config.terms import (
    Misfit,
    Number,
    Term,
    Text,
    TupleTerm,
    entries_of,
    in_syntax_of,
    is_entries,
    items_of,
    name_of,
    show,
    text_of,
)
from wsgw.xmpp.domain import normalise_domain

_MODULE_NAME = re.compile(r"[a-z]\w*", re.ASCII)

_DEFAULT_PORTS: dict[str, int] = {"tcp": 5222, "starttls": 5222, "tls": 5223}
_SCHEMES = (*_DEFAULT_PORTS, "unix", "srv")
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^\[\]:/?#@\s]+)(?::(?P<port>\d{1,5}))?/?", re.ASCII)
_ORIGIN_PORTS = {"http": 80, "https": 443}
_UPSTREAM_FORMS = "tcp://HOST:PORT, starttls://HOST:PORT, tls://HOST:PORT, unix:/PATH or srv:DOMAIN"


def parse_address(term: Term) -> IPv4Address | IPv6Address:
    """An IP address, from a string or from Erlang's tuple of four or eight numbers. Raises Misfit."""
    try:
        if isinstance(term, TupleTerm):
            return _address_of_tuple(term)
        text = text_of(term)
        if text is not None:
            return ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        pass
    raise wrong_type(term, "an IP address")


def _address_of_tuple(term: TupleTerm) -> IPv4Address | IPv6Address:
    numbers = [item.value for item in term.items if isinstance(item, Number) and isinstance(item.value, int)]
    if len(numbers) != len(term.items):
        raise ValueError("not all numbers")
    if len(numbers) == 4:
        return IPv4Address(".".join(map(str, numbers)))
    return IPv6Address(":".join(f"{number:x}" for number in numbers))


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address, as a normalised string."""

    label: ClassVar[str] = "an IP address"

    def parse(self, term: Term, context: Context) -> str:
        return str(parse_address(term))


@dataclass(frozen=True, slots=True)
class Hosts:
    """Domains as A-labels in lower case, each once."""

    label: ClassVar[str] = "a list of domains"

    def parse(self, term: Term, context: Context) -> tuple[str, ...]:
        return tuple(dict.fromkeys(parse_each(one_or_more(term), self._domain)))

    def _domain(self, term: Term) -> str:
        text = text_of(term)
        if text is None:
            raise wrong_type(term, "a domain")
        try:
            return normalise_domain(text)
        except ValueError as error:
            raise Misfit(term.mark, f"{show(term)}: {error}") from error


@dataclass(frozen=True, slots=True)
class Networks:
    """Networks; a single address is a network with one address. None means ``all``."""

    label: ClassVar[str] = "all, or a list of IP addresses and CIDR networks"

    def parse(self, term: Term, context: Context) -> tuple[IPNetwork, ...] | None:
        if name_of(term) == "all":
            return None
        return parse_each(one_or_more(term), _network)


def _network(term: Term) -> IPNetwork:
    text = text_of(term)
    try:
        if text is not None and "/" in text:
            return ip_network(text, strict=False)
    except ValueError as error:
        raise Misfit(term.mark, f"{show(term)} is not a network: {error}") from error
    address = parse_address(term)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return ip_network(mapped or address)


@dataclass(frozen=True, slots=True)
class TraceTargets:
    """JIDs, IP addresses and CIDR networks.

    No message shows one: the status page has the errors of a reload, and any user of the machine can read it.
    """

    label: ClassVar[str] = "a list of JIDs, IP addresses and CIDR networks"

    def parse(self, term: Term, context: Context) -> Traced:
        places = list(enumerate(one_or_more(term), 1))
        jids = [place for place in places if "@" in (text_of(place[1]) or "")]
        networks = [place for place in places if place not in jids]
        return Traced(frozenset(parse_each(jids, self._jid)), parse_each(networks, self._network))

    def _network(self, place: tuple[int, Term]) -> IPNetwork:
        number, term = place
        try:
            return _network(term)
        except Misfit:
            reason = f"item {number} is not a JID, an IP address or a network"
            raise Misfit(term.mark, reason) from None

    def _jid(self, place: tuple[int, Term]) -> str:
        number, term = place
        bare, slash, resource = (text_of(term) or "").partition("/")
        name, _, domain = bare.partition("@")
        with contextlib.suppress(ValueError):
            if name:
                return f"{name.lower()}@{normalise_domain(domain)}{slash}{resource}"
        raise Misfit(term.mark, f"item {number} is not a JID, NAME@DOMAIN or NAME@DOMAIN/RESOURCE")


@dataclass(frozen=True, slots=True)
class WebOrigins:
    """Values of the ``Origin`` header (RFC 6454 section 6.2) in lower case; an empty tuple means any."""

    label: ClassVar[str] = "any, or a list of origins as in https://example.org"

    def parse(self, term: Term, context: Context) -> tuple[str, ...]:
        if name_of(term) in ("any", "ignore", "all"):
            return ()
        origins = parse_each(one_or_more(term), self._origins)
        return tuple(dict.fromkeys(origin for several in origins for origin in several))

    def _origins(self, term: Term) -> tuple[str, ...]:
        """The origins in one string, separated by blanks, as ejabberd accepts them."""
        text = text_of(term)
        if text is None or not text.strip():
            raise wrong_type(term, "an origin, as in https://example.org")
        return tuple(self._origin(part, term) for part in text.lower().split())

    def _origin(self, text: str, term: Term) -> str:
        if text == "null":
            return text
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise Misfit(term.mark, f"{text} is not an origin: {error}") from error
        if not parts.scheme or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise Misfit(term.mark, f"{text} is not an origin; one is spelled https://example.org")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        shown = "" if port in (None, _ORIGIN_PORTS.get(parts.scheme)) else f":{port}"
        return f"{parts.scheme}://{host}{shown}"


@dataclass(frozen=True, slots=True)
class RequestHandlers:
    """Path prefixes and the modules that answer below them, also modules of ejabberd."""

    label: ClassVar[str] = "a list of {Path, Module}"

    def parse(self, term: Term, context: Context) -> tuple[RequestHandler, ...]:
        if not is_entries(term):
            raise wrong_type(term, in_syntax_of(term.mark, self.label, "a mapping, /PATH: MODULE"))
        pairs = [TupleTerm((key, value or key), key.mark) for key, value in entries_of(term)]
        seen: dict[tuple[str, ...], int] = {}
        return parse_each(pairs, partial(self._handler, seen=seen))

    def _handler(self, pair: Term, seen: dict[tuple[str, ...], int]) -> RequestHandler:
        assert isinstance(pair, TupleTerm)
        key, value = pair.items
        if key is value:
            raise wrong_type(
                key, f"a path and a module, {in_syntax_of(key.mark, '{Path, Module}', '/PATH: MODULE')}"
            )
        path = self._path(key)
        if path in seen:
            raise Misfit(key.mark, f"the path /{'/'.join(path)} already has a handler, in line {seen[path]}")
        seen[path] = key.mark.line
        return RequestHandler(path, self._module(value))

    def _module(self, term: Term) -> str:
        """``HANDLER`` for each of its names, or a module of ejabberd. Raises Misfit for a misspelled name."""
        module = text_of(term)
        if module in HANDLER_NAMES:
            return HANDLER
        if module is None or not _MODULE_NAME.fullmatch(module) or _is_meant(module):
            known = ", ".join(OWN_HANDLERS)
            raise Misfit(term.mark, f"{module or show(term)} is not a request handler; known: {known}")
        return module

    def _path(self, term: Term) -> tuple[str, ...]:
        """The segments of ``"/a/b"``, ``"a/b"`` or ``["a", "b"]``."""
        parts = [term] if items_of(term) is None or isinstance(term, Text) else list(items_of(term) or ())
        texts = [text_of(part) for part in parts]
        segments = [segment for text in texts if text is not None for segment in text.split("/") if segment]
        if None in texts or any(segment in (".", "..") or "\0" in segment for segment in segments):
            raise wrong_type(term, 'a path, as in "/ws-xmpp" or ["ws-xmpp"]')
        return tuple(segments)


def _is_meant(module: str) -> bool:
    """Whether ``module`` is probably a misspelled handler of wsgw."""
    known = (*HANDLER_NAMES, *OWN_HANDLERS)
    return module not in known and (near(module, known) is not None or "websock" in module)


@dataclass(frozen=True, slots=True)
class Upstreams:
    """One or more addresses of the XMPP server, tried in order."""

    label: ClassVar[str] = f"one or a list of {_UPSTREAM_FORMS}"

    def parse(self, term: Term, context: Context) -> tuple[UpstreamAddress, ...]:
        terms = one_or_more(term)
        if not terms:
            raise wrong_type(term, self.label)
        return tuple(dict.fromkeys(parse_each(terms, self._upstream)))

    def _upstream(self, term: Term) -> UpstreamAddress:
        text = text_of(term)
        if text is None:
            raise wrong_type(term, f"an XMPP server, as {_UPSTREAM_FORMS}")
        try:
            return parse_upstream(text)
        except ValueError as error:
            raise Misfit(term.mark, f"upstream {text}: {error}") from error


def parse_upstream(uri: str) -> UpstreamAddress:
    """The address in ``tcp://h:p``, ``starttls://h:p``, ``tls://h:p``, ``unix:/path`` or ``srv:domain``.

    Raises ValueError with the reason.
    """
    scheme, colon, rest = uri.partition(":")
    scheme = scheme.lower()
    if scheme == "unix" and colon:
        path = rest.removeprefix("//")
        if not path.startswith("/") or "\0" in path:
            raise ValueError("a Unix socket is named by its absolute path, unix:/PATH")
        return UpstreamAddress("unix", path, 0)
    if scheme == "srv" and colon:
        return UpstreamAddress("srv", normalise_domain(rest.removeprefix("//")), 0)
    found = _AUTHORITY.fullmatch(rest.removeprefix("//"))
    if scheme not in _DEFAULT_PORTS or not rest.startswith("//"):
        raise ValueError(f"expected {_UPSTREAM_FORMS}{nearest(scheme, _SCHEMES) if colon else ''}")
    if found is None:
        raise ValueError(f"expected {scheme}://HOST:PORT, an IPv6 address in brackets")
    return UpstreamAddress(_tcp_scheme(scheme), _host(found["host"]), _port(found["port"], scheme))


def _tcp_scheme(scheme: str) -> Literal["tcp", "starttls", "tls"]:
    return "tls" if scheme == "tls" else "starttls" if scheme == "starttls" else "tcp"


def _host(host: str) -> str:
    if host.startswith("["):
        return str(IPv6Address(host[1:-1]))
    return normalise_domain(host)


def _port(text: str | None, scheme: str) -> int:
    port = int(text) if text else _DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65535:
        raise ValueError(f"{port} is not a port: ports are 1 to 65535")
    return port


@dataclass(frozen=True, slots=True)
class SeeOtherUri:
    """A WebSocket URL that may contain ``@HOST@`` in place of a host (RFC 7395 section 3.6.1)."""

    label: ClassVar[str] = "a wss:// or ws:// address"

    def parse(self, term: Term, context: Context) -> str:
        text = text_of(term)
        if text is None:
            raise wrong_type(term, self.label)
        if not is_web_address(text, ("ws", "wss")):
            raise wrong_type(term, f"{self.label}, as in wss://@HOST@:5443/ws-xmpp")
        return text


def is_web_address(text: str, schemes: tuple[str, ...]) -> bool:
    """Whether ``text`` is a URL with one of ``schemes``, without user and fragment. ``@HOST@`` is a host."""
    try:
        parts = urlsplit(text.replace("@HOST@", "host.example"))
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    blank = any(character.isspace() or not character.isprintable() for character in text)
    return valid and not blank and not parts.fragment and parts.username is None
