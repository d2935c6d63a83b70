"""Terms with their places: both file formats are read into the same six classes.

As in ejabberd, a YAML word that is plain or in single quotes is an atom, and one in double quotes is a
string; ``true``, ``false``, ``infinity`` and ``undefined`` (YAML's null) are atoms too. ``document`` and
``options`` know what a term means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from wsgw.errors import ConfigError, ConfigProblem

#: Terms in terms, at most: deeper than any configuration, and far below Python's recursion limit.
MAX_DEPTH = 100

#: Atoms that are values, and are never read as a name or as text.
_VALUE_ATOMS = frozenset({"true", "false", "infinity", "undefined"})
_MACRO_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_PLAIN_IN_YAML = re.compile(r"[\w/.@:-]+")
_SHOWN_CHARACTERS = 60
_SHOWN_DEPTH = 6


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file, with lines from 1; line 0 is the whole file, or the command line."""

    file: str
    line: int
    #: Whether the file is YAML; messages about the place then use its syntax.
    yaml: bool = field(default=False, compare=False)


def in_syntax_of(mark: Mark, erlang: str, yaml: str) -> str:
    """``erlang`` or ``yaml``, an example for a message, in the syntax of the file of ``mark``."""
    return yaml if mark.yaml else erlang


@dataclass(frozen=True, slots=True)
class Atom:
    """A word."""

    name: str
    mark: Mark = field(compare=False)

    @property
    def looks_like_macro(self) -> bool:
        """Whether the name has the form of a macro's name; the message about an undefined macro differs."""
        return _MACRO_NAME.fullmatch(self.name) is not None


@dataclass(frozen=True, slots=True)
class Text:
    """A string or a binary."""

    value: str
    mark: Mark = field(compare=False)


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number or a fraction."""

    value: int | float
    mark: Mark = field(compare=False)


@dataclass(frozen=True, slots=True)
class TupleTerm:
    """An Erlang tuple; an option of a YAML file is a tuple of its name and value."""

    items: tuple[Term, ...]
    mark: Mark = field(compare=False)


@dataclass(frozen=True, slots=True)
class ListTerm:
    """A list; ``tail`` is that of an improper list ``[a | tail]``."""

    items: tuple[Term, ...]
    mark: Mark = field(compare=False)
    tail: Term | None = None


@dataclass(frozen=True, slots=True)
class MapTerm:
    """A YAML mapping; repeated keys are kept."""

    pairs: tuple[tuple[Term, Term], ...]
    mark: Mark = field(compare=False)


Term = Atom | Text | Number | TupleTerm | ListTerm | MapTerm


class Problems:
    """Collects every error, so that all are reported at once."""

    def __init__(self) -> None:
        self._found: set[ConfigProblem] = set()
        self._unfilled: set[ConfigProblem] = set()
        #: Sentences about settings that are probably not intended, in file order.
        self.warnings: list[str] = []
        #: Whether parts of a file could not be read: a missing option may be in them.
        self.incomplete = False

    def __len__(self) -> int:
        return len(self._found) + len(self._unfilled)

    def add(self, mark: Mark, reason: str) -> None:
        """Add the error ``reason`` at ``mark``."""
        self._found.add(ConfigProblem(mark.file, mark.line, reason))

    def add_misfit(self, name: str, misfit: Misfit) -> None:
        """Add all errors in the value of the option ``name``."""
        for error in misfit.errors:
            (self.add_missing if error in misfit.undefined else self.add)(error[0], f"{name}: {error[1]}")

    def add_unfilled(self, mark: Mark, placeholder: str) -> None:
        """Add that ``placeholder`` was not filled in; it hides all other errors on its line."""
        self._unfilled.add(
            ConfigProblem(mark.file, mark.line, f"the placeholder {placeholder} is not filled in")
        )
        self.incomplete = True

    def add_all(self, others: Problems) -> None:
        """Add the errors and warnings of ``others``."""
        self._found |= others._found
        self._unfilled |= others._unfilled
        self.warnings += others.warnings
        self.incomplete = self.incomplete or others.incomplete

    def add_missing(self, mark: Mark, reason: str) -> None:
        """Add that something is missing, unless parts of a file could not be read."""
        if not self.incomplete:
            self.add(mark, reason)

    def warn(self, mark: Mark, sentence: str) -> None:
        """Add a warning, a whole sentence, at ``mark``."""
        self.warnings.append(str(ConfigProblem(mark.file, mark.line, sentence)))

    def raise_if_any(self) -> None:
        """Raise ConfigError with all errors, sorted by file and line, if there are any."""
        places = {(problem.file, problem.line) for problem in self._unfilled}
        others = {problem for problem in self._found if (problem.file, problem.line) not in places}
        if self._unfilled or others:
            raise ConfigError(sorted(self._unfilled | others))


class Misfit(Exception):
    """A term is not a value that the option accepts; ``errors`` has one or more places with reasons."""

    def __init__(self, mark: Mark, reason: str) -> None:
        super().__init__(reason)
        self.errors: list[tuple[Mark, str]] = [(mark, reason)]
        #: The errors that a definition, for example of a macro, would remove.
        self.undefined: list[tuple[Mark, str]] = []

    @classmethod
    def of_undefined(cls, mark: Mark, reason: str) -> Misfit:
        """An error that exists only because a definition is missing, for example of a macro."""
        misfit = cls(mark, reason)
        misfit.undefined = list(misfit.errors)
        return misfit

    @classmethod
    def joined(cls, misfits: Sequence[Misfit]) -> Misfit:
        """One Misfit with the errors of all ``misfits``; ``misfits`` must not be empty."""
        first = misfits[0]
        first.errors = [error for misfit in misfits for error in misfit.errors]
        first.undefined = [error for misfit in misfits for error in misfit.undefined]
        return first


def name_of(term: Term | None) -> str | None:
    """The name in an atom or a string; None for any other term."""
    if isinstance(term, Atom):
        return term.name
    return term.value if isinstance(term, Text) else None


def text_of(term: Term) -> str | None:
    """The text of a string, a binary or a bare word; None for other terms, and for ``true`` and the like."""
    if isinstance(term, Atom) and (term.name in _VALUE_ATOMS or term.looks_like_macro):
        return None
    return name_of(term)


def items_of(term: Term) -> tuple[Term, ...] | None:
    """The items of a proper list; an empty tuple for Erlang's empty string; None for any other term."""
    if isinstance(term, ListTerm) and term.tail is None:
        return term.items
    return () if isinstance(term, Text) and not term.value else None


def entries_of(term: Term) -> Iterator[tuple[Term, Term | None]]:
    """The (key, value) pairs of a mapping or property list; the value of a bare word is None.

    Reads ``{k: v}``, ``[{k: v}, ...]``, ``[{k, v}, ...]`` and ``[k, ...]``. Any other item is a key without a
    value, which the caller skips or reports.
    """
    if isinstance(term, MapTerm):
        yield from term.pairs
        return
    for item in items_of(term) or ():
        if isinstance(item, MapTerm):
            yield from item.pairs
        elif isinstance(item, TupleTerm) and len(item.items) == 2:
            yield item.items[0], item.items[1]
        else:
            yield item, None


def is_entries(term: Term) -> bool:
    """Whether ``entries_of`` can read ``term``."""
    return isinstance(term, MapTerm) or items_of(term) is not None


def show(term: Term) -> str:
    """``term`` in the syntax of its file, cut to a length that fits a message."""
    text = write(term, _SHOWN_DEPTH)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def write(term: Term, depth: int = 1000) -> str:
    """``term`` in the syntax of its file; levels below ``depth`` are written as ``...``."""
    if depth <= 0:
        return "..."
    match term:
        case Atom(name) if term.mark.yaml and _PLAIN_IN_YAML.fullmatch(name):
            return name
        case Atom(name):
            plain = name.isascii() and name[:1].islower() and name.replace("_", "a").isalnum()
            return name if plain else _quoted(name, "'")
        case Text(value):
            return _quoted(value, '"')
        case Number(value):
            text = repr(value)
            return text.replace("e", ".0e") if "e" in text and "." not in text else text
        case TupleTerm(items):
            return "{" + _joined(items, depth) + "}"
        case ListTerm(items, _, tail):
            bar = "" if tail is None else f" | {write(tail, depth - 1)}"
            return "[" + _joined(items, depth) + bar + "]"
        case MapTerm(pairs):
            shown = (f"{write(key, depth - 1)}: {write(value, depth - 1)}" for key, value in pairs[:20])
            return "{" + ", ".join(shown) + "}"


def _joined(items: tuple[Term, ...], depth: int) -> str:
    most = items if depth > _SHOWN_DEPTH else items[:20]
    return ", ".join(write(item, depth - 1) for item in most)


def _quoted(text: str, quote: str) -> str:
    characters = []
    for character in text:
        if character in ("\\", quote):
            characters.append("\\" + character)
        elif character.isprintable():
            characters.append(character)
        else:
            characters.append(f"\\x{{{ord(character):x}}}")
    return quote + "".join(characters) + quote
