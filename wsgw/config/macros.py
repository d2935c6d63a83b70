"""Macros of ejabberd's configuration: ``{define_macro, 'NAME', Value}`` and their use.

A use is an atom of that name anywhere in any of the files, or ``{use_macro, 'NAME', Default}``. Since
ejabberd 25.03, ``define_keyword`` defines keywords too; a string uses a keyword or a macro as ``@NAME@``. A
macro that uses itself, or grows beyond the limits below, stays unexpanded. That is an error only in an
option that wsgw reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from wsgw.config.terms import Atom, ListTerm, MapTerm, Number, Term, Text, TupleTerm, entries_of

#: Terms in one expanded macro at most.
_MAX_SIZE = 1_000_000
_KEYWORD = re.compile(r"@([A-Za-z_]\w*)@")
#: Levels of macros nested in macros at most.
_MAX_DEPTH = 8


class Macros:
    """The macros that ``terms`` define; the first definition of a name counts, as in ejabberd."""

    def __init__(self, terms: list[Term]) -> None:
        self._values: dict[str, Term] = {}
        #: The values that a string can contain: numbers, words, strings.
        self._scalars: dict[str, Term] = {}
        self._expanded: dict[str, tuple[Term, int] | None] = {}
        self._depth = 0
        self._size = 0
        for kind, name, value in _definitions(terms):
            if kind == "define_macro":
                self._values.setdefault(name, value)
            if isinstance(value, Atom | Text | Number):
                self._scalars.setdefault(name, value)

    def expand(self, term: Term) -> Term:
        """``term`` with each known macro replaced by its value, which gets the line of the use."""
        if not self._values and not self._scalars:
            return term
        self._size += 1
        match term:
            case Atom(name) if name in self._values:
                return self._use(name, term)
            case Atom(text) | Text(text) if "@" in text:
                return self._filled(term, text)
            case TupleTerm((Atom("use_macro"), Atom(name), default)):
                return self._use(name, term) if name in self._values else self.expand(default)
            case TupleTerm(items):
                return replace(term, items=tuple(map(self.expand, items)))
            case ListTerm(items, _, tail):
                end = None if tail is None else self.expand(tail)
                return replace(term, items=tuple(map(self.expand, items)), tail=end)
            case MapTerm(pairs):
                expanded = tuple((self.expand(key), self.expand(value)) for key, value in pairs)
                return replace(term, pairs=expanded)
        return term

    def _filled(self, term: Term, text: str) -> Term:
        """``term`` with the keywords and macros in its ``text`` replaced by their values."""
        alone = _KEYWORD.fullmatch(text)
        if alone and alone[1] in self._values:
            return self._use(alone[1], term)
        if alone and alone[1] in self._scalars:
            return replace(self._scalars[alone[1]], mark=term.mark)
        filled = _KEYWORD.sub(self._spelled, text)
        return term if filled == text else Text(filled, term.mark)

    def _spelled(self, found: re.Match[str]) -> str:
        match self._scalars.get(found[1]):
            case Atom(text) | Text(text):
                return text
            case Number(number):
                return str(number)
        return found[0]

    def _use(self, name: str, use: Term) -> Term:
        if name not in self._expanded:
            self._expanded[name] = None  # stays None if it uses itself, or grows too large
            self._expanded[name] = self._expand_value(name)
        known = self._expanded[name]
        if known is None or self._size + known[1] > _MAX_SIZE:
            return use
        self._size += known[1]
        return replace(known[0], mark=use.mark)

    def _expand_value(self, name: str) -> tuple[Term, int] | None:
        if self._depth >= _MAX_DEPTH:
            return None
        before, self._size = self._size, 0
        self._depth += 1
        value = self.expand(self._values[name])
        self._depth -= 1
        size, self._size = self._size, before
        return (value, size) if size <= _MAX_SIZE else None


def _definitions(terms: list[Term]) -> Iterator[tuple[str, str, Term]]:
    """(``define_macro`` or ``define_keyword``, name, value) of each definition."""
    for term in terms:
        match term:
            case TupleTerm((Atom("define_macro" | "define_keyword" as kind), Atom(name), value)):
                yield kind, name, value
            case TupleTerm(
                (Atom("define_macro" | "define_keyword" as kind), ListTerm() | MapTerm() as mapped)
            ):
                yield from ((kind, name, value) for name, value in _mapped(mapped))


def _mapped(definitions: Term) -> Iterator[tuple[str, Term]]:
    """The form of YAML; newer versions of ejabberd accept names in double quotes too."""
    for key, value in entries_of(definitions):
        if isinstance(key, Atom | Text) and value is not None and not isinstance(key, Number):
            yield (key.name if isinstance(key, Atom) else key.value), value
