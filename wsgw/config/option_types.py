"""The types of option values: each parses a term, and describes in words the values that it accepts.

Numbers, times, words, files and rates are here; ``network_types`` has addresses, domains, origins and URLs.
"""

from __future__ import annotations

import math
import pwd
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from wsgw.config.terms import (
    Atom,
    Misfit,
    Number,
    Term,
    TupleTerm,
    entries_of,
    in_syntax_of,
    is_entries,
    items_of,
    name_of,
    show,
    text_of,
)

_S = TypeVar("_S")
_T = TypeVar("_T")

#: Seconds in ejabberd's units of time.
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(
    r"\s*(\d+(?:\.\d+)?)\s*"
    r"(?:(?P<ms>ms|msec|milliseconds?)|(?P<s>s|secs?|seconds?)|(?P<m>m|mins?|minutes?)|(?P<h>h|hours?)|(?P<d>d|days?))?"
    r"\s*",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Context:
    """The definitions of the configuration to which a value can refer by name."""

    shapers: Mapping[str, Term] = field(default_factory=dict)
    #: Rules by user, for example ``c2s_shaper``: ejabberd's own listeners accept them as a shaper.
    rules: Mapping[str, Term] = field(default_factory=dict)


class OptionType(Protocol):
    """One type of values."""

    @property
    def label(self) -> str:
        """The accepted values in words, for tables and messages."""

    def parse(self, term: Term, context: Context) -> Any:
        """The value of the setting. Raises Misfit."""


def wrong_type(term: Term, expected: str) -> Misfit:
    """The Misfit for ``term`` where ``expected`` describes the accepted values."""
    if isinstance(term, Atom) and term.looks_like_macro:
        return Misfit.of_undefined(term.mark, f"expected {expected}; no macro {term.name!r} is defined")
    found = "nothing" if isinstance(term, Atom) and term.name == "undefined" else show(term)
    return Misfit(term.mark, f"expected {expected}, found {found}")


def is_word(term: Term, *words: str) -> bool:
    """Whether ``term`` is one of ``words``."""
    return name_of(term) in words


def parse_each(terms: Sequence[_S], parse: Callable[[_S], _T]) -> tuple[_T, ...]:
    """The values of all ``terms``. Raises one Misfit with the errors of all of them."""
    values: list[_T] = []
    misfits: list[Misfit] = []
    for term in terms:
        try:
            values.append(parse(term))
        except Misfit as misfit:
            misfits.append(misfit)
    if misfits:
        raise Misfit.joined(misfits)
    return tuple(values)


def one_or_more(term: Term) -> tuple[Term, ...]:
    """The items of a list; any other term is the only item."""
    items = items_of(term)
    return (term,) if items is None else items


@dataclass(frozen=True, slots=True)
class Flag:
    """``true`` or ``false``."""

    label: ClassVar[str] = "true or false"

    def parse(self, term: Term, context: Context) -> bool:
        if isinstance(term, Atom) and term.name in ("true", "false"):
            return term.name == "true"
        raise wrong_type(term, self.label)


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number from ``lowest`` to ``highest``; where ``infinity`` is allowed, it is ``sys.maxsize``."""

    lowest: int
    highest: int
    unit: str = ""
    infinity: bool = False

    @property
    def label(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        more = ", or infinity" if self.infinity else ""
        return f"{self.lowest} to {self.highest}{unit}{more}"

    def parse(self, term: Term, context: Context) -> int:
        if self.infinity and is_word(term, "infinity"):
            return sys.maxsize
        if not isinstance(term, Number) or not isinstance(term.value, int):
            raise wrong_type(term, f"a whole number, {self.label}")
        if not self.lowest <= term.value <= self.highest:
            raise Misfit(term.mark, f"{show(term)} is out of bounds: {self.label}")
        return term.value


@dataclass(frozen=True, slots=True)
class Seconds:
    """Seconds, from a number or a string with a unit; where ``infinity`` is allowed, it is ``math.inf``."""

    lowest: float
    highest: float
    infinity: bool = False
    zero_is_infinity: bool = False

    @property
    def label(self) -> str:
        more = ", or infinity" if self.infinity else ""
        return f"{self.lowest:g} to {self.highest:g} seconds{more}"

    def parse(self, term: Term, context: Context) -> float:
        if self.infinity and is_word(term, "infinity"):
            return math.inf
        seconds = self._seconds(term)
        if seconds == 0 and self.zero_is_infinity:
            return math.inf
        if not self.lowest <= seconds <= self.highest:
            raise Misfit(term.mark, f"{show(term)} is out of bounds: {self.label}")
        return seconds

    def _seconds(self, term: Term) -> float:
        if isinstance(term, Number):
            return self._small(term.value)
        text = text_of(term)
        found = _DURATION.fullmatch(text) if text is not None else None
        if found is None:
            raise wrong_type(term, f'a time, {self.label}, or as in "30 seconds"')
        return float(found.group(1)) * _UNITS[found.lastgroup or "s"]

    def _small(self, value: int | float) -> float:
        """``value`` as a float; a whole number that is too large for a float is out of bounds in any case."""
        return math.inf if isinstance(value, int) and value > sys.maxsize else float(max(value, -1))


@dataclass(frozen=True, slots=True)
class Choice:
    """One of ``words``."""

    words: tuple[str, ...]

    @property
    def label(self) -> str:
        return ", ".join(self.words[:-1]) + f" or {self.words[-1]}"

    def parse(self, term: Term, context: Context) -> str:
        name = name_of(term)
        if name == "false" and "off" in self.words:
            name = "off"  # YAML reads a plain `off` as false
        if name is None or name not in self.words:
            raise wrong_type(term, self.label)
        return name


@dataclass(frozen=True, slots=True)
class Account:
    """The name of an existing account of this machine."""

    label: ClassVar[str] = "an account's name"

    def parse(self, term: Term, context: Context) -> str:
        name = name_of(term)
        if not name or "\0" in name:
            raise wrong_type(term, self.label)
        try:
            pwd.getpwnam(name)
        except KeyError:
            raise Misfit(term.mark, f"there is no account {name}") from None
        return name


@dataclass(frozen=True, slots=True)
class FilePath:
    """A file name; a relative one starts at the directory of the file that contains it."""

    label: str = "a file name"

    def parse(self, term: Term, context: Context) -> Path:
        text = text_of(term)
        if not text or "\0" in text:
            raise wrong_type(term, self.label)
        return Path(term.mark.file).parent / text


@dataclass(frozen=True, slots=True)
class Rate:
    """(events per second, events at once). A number alone sets both: at once, four times as many."""

    label: ClassVar[str] = "a number per second, {Rate, Burst}, or infinity"

    def parse(self, term: Term, context: Context) -> tuple[float, int]:
        if is_word(term, "infinity"):
            return math.inf, sys.maxsize
        rate_term, burst_term = self._parts(term)
        if not isinstance(rate_term, Number) or not 0 < rate_term.value <= 1_000_000:
            raise wrong_type(rate_term, "a rate above 0 and up to 1000000 per second")
        rate = float(rate_term.value)
        if burst_term is None:
            return rate, max(1, math.ceil(4 * rate))
        return rate, Count(1, 1_000_000).parse(burst_term, context)

    def _parts(self, term: Term) -> tuple[Term, Term | None]:
        if isinstance(term, TupleTerm) and len(term.items) == 2:
            return term.items[0], term.items[1]
        if not is_entries(term):
            return term, None
        parts = {name_of(key): value for key, value in entries_of(term)}
        rate, burst = parts.pop("rate", None), parts.pop("burst", None)
        if rate is None or parts:
            label = "a number per second, {rate: RATE, burst: BURST}, or infinity"
            raise wrong_type(term, in_syntax_of(term.mark, self.label, label))
        return rate, burst


@dataclass(frozen=True, slots=True)
class Shaper:
    """Bytes per second, or the name of a defined shaper; None means no limit."""

    label: ClassVar[str] = "bytes per second, the name of a shaper, or none"

    def parse(self, term: Term, context: Context) -> int | None:
        name = name_of(term)
        if name in ("none", "infinity", "false"):
            return None
        if name is None:
            return self._speed(term, term, context)
        if name not in context.shapers:
            known = ", ".join(sorted(context.shapers)) or "none"
            raise Misfit.of_undefined(
                term.mark, f"no shaper {name!r} is defined; the shapers defined are: {known}"
            )
        return self._named(context.shapers[name], term, context)

    def _named(self, shaper: Term, use: Term, context: Context) -> int | None:
        """A definition: ``{maxrate, 1000}``, ``1000``, ``{rate: 1000, burst_size: 9000}`` or ``none``."""
        if name_of(shaper) in ("none", "infinity"):
            return None
        if isinstance(shaper, TupleTerm) and len(shaper.items) == 2:
            return self._speed(shaper.items[1], use, context)
        for key, value in entries_of(shaper):
            if value is not None and name_of(key) in ("rate", "maxrate"):
                return self._speed(value, use, context)
        return self._speed(shaper, use, context)

    def _speed(self, speed: Term, use: Term, context: Context) -> int:
        if isinstance(speed, Number) and isinstance(speed.value, int) and 1 <= speed.value <= sys.maxsize:
            return speed.value
        raise wrong_type(use if speed is use else speed, "a shaper of 1 or more bytes per second")
