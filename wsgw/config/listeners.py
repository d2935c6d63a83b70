"""The listeners of a configuration, wsgw's and ejabberd's, in all forms that ejabberd has had for them.

{5288, Module, Options}      {{5288, "::"}, Module, Options}      {{5288, {127,0,0,1}, tcp}, Module, Options}
- {port: 5288, ip: "::", transport: tcp, module: Module, OPTION: VALUE, ...}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wsgw.config.document import Document
from wsgw.config.model import LISTENER_MODULES
from wsgw.config.terms import (
    Atom,
    MapTerm,
    Mark,
    Number,
    Term,
    Text,
    TupleTerm,
    entries_of,
    items_of,
    name_of,
)

#: The keys of a YAML listener that are no options.
PLACE = ("port", "module", "transport")
_TRANSPORTS = ("tcp", "udp")


@dataclass(frozen=True, slots=True)
class RawListener:
    """One listener with its options as terms; an option that is a bare word has the value None."""

    module: str
    mark: Mark
    port: Term | None
    ip: Term | None
    transport: str
    options: tuple[tuple[Term, Term | None], ...]

    @property
    def is_ours(self) -> bool:
        """Whether it is a listener of wsgw for browsers."""
        return self.module in LISTENER_MODULES

    def option(self, name: str) -> Term | None:
        """The value of the first option ``name``: the atom ``true`` for a bare word, None without one."""
        for key, value in self.options:
            if name_of(key) == name:
                return Atom("true", key.mark) if value is None else value
        return None

    def flag(self, name: str) -> bool:
        """Whether the option ``name`` is ``true``."""
        return name_of(self.option(name)) == "true"


def raw_listeners(document: Document) -> Iterator[RawListener]:
    """All listeners, in file order; malformed ones are omitted."""
    for setting in document.all("listen"):
        items = (setting.value,) if isinstance(setting.value, MapTerm) else items_of(setting.value)
        for item in items or ():
            listener = _of_tuple(item) if isinstance(item, TupleTerm) else _of_map(item)
            if listener is not None:
                yield listener


def _of_tuple(term: TupleTerm) -> RawListener | None:
    if len(term.items) < 2 or not isinstance(term.items[1], Atom | Text):
        return None
    port, ip, transport = _port_ip_transport(term.items[0])
    module = name_of(term.items[1]) or ""
    options = tuple(entries_of(term.items[2])) if len(term.items) > 2 else ()
    return RawListener(module, term.mark, port, ip, transport, options)


def _port_ip_transport(term: Term) -> tuple[Term, Term | None, str]:
    if not isinstance(term, TupleTerm) or not term.items:
        return term, None, "tcp"
    port, *rest = term.items
    transport = "tcp"
    if rest and name_of(rest[-1]) in _TRANSPORTS:
        transport = name_of(rest.pop()) or transport
    return port, rest[0] if rest else None, transport


def _of_map(term: Term) -> RawListener | None:
    if not isinstance(term, MapTerm):
        return None
    place: dict[str, Term] = {}
    options: list[tuple[Term, Term | None]] = []
    for key, value in term.pairs:
        name = name_of(key)
        if name in PLACE and name not in place:
            place[name] = value
        else:
            options.append((key, value))
    module = name_of(place.get("module"))
    if module is None:
        return None
    transport = name_of(place.get("transport")) or "tcp"
    return RawListener(module, term.mark, place.get("port"), None, transport, tuple(options))


def port_number(term: Term | None) -> int | None:
    """``term`` as a port to connect to; None if it is not a number from 1 to 65535."""
    if isinstance(term, Number) and isinstance(term.value, int) and 1 <= term.value <= 65535:
        return term.value
    return None
