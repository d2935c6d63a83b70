"""Finds the prefixes that an element declares in its first tag, and those that it uses undeclared.

The rules are those of Namespaces in XML 1.0, sections 4 to 6. A message of RFC 7395 declares all prefixes
that it uses (section 3.3.3), so the framing inserts those that a server's element inherits from the header.
"""

from __future__ import annotations

from collections import Counter

from wsgw.stanzas.parser import end_of_tag, make_parser


def declared_prefixes(element: bytes) -> frozenset[str]:
    """Return the prefixes that the first tag of a well-formed ``element`` declares.

    They include "" if that tag declares a default namespace.
    """
    parser = make_parser(namespaces=False)
    seen: list[list[str]] = []
    parser.StartElementHandler = lambda _name, attributes: seen.append(_declared(attributes[::2]))
    parser.Parse(element[: end_of_tag(element)])
    return frozenset(seen[0])


def undeclared_prefixes(element: bytes) -> frozenset[str]:
    """Return the prefixes that a well-formed ``element`` uses without declaring them.

    They include "" if an element relies on a default namespace from outside.
    """
    parser = make_parser(namespaces=False)
    #: How many open elements declare each prefix; a copy for each level would take quadratic time.
    scope = Counter(("xml", "xmlns"))
    declarations: list[list[str]] = []
    missing: set[str] = set()

    def start_element(name: str, attributes: list[str]) -> None:
        names = attributes[::2]
        declared = _declared(names)
        declarations.append(declared)
        scope.update(declared)
        used = {key.partition(":")[0] for key in names if ":" in key}
        used.add(name.rpartition(":")[0])
        missing.update(prefix for prefix in used if not scope[prefix])

    def end_element(_name: str) -> None:
        scope.subtract(declarations.pop())

    parser.StartElementHandler = start_element
    parser.EndElementHandler = end_element
    parser.Parse(element, True)
    return frozenset(missing)


def _declared(names: list[str]) -> list[str]:
    """The prefixes that attributes of these names declare."""
    return [name.partition(":")[2] for name in names if name == "xmlns" or name.startswith("xmlns:")]
