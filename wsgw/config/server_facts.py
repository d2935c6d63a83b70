"""The address, limits and certificates of the XMPP server, taken from its part of the configuration.

That part is written for the XMPP server, so a value that wsgw cannot use is not an error but is ignored.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from glob import glob, has_magic
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Literal

from wsgw.config.document import Document
from wsgw.config.listeners import RawListener, port_number, raw_listeners
from wsgw.config.model import UpstreamAddress
from wsgw.config.network_types import parse_address
from wsgw.config.pem import check_certificate_and_key, check_certificates, check_key
from wsgw.config.session_options import DEFAULT_STANZA_SIZE, STANZA_FLOOR
from wsgw.config.terms import Mark, Misfit, Number, Term, TupleTerm, items_of, name_of, text_of

#: Files of one wildcard at most; further ones are ignored.
_MAX_CERTFILES = 1000


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The values that serve as defaults for listeners of wsgw; sizes in bytes."""

    #: Addresses of the first ``ejabberd_c2s`` listener, tried in order; empty without such a listener.
    upstream: tuple[UpstreamAddress, ...]
    upstream_proxy_protocol: Literal["off", "v2"]
    max_stanza_size: int
    #: Global PEM files with certificates or keys; empty unless there are both.
    certfiles: tuple[Path, ...]
    #: For each other global PEM file, and each wildcard without a file, the reason why it cannot serve TLS.
    keyless: tuple[str, ...]
    #: PEM files with certificates, including that of the c2s listener.
    upstream_certfiles: tuple[Path, ...]
    #: For each named certificate file that cannot be used, its place and the reason.
    unusable: tuple[tuple[Mark, str], ...]
    #: Where the c2s listener is in the file; None without such a listener.
    mark: Mark | None
    #: The options of wsgw whose defaults that listener sets.
    set_options: tuple[str, ...]
    #: Where in the configuration each certificate file is named.
    marks: Mapping[Path, Mark]


def server_facts(document: Document) -> ServerFacts:
    """Read the facts from ``document``, and from the certificate files that it names."""
    listener = next(filter(_is_usable_c2s, raw_listeners(document)), None)
    of_all = list(_global_certfiles(document))
    everywhere = list(dict.fromkeys(path for path, _ in of_all))
    named = [*of_all]
    own = listener.option("certfile") if listener is not None else None
    if own is not None:
        named[:0] = _paths(own)
    marks: dict[Path, Mark] = {}
    for path, mark in named:
        marks.setdefault(path, mark)
    usable, faults = _sorted_out(list(marks), check_certificates)
    keys, _ = _sorted_out(everywhere, check_key)
    for_browsers = [path for path in everywhere if path in keys or path in usable]
    _, keyless = _sorted_out(everywhere, check_certificate_and_key)
    return ServerFacts(
        upstream=() if listener is None else _addresses(listener),
        upstream_proxy_protocol="v2"
        if listener is not None and listener.flag("use_proxy_protocol")
        else "off",
        max_stanza_size=_max_stanza_size(listener),
        certfiles=tuple(for_browsers) if keys and set(usable).intersection(everywhere) else (),
        keyless=(*_wildcards_without_a_file(document), *keyless.values()),
        upstream_certfiles=usable,
        unusable=tuple((marks[path], why) for path, why in faults.items() if path not in keys),
        mark=listener.mark if listener is not None else None,
        set_options=_set_options(listener),
        marks=marks,
    )


def _set_options(listener: RawListener | None) -> tuple[str, ...]:
    if listener is None:
        return ()
    names = ["upstream"]
    if listener.flag("use_proxy_protocol"):
        names.append("upstream_proxy_protocol")
    if listener.option("max_stanza_size") is not None:
        names.append("max_stanza_size")
    return tuple(names)


# Where it listens


#: The module of the server's listener for clients, and the options of that listener that matter to wsgw.
C2S = "ejabberd_c2s"
SERVER_OPTIONS = (
    "port", "module", "ip", "transport", "tls", "starttls", "starttls_required", "certfile",
    "max_stanza_size", "use_proxy_protocol", "access", "shaper", "backlog",
)  # fmt: skip


def _is_usable_c2s(listener: RawListener) -> bool:
    if listener.module != C2S or listener.transport != "tcp":
        return False
    return port_number(listener.port) is not None or _unix_path(listener) is not None


def _unix_path(listener: RawListener) -> str | None:
    text = text_of(listener.port) if listener.port is not None else None
    path = text.removeprefix("unix:") if text is not None and text.startswith("unix:") else ""
    return path if path.startswith("/") else None


def _addresses(listener: RawListener) -> tuple[UpstreamAddress, ...]:
    path = _unix_path(listener)
    if path is not None:
        return (UpstreamAddress("unix", path, 0),)
    scheme: Literal["tcp", "starttls", "tls"] = "tcp"
    if listener.flag("tls"):
        scheme = "tls"
    elif listener.flag("starttls_required"):
        scheme = "starttls"
    port = port_number(listener.port) or 0
    return tuple(UpstreamAddress(scheme, host, port) for host in _connectable(listener))


def _connectable(listener: RawListener) -> tuple[str, ...]:
    """The addresses under which this machine reaches its own ``listener``.

    A listener on ``::`` accepts IPv4 too, unless net.ipv6.bindv6only is set, and many containers have no
    ``::1``: so both loopback addresses are tried.
    """
    term = listener.ip or listener.option("ip")
    address: IPv4Address | IPv6Address | None = None
    try:
        address = parse_address(term) if term is not None else None
    except Misfit:
        address = None
    if address is not None and not address.is_unspecified:
        return (str(address),)
    on_ipv6 = address.version == 6 if address is not None else listener.flag("inet6")
    return ("127.0.0.1", "::1") if on_ipv6 else ("127.0.0.1",)


def _max_stanza_size(listener: RawListener | None) -> int:
    term = listener.option("max_stanza_size") if listener is not None else None
    if name_of(term) == "infinity":
        return sys.maxsize
    if isinstance(term, Number) and isinstance(term.value, int) and term.value > 0:
        return min(max(term.value, STANZA_FLOOR), sys.maxsize)
    return DEFAULT_STANZA_SIZE


# Its certificates


def _global_certfiles(document: Document) -> Iterator[tuple[Path, Mark]]:
    """The files of ``certfiles`` and of ``domain_certfile`` in any form, for all hosts or one."""
    for setting in document.settings:
        if setting.name == "certfiles" or setting.name == "domain_certfile":
            yield from _paths(setting.value)


def _wildcards_without_a_file(document: Document) -> Iterator[str]:
    """For each wildcard in ``certfiles`` that matches no file, that reason why it cannot serve TLS."""
    for setting in document.settings:
        for text, mark in _names(setting.value) if setting.name == "certfiles" else ():
            if has_magic(text) and not _matching(text, mark):
                yield f"{Path(mark.file).parent / text} matches no file"


def _paths(term: Term) -> Iterator[tuple[Path, Mark]]:
    """The files that ``term`` names, each with its line."""
    for text, mark in _names(term):
        found = _matching(text, mark) if has_magic(text) else (Path(mark.file).parent / text,)
        yield from ((path, mark) for path in found)


def _matching(wildcard: str, mark: Mark) -> list[Path]:
    """The files that match ``wildcard``, which is relative to the file at ``mark``."""
    folder = Path(mark.file).parent
    return [folder / name for name in sorted(glob(wildcard, root_dir=folder))[:_MAX_CERTFILES]]


def _names(term: Term) -> Iterator[tuple[str, Mark]]:
    """The names of files and the wildcards in ``term``, as written, each with its line."""
    if isinstance(term, TupleTerm) and term.items:  # {domain_certfile, "example.org", "/path.pem"}
        term = term.items[-1]
    for item in items_of(term) or (term,):
        text = text_of(item)
        if text and "\0" not in text:
            yield text, item.mark


def _sorted_out(paths: list[Path], check: Callable[[Path], None]) -> tuple[tuple[Path, ...], dict[Path, str]]:
    """(the ``paths`` that pass ``check``, the reason for each of the others)."""
    usable: list[Path] = []
    unusable: dict[Path, str] = {}
    for path in paths:
        try:
            check(path)
            usable.append(path)
        except ValueError as error:
            unusable[path] = f"{path} {error}"
    return tuple(usable), unusable
