"""Reads one element of a login: its name, attributes, children and text, as the parser reports them.

Every decision that depends on an element's content is made from this, not from a search of the bytes. It is
for the few elements before and during a login; the content of later stanzas is never read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from defusedxml.common import DefusedXmlException

from wsgw.errors import StreamError
from wsgw.stanzas.parser import costly_tag, end_of_element, end_of_tag, make_parser, not_well_formed, refused

#: Levels below the root that are read, unless the caller asks for more: children and grandchildren.
LEVELS = 2
#: Bytes of one element. Reading takes up to sixty times as much memory; a login has less than a hundredth.
MAX_SIZE = 512 * 1024
#: Characters of a namespace in it, which the parser writes out before every name.
MAX_LOGIN_NAMESPACE = 1024


@dataclass(slots=True)
class Element:
    """One element. ``start`` and ``end`` are its positions in the bytes that were read."""

    #: Expanded name.
    name: str
    #: Values by expanded name; an attribute without a prefix has its name as written.
    attributes: dict[str, str]
    start: int
    end: int = 0
    #: Its own character data, with references and CDATA sections resolved; not that of its children.
    text: str = ""
    #: The child elements in order; empty on the lowest level that is read.
    children: list[Element] = field(default_factory=list)

    def child(self, name: str) -> Element | None:
        """Return the child with this expanded name; None if there is none, or more than one.

        Servers differ in which of several they use.
        """
        found = [child for child in self.children if child.name == name]
        return found[0] if len(found) == 1 else None

    def text_of(self, name: str) -> str:
        """Return the text of the child with this expanded name; empty if there is none, or more than one."""
        child = self.child(name)
        return child.text if child is not None else ""

    def content(self, document: bytes) -> tuple[int, int]:
        """Return (start, end) of the content in ``document``, the bytes that this element was read from.

        The element must have an end tag.
        """
        start = end_of_tag(document, self.start)
        return start, document.rindex(b"</", start, self.end)


def read_element(root: bytes, document: bytes, levels: int = LEVELS) -> Element:
    """Read the element in ``document`` and ``levels`` below it; ``root`` is a start tag with its bindings.

    Raises StreamError if ``document`` is not one well-formed element, or costs too much to read.
    """
    if len(document) > MAX_SIZE or costly_tag(document) >= 0:
        raise _costly(document)
    parser = make_parser(root)
    base, depth = len(root), 0
    path = [Element("", {}, 0)]

    def start_element(name: str, attributes: list[str]) -> None:
        nonlocal depth
        depth += 1
        if depth <= levels + 1:
            values = dict(zip(attributes[::2], attributes[1::2], strict=True)) if attributes else {}
            element = Element(name, values, parser.CurrentByteIndex - base)
            path[-1].children.append(element)
            path.append(element)

    def end_element(_name: str) -> None:
        nonlocal depth
        if depth <= levels + 1:
            element = path.pop()
            element.end = end_of_element(document, element.start, parser.CurrentByteIndex - base)
        depth -= 1

    def character_data(data: str) -> None:
        if depth <= levels + 1:
            path[-1].text += data

    parser.StartElementHandler = start_element
    parser.EndElementHandler = end_element
    parser.buffer_text = True  # one call for a text, not one for each of its lines and references
    parser.CharacterDataHandler = character_data
    parser.StartNamespaceDeclHandler = _bound_namespace
    try:
        parser.Parse(document)
    except (expat.ExpatError, DefusedXmlException) as error:
        raise refused(error, document, max(parser.ErrorByteIndex - base, 0)) from None
    finally:  # the parser and its handlers refer to each other
        parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None
    if depth or len(path[0].children) != 1:
        raise not_well_formed("not one whole element")
    return path[0].children[0]


def _costly(document: bytes) -> StreamError:
    if len(document) > MAX_SIZE:
        return _too_much(f"an element of a login above {MAX_SIZE} bytes")
    return _too_much("a long namespace and many attributes in an element of a login")


def _bound_namespace(_prefix: str | None, namespace: str | None) -> None:
    if namespace is not None and len(namespace) > MAX_LOGIN_NAMESPACE:
        raise _too_much(f"a namespace above {MAX_LOGIN_NAMESPACE} characters in an element of a login")


def _too_much(what: str) -> StreamError:
    return StreamError("policy-violation", what)
