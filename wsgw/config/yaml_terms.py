"""Reads a YAML file into terms with their places.

It reads the nodes of PyYAML's safe loader, not the Python objects made from them: nodes have lines and keep
repeated keys. A limit bounds the expansion of aliases.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

import yaml

from wsgw.config.terms import (
    MAX_DEPTH,
    Atom,
    ListTerm,
    MapTerm,
    Mark,
    Misfit,
    Number,
    Problems,
    Term,
    Text,
    TupleTerm,
)

#: Values at most after the expansion of aliases; a few lines of nested aliases could make billions.
_MAX_NODES = 200_000
_TAG = "tag:yaml.org,2002:"
#: The name of an alias or an anchor in an error. A long one may be a secret without its quotes.
_LONG_NAME = re.compile(r"'[^']{16,}'")


def read_yaml(text: str, file: str, problems: Problems) -> list[Term]:
    """The top-level options of ``text`` as ``{name, value}`` tuples; errors go to ``problems``."""
    loader: Any = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        return _Converter(loader, file).top_level(root) if root is not None else []
    except yaml.MarkedYAMLError as error:
        problems.add(Mark(file, _line_of(error), yaml=True), f"not YAML: {_reason_of(error)}")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problems.add(Mark(file, line, yaml=True), f"not YAML: {error.reason}")
    except RecursionError:
        problems.add(Mark(file, 0, yaml=True), "nested too deeply")
    except Misfit as misfit:
        problems.add(*misfit.errors[0])
    finally:
        if loader is not None:
            loader.dispose()
    return []


def _line_of(error: yaml.MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark is not None else 0


def _reason_of(error: yaml.MarkedYAMLError) -> str:
    reason = ", ".join(part for part in (error.problem, error.context) if part) or "malformed"
    return _LONG_NAME.sub("'...'", reason)


class _Converter:
    def __init__(self, loader: Any, file: str) -> None:
        self._loader = loader
        self._file = file
        self._count = 0

    def top_level(self, root: Any) -> list[Term]:
        term = self._term(root, 0)
        if term == Atom("undefined", term.mark):  # only comments and document markers
            return []
        maps = list(term.items) if isinstance(term, ListTerm) else [term]
        terms: list[Term] = []
        for part in maps:
            if not isinstance(part, MapTerm):
                raise Misfit(part.mark, "expected options, each as 'name: value'")
            terms.extend(TupleTerm(pair, pair[0].mark) for pair in part.pairs)
        return terms

    def _term(self, node: Any, depth: int) -> Term:
        mark = Mark(self._file, node.start_mark.line + 1, yaml=True)
        self._count += 1
        if self._count > _MAX_NODES:
            raise Misfit(mark, f"the file has more than {_MAX_NODES} values after the expansion of aliases")
        if depth > MAX_DEPTH:
            raise Misfit(mark, f"nested more than {MAX_DEPTH} deep")
        if isinstance(node, yaml.MappingNode):
            return MapTerm(tuple(self._pairs(node, depth)), mark)
        if isinstance(node, yaml.SequenceNode):
            return ListTerm(tuple(self._term(item, depth + 1) for item in node.value), mark)
        return self._scalar(node, mark)

    def _pairs(self, node: Any, depth: int) -> list[tuple[Term, Term]]:
        """The pairs of a mapping; a pair merged with ``<<`` is omitted if the mapping itself has its key."""
        own: list[tuple[Term, Term]] = []
        merged: list[tuple[Term, Term]] = []
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                merged.extend(self._merged(value, depth))
            else:
                own.append((self._term(key, depth + 1), self._term(value, depth + 1)))
        keys = {key for key, _ in own}
        for pair in merged:
            if pair[0] not in keys:
                keys.add(pair[0])
                own.append(pair)
        return own

    def _merged(self, node: Any, depth: int) -> list[tuple[Term, Term]]:
        term = self._term(node, depth + 1)
        maps = term.items if isinstance(term, ListTerm) else (term,)
        return [pair for part in maps if isinstance(part, MapTerm) for pair in part.pairs]

    def _scalar(self, node: Any, mark: Mark) -> Term:
        value: str = node.value
        if node.style == '"':
            return Text(value, mark)
        try:
            match node.tag.removeprefix(_TAG):
                case "null":
                    return Atom("undefined", mark)
                case "bool":
                    return Atom("true" if self._loader.construct_yaml_bool(node) else "false", mark)
                case "int":
                    return Number(self._loader.construct_yaml_int(node), mark)
                case "float":
                    return self._float(node, mark)
        except (ValueError, KeyError, IndexError) as error:
            raise Misfit(mark, f"not a value: {error}") from error
        return Atom(value, mark) if node.style is None or node.style == "'" else Text(value, mark)

    def _float(self, node: Any, mark: Mark) -> Term:
        value: float = self._loader.construct_yaml_float(node)
        if isfinite(value):
            return Number(value, mark)
        return Atom("infinity", mark) if value > 0 else Atom(node.value, mark)
