"""Checks names by Namespaces in XML 1.0, for a parser that ignores namespaces.

A parser with namespaces refuses a whole document for one bad name without telling which element has it,
and writes the namespace before every name. This check costs the same however long a namespace is, and
is made for each start tag. It accepts what expat accepts; the parser has checked that names are XML names.
"""

from __future__ import annotations

from functools import lru_cache
from xml.parsers import expat

from wsgw.stanzas.parser import expanded_name

_XML = "http://www.w3.org/XML/1998/namespace"
_XMLNS = "http://www.w3.org/2000/xmlns/"

#: From this length on, in characters, equal namespaces are one object, so that comparing them takes no time.
_LONG = 256


class Namespaces:
    """The prefixes in scope, from the root to the current element."""

    __slots__ = ("_bound", "_long", "_replaced")

    def __init__(self) -> None:
        self._bound: dict[str, str] = {"": "", "xml": _XML}
        #: For each open element: the previous namespace of each prefix that it declares, None if unbound.
        self._replaced: list[dict[str, str | None]] = []
        self._long: dict[str, str] = {}

    def start(self, name: str, attributes: list[str]) -> str:
        """Enter an element. Return the error in its tag, "" if the tag is namespace-well-formed.

        ``name`` is as written; ``attributes`` is a flat list of names as written and values. The correct
        declarations of an invalid tag take effect.
        """
        error = ""
        replaced = _NOTHING
        prefixed: list[str] = []
        for place in range(0, len(attributes), 2):
            key = attributes[place]
            if key == "xmlns" or key.startswith("xmlns:"):
                prefix, uri = key[6:], attributes[place + 1]
                wrong = _declaration_error(key, uri)
                if wrong:
                    error = error or wrong
                else:
                    replaced = replaced or {}
                    replaced[prefix] = self._bound.get(prefix)
                    self._bound[prefix] = uri if len(uri) < _LONG else self._long.setdefault(uri, uri)
            elif ":" in key:
                prefixed.append(key)
        self._replaced.append(replaced)
        return error or self._name_error(name) or self._attributes_error(prefixed)

    def end(self) -> None:
        """Leave the element entered last."""
        for prefix, uri in self._replaced.pop().items():
            if uri is None:
                del self._bound[prefix]
            else:
                self._bound[prefix] = uri

    @property
    def declared(self) -> list[tuple[str, str]]:
        """(prefix, namespace) of each correct declaration of the current element; "" for the default one."""
        return [(prefix, self._bound[prefix]) for prefix in self._replaced[-1]]

    def knows(self, name: str) -> bool:
        """Whether an element's name as written is namespace-well-formed."""
        return not self._name_error(name)

    def expanded(self, name: str) -> str:
        """The expanded name of the current element; ``knows(name)`` must be true."""
        return expanded_name(self.namespace(name), name.rpartition(":")[2])

    def namespace(self, name: str) -> str:
        """The namespace of the current element; ``knows(name)`` must be true."""
        return self._bound[name.rpartition(":")[0]]

    def _name_error(self, name: str) -> str:
        if ":" not in name:
            return ""
        prefix, _, local = name.partition(":")
        if not _is_qualified(prefix, local):
            return "malformed qualified name"
        return "" if prefix in self._bound else "unbound prefix"

    def _attributes_error(self, names: list[str]) -> str:
        seen: set[tuple[str, str]] = set()
        for name in names:
            error = self._name_error(name)
            if error:
                return error
            prefix, _, local = name.partition(":")
            expanded = (self._bound[prefix], local)
            if expanded in seen:
                return "duplicate attribute"
            seen.add(expanded)
        return ""


#: The replaced bindings of an element that declares nothing; stays empty.
_NOTHING: dict[str, str | None] = {}


def _declaration_error(key: str, uri: str) -> str:
    """The error in the declaration ``key``, which is ``xmlns`` or ``xmlns:`` and a prefix (section 3)."""
    _, colon, prefix = key.partition(":")
    if colon and not _is_qualified("xmlns", prefix):
        return "malformed qualified name"
    if prefix and not uri:
        return "undeclared prefix"
    if prefix == "xmlns" or uri == _XMLNS or (prefix == "xml") != (uri == _XML):
        return "reserved prefix or namespace"
    return ""


def _is_qualified(prefix: str, local: str) -> bool:
    """Whether both parts of a name with a colon are names without a colon (section 4)."""
    return bool(prefix and local) and ":" not in local and _starts_name(local[0])


def _starts_name(character: str) -> bool:
    if character.isascii():
        return character.isalpha() or character == "_"
    return _expat_starts_name(character)


@lru_cache(maxsize=1024)
def _expat_starts_name(character: str) -> bool:
    """Ask expat, whose tables of XML characters decide."""
    try:
        expat.ParserCreate("utf-8").Parse(f"<{character}/>", True)
    except expat.ExpatError:
        return False
    return True
