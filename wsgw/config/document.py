"""Reads files into one flat list of settings: expands included files, macros and options of single hosts.

Both formats give the same list. A malformed part is omitted without a message, because it may be an option
that only ejabberd understands. Here only a file that cannot be read or parsed is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from wsgw.config.erlang_terms import read_erlang
from wsgw.config.files import read_bytes
from wsgw.config.includes import check_include, filtered, includes
from wsgw.config.macros import Macros
from wsgw.config.own_files import INCLUDE, MACROS, Owner, check_top_level, owner_of, term_name
from wsgw.config.placeholder_syntax import fill, in_text
from wsgw.config.terms import (
    MapTerm,
    Mark,
    Problems,
    Term,
    TupleTerm,
    entries_of,
    items_of,
    name_of,
)
from wsgw.config.yaml_terms import read_yaml

#: Included files, directly or not. A loop through symbolic links reaches this number.
_MAX_FILES = 100
_YAML_SUFFIXES = (".yml", ".yaml")
_ERLANG_SUFFIXES = (".cfg", ".config", ".terms")
_BLANK_OR_COMMENT = re.compile(r"\s+|[%#][^\n]*")
_YAML_START = re.compile(r"(?:---\s+)?(?:[a-z]\w*:\s|- )")
_ERLANG_START = re.compile(r"\{\s*[a-z]\w*\s*,|[a-z]\w*\s*\.\s")


@dataclass(frozen=True, slots=True)
class Setting:
    """One top-level option.

    ``host``: the host of its ``host_config``; None for all hosts. ``adds``: whether the value is added to
    the value for all hosts instead of replacing it.
    """

    name: str
    value: Term
    mark: Mark
    host: str | None = None
    adds: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """The settings of a configuration, in file order; ``source`` is the name of its main file."""

    source: str
    settings: tuple[Setting, ...]
    #: The owner of the main file.
    owner: Owner = Owner.UNKNOWN
    #: The names of the read files that are wsgw's own.
    own_files: frozenset[str] = frozenset()
    #: Whether the main file is YAML.
    yaml: bool = False

    @property
    def mark(self) -> Mark:
        """The main file as a whole, line 0."""
        return Mark(self.source, 0, self.yaml)

    def all(self, name: str) -> list[Setting]:
        """The settings of the option ``name`` for all hosts, in file order."""
        return [setting for setting in self.settings if setting.name == name and setting.host is None]


def read_document(path: Path, problems: Problems) -> Document:
    """Read ``path`` and the files that it includes; errors go to ``problems``."""
    source = Mark(str(path), 0)
    files = _Files(problems)
    terms = files.read(path, source, ())
    problems.incomplete = len(problems) > 0
    name = str(path)
    own = frozenset(file for file, owner in files.owners.items() if owner is Owner.WSGW)
    try:
        terms = _expanded(terms)
        settings = _all_settings(terms)
    except RecursionError:
        problems.add(source, "its macros are nested too deeply")
        return Document(name, ())
    check_top_level(terms, own, problems)
    return Document(name, settings, files.owners.get(name, Owner.UNKNOWN), own, name in files.yaml)


def _expanded(terms: list[Term]) -> list[Term]:
    macros = Macros(terms)
    return [term if term_name(term) in MACROS else macros.expand(term) for term in terms]


def _all_settings(terms: list[Term]) -> tuple[Setting, ...]:
    return tuple(
        setting for term in terms if term_name(term) not in MACROS for setting in _settings(term, None, False)
    )


# Files


class _Files:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._count = 0
        #: The owner of each read file, by name.
        self.owners: dict[str, Owner] = {}
        #: The names of the files in YAML.
        self.yaml: set[str] = set()

    def read(
        self, path: Path, named_at: Mark, including: tuple[Path, ...], includer: Owner = Owner.UNKNOWN
    ) -> list[Term]:
        """The terms of ``path``; each include is replaced by the terms of its file.

        ``includer``: the owner of the including file.
        """
        self._count += 1
        try:
            if self._count > _MAX_FILES:
                raise ValueError(f"is one of more than {_MAX_FILES} included files")
            if path.resolve() in including:
                raise ValueError("includes itself")
            content = read_bytes(path)
            terms = self._parse(path, content)
        except (ValueError, OSError, RuntimeError) as error:
            reason = f"{error}" if not including else f"the included file {path} {error}"
            self._problems.add(named_at, reason)
            return []
        self.owners[str(path)] = owner_of(path.absolute(), terms, includer)
        including = (*including, path.resolve())
        return [part for term in terms for part in self._included(term, path, including)]

    def _parse(self, path: Path, content: bytes) -> list[Term]:
        erlang = path.suffix in _ERLANG_SUFFIXES
        text = _decode(content, not erlang and path.suffix in _YAML_SUFFIXES)
        if not erlang and path.suffix not in _YAML_SUFFIXES:
            erlang = _starts_as_erlang(text)
        if not erlang:
            self.yaml.add(str(path))
        read = read_erlang if erlang else read_yaml
        problems = Problems()
        terms = read(text, str(path), problems)
        if problems and (reason := _of_other_format(text, erlang, path.suffix)):
            raise ValueError(reason)
        if problems:
            text, placeholders = fill(text, yaml=not erlang)
            if placeholders:
                problems = Problems()
                terms = read(text, str(path), problems)
            for line, placeholder in placeholders:
                problems.add_unfilled(Mark(str(path), line), placeholder)
        self._problems.add_all(problems)
        return terms

    def _included(self, term: Term, path: Path, including: tuple[Path, ...]) -> Iterable[Term]:
        if not isinstance(term, TupleTerm) or not term.items:
            return [term]
        if name_of(term.items[0]) != INCLUDE:
            return [term]
        owner = self.owners[str(path)]
        check_include(term, owner is Owner.WSGW, self._problems)
        terms: list[Term] = []
        for name, options in includes(term.items[1:]):
            if placeholders := tuple(in_text(name)):
                for placeholder in placeholders:
                    self._problems.add_unfilled(term.mark, placeholder)
                continue
            included = self.read(path.parent / name, term.mark, including, owner)
            terms.extend(filtered(included, options))
        return terms


def _starts_as_erlang(text: str) -> bool:
    return _starts_as(_ERLANG_START, text)


def _starts_as(form: re.Pattern[str], text: str) -> bool:
    position = 0
    while skipped := _BLANK_OR_COMMENT.match(text, position):
        position = skipped.end()
    return form.match(text, position) is not None


def _of_other_format(text: str, erlang: bool, suffix: str) -> str:
    """The reason why ``text``, which has errors, looks like the other format; empty if it does not."""
    if erlang and suffix in _ERLANG_SUFFIXES and _starts_as(_YAML_START, text):
        return f"contains YAML, but {suffix} is the ending of Erlang terms: rename it to .yml"
    if not erlang and suffix in _YAML_SUFFIXES and _starts_as_erlang(text):
        return f"contains Erlang terms, but {suffix} is the ending of YAML: rename it to .cfg"
    return ""


def _decode(content: bytes, must_be_utf8: bool) -> str:
    """UTF-8, or Latin-1 as in old ``ejabberd.cfg`` files, since Erlang's sources were Latin-1."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if must_be_utf8:
            line = content.count(b"\n", 0, error.start) + 1
            raise ValueError(f"is not UTF-8 in line {line}") from error
        return content.decode("latin-1")


# Settings


def _settings(term: Term, host: str | None, adds: bool) -> Iterator[Setting]:
    """The settings in one top-level term, or in one term of the options of ``host``."""
    if not isinstance(term, TupleTerm) or len(term.items) < 2:
        return  # for example override_global, which overrides no option of wsgw
    key, *values = term.items
    name = name_of(key)
    if isinstance(key, TupleTerm) and len(key.items) == 2 and name_of(key.items[0]) in ("add", "append"):
        name, adds = name_of(key.items[1]), True
    if name in ("host_config", "append_host_config") and host is None:
        yield from _host_settings(values, adds or name == "append_host_config")
    elif name is not None:
        value = values[0] if len(values) == 1 else replace(term, items=tuple(values))
        yield Setting(name, value, term.mark, host, adds)


def _host_settings(values: list[Term], adds: bool) -> Iterator[Setting]:
    """``{host_config, "h", [...]}`` or ``host_config: {h: {...}}``."""
    bodies: list[tuple[Term, Term | None]] = []
    if len(values) == 2:
        bodies.append((values[0], values[1]))
    elif isinstance(values[0], MapTerm) or items_of(values[0]) is not None:
        bodies.extend(entries_of(values[0]))
    for host_term, body in bodies:
        host = name_of(host_term)
        for key, value in entries_of(body) if host is not None and body is not None else ():
            if value is not None:
                yield from _settings(TupleTerm((key, value), key.mark), host, adds)
