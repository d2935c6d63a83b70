"""The one place where expat parsers are made, behind defusedxml's guards (RFC 6120 section 11).

It also names what expat refuses in XMPP's own terms, and reads the one message that opens a
stream. ``client`` and ``server`` cut and check stanzas.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn
from xml.parsers import expat

from defusedxml.common import DefusedXmlException
from defusedxml.expatreader import DefusedExpatParser

from wsgw.errors import CloseCode, SessionError

CLIENT = "jabber:client"
STREAMS = "http://etherx.jabber.org/streams"
#: Stands between namespace and local name in an expanded name. No namespace can hold it: XML knows no such
#: character, and expat refuses a namespace that holds its separator.
SEPARATOR = "\x01"


def expanded_name(namespace: str, local: str) -> str:
    """Return an element's name as expat writes it out; without a namespace it is ``local`` alone."""
    return f"{namespace}{SEPARATOR}{local}" if namespace else local


def split_name(name: str) -> tuple[str, str]:
    """Return (namespace, local name) of an expanded name; the namespace may be empty."""
    namespace, _, local = name.rpartition(SEPARATOR)
    return namespace, local


STREAM = expanded_name(STREAMS, "stream")
STANZAS = frozenset(expanded_name(CLIENT, name) for name in ("iq", "message", "presence"))

WHITESPACE = b" \t\r\n"
CDATA, CDATA_END = b"<![CDATA[", b"]]>"

#: Characters of a namespace that a parser with namespaces is given: it writes the namespace out in front of
#: every name, so that a quarter of a megabyte, half of it one namespace and half of it empty elements, took
#: five seconds. Where there is a longer one, ``namespaces`` judges instead.
MAX_NAMESPACE = 256

#: A tag of fewer bytes is cheap, whatever it holds.
LONG_TAG = 4096
#: Characters of namespaces that a parser may write out before the attributes' names of one tag.
_MAX_WRITTEN_OUT = 1024 * 1024

#: What is escaped in an attribute's value.
VALUE_ESCAPES = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        "'": "&apos;",
        '"': "&quot;",
        "\t": "&#9;",
        "\n": "&#10;",
        "\r": "&#13;",
    }
)

#: One complete tag; ``>`` inside a quoted attribute value does not end it.
_TAG = re.compile(rb"""<[^<>"']*(?:"[^"]*"[^<>"']*|'[^']*'[^<>"']*)*>""")
_XML_DECLARATION = re.compile(
    rb"""<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:"1\.[0-9]+"|'1\.[0-9]+')"""
    rb"""(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*["']([A-Za-z0-9._-]+)["'])?"""
    rb"""(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*["'](?:yes|no)["'])?[ \t\r\n]*\?>"""
)

#: pyexpat hands more than this to expat in pieces that end anywhere.
_MAX_PIECE = 1024 * 1024

#: What a parser reads first if there is no start tag to read. expat takes the first bytes it sees for
#: UTF-16 if they look like it, whatever encoding it was told.
FIRST_LINE = b"\n"

_UNDEFINED_ENTITY = expat.errors.codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY]
MISPLACED_DECLARATION = expat.errors.codes[expat.errors.XML_ERROR_MISPLACED_XML_PI]

#: defusedxml's handlers keep no state, so that one instance guards every parser.
_guard = DefusedExpatParser(forbid_dtd=True)


def make_parser(
    root: bytes = FIRST_LINE, *, namespaces: bool = True, prefixes: bool = False
) -> expat.XMLParserType:
    """Return a parser that knows no DTD, no entities, no comments, no processing instructions.

    It has read ``root``, which counts in its positions: a start tag, or an empty line. Either fixes the
    encoding as UTF-8; an XML declaration must not follow.

    Names come expanded, with ``prefixes`` followed by ``SEPARATOR`` and the prefix if they have one,
    without ``namespaces`` as written and not kept in ``intern``; attributes as a flat list. Its ``Parse``
    may raise ExpatError, DefusedXmlException or SessionError; see ``refused``.
    """
    parser = (
        expat.ParserCreate("utf-8", SEPARATOR, {}) if namespaces else expat.ParserCreate("utf-8", None, None)
    )
    parser.namespace_prefixes = prefixes
    parser.ordered_attributes = True
    parser.StartDoctypeDeclHandler = _guard.defused_start_doctype_decl
    parser.EntityDeclHandler = _guard.defused_entity_decl
    parser.UnparsedEntityDeclHandler = _guard.defused_unparsed_entity_decl
    parser.ExternalEntityRefHandler = _guard.defused_external_entity_ref_handler  # type: ignore[assignment]
    parser.CommentHandler = _refuse_comment
    parser.ProcessingInstructionHandler = _refuse_processing_instruction
    if hasattr(parser, "SetReparseDeferralEnabled"):
        parser.SetReparseDeferralEnabled(False)
    parser.Parse(root)
    return parser


def parse(parser: expat.XMLParserType, data: bytes) -> None:
    """Feed ``data``, which ends where markup ends, so that none of it is held back.

    A tag that a piece cuts in two would be, although its rest follows (reparse deferral). A long one is
    therefore cut here, before a tag if there is any, and so that what follows is long too. That holds for
    tags of half a megabyte; where expat can be told not to defer, for all.
    """
    if len(data) <= _MAX_PIECE:
        parser.Parse(data)
        return
    start = 0
    while (left := len(data) - start) > _MAX_PIECE:
        target = start + left // (left // _MAX_PIECE + 1)
        end = data.rfind(b"<", start + 1, target)
        end = end if end > 0 else target
        parser.Parse(data[start:end])
        start = end
    parser.Parse(data[start:])


def _refuse_comment(_text: str) -> NoReturn:
    raise restricted("a comment")


def _refuse_processing_instruction(_target: str, _data: str) -> NoReturn:
    raise restricted("a processing instruction")


def restricted(what: str) -> SessionError:
    """The error for a feature of XML that XMPP forbids (RFC 6120 section 11.1)."""
    return SessionError("restricted-xml", f"{what} is not allowed in XMPP")


def long_namespace() -> SessionError:
    """The error for a namespace above ``MAX_NAMESPACE``."""
    return SessionError("policy-violation", f"a namespace above {MAX_NAMESPACE} characters")


def not_well_formed(what: str) -> SessionError:
    """The error for XML that breaks XML's own rules (RFC 6120 section 4.9.3.13)."""
    return SessionError("not-well-formed", what)


def refused(error: Exception, chunk: bytes | bytearray, position: int) -> SessionError:
    """The stream error for what a parser raised at ``position`` of ``chunk``.

    Inside an element a DOCTYPE fires no handler, it is a syntax error at ``<!``.
    """
    if isinstance(error, SessionError):
        return error
    if not isinstance(error, expat.ExpatError):
        return restricted("a document type")
    if error.code == _UNDEFINED_ENTITY:
        return restricted("an entity reference")
    if error.code == MISPLACED_DECLARATION:
        return restricted("a second XML declaration")
    if chunk[max(position - 2, 0) : position] == b"<!":
        return restricted("a document type or markup declaration")
    return not_well_formed(expat.ErrorString(error.code) or "not well-formed")


def without_declaration(text: bytes) -> bytes:
    """Return ``text`` without white space around it and without a leading XML declaration.

    Raises SessionError ``unsupported-encoding`` for a declared encoding that is not UTF-8
    (RFC 6120 section 11.6).
    """
    text = text.strip(WHITESPACE)
    if not text.startswith(b"<?xml") or text[5:6] not in (b" ", b"\t", b"\r", b"\n"):
        return text
    match = _XML_DECLARATION.match(text)
    if match is None:
        raise not_well_formed("malformed XML declaration")
    if match[1] is not None and match[1].lower() != b"utf-8":
        raise SessionError("unsupported-encoding", "XMPP is UTF-8 only", CloseCode.INVALID_PAYLOAD)
    return text[match.end() :].lstrip(WHITESPACE)


def attribute(name: str, value: str) -> str:
    """Return `` name='value'``, escaped (the original module did not)."""
    return f" {name}='{value.translate(VALUE_ESCAPES)}'"


def end_of_tag(text: bytes | bytearray, start: int = 0) -> int:
    """Return the position after the tag that begins at ``start``, or -1 if it is not complete."""
    match = _TAG.match(text, start)
    return match.end() if match else -1


def costly_tag(text: bytes) -> int:
    """Return where the first tag starts that no parser with namespaces may be given, -1 if there is none.

    It binds a prefix to a long namespace and has many attributes. The parser writes the namespace out before
    each of their names, and no handler can stop it within a tag: half a megabyte took a minute. A tag holds
    no ``<``, so that a long one lies between two of them that are far apart.
    """
    if b"xmlns:" not in text:  # nothing declares a prefix
        return -1
    seen = 0
    while len(text) - seen >= LONG_TAG:
        following = text.find(b"<", seen + LONG_TAG)
        start = text.rfind(b"<", seen, seen + LONG_TAG)
        if start >= 0:
            end = end_of_tag(text, start)
            if end - start >= LONG_TAG and _is_costly(text[start:end]):
                return start
        if following < 0:
            break
        seen = following
    return -1


def _is_costly(tag: bytes) -> bool:
    if b"xmlns:" not in tag:
        return False
    parser = make_parser(namespaces=False)
    seen: list[list[str]] = []
    parser.StartElementHandler = lambda _name, attributes: seen.append(attributes)
    try:
        parser.Parse(tag)
    except (expat.ExpatError, DefusedXmlException):
        return False  # any parser refuses it, before it looks at namespaces
    if not seen:
        return False
    names, values = seen[0][::2], seen[0][1::2]
    bound = (len(value) for name, value in zip(names, values, strict=True) if name.startswith("xmlns:"))
    longest = max(bound, default=0)
    return longest > MAX_NAMESPACE and longest * sum(":" in name for name in names) > _MAX_WRITTEN_OUT


def end_of_element(text: bytes | bytearray, start: int, position: int) -> int:
    """Return the position after an element that starts at ``start`` (-1: before ``text``).

    ``position`` is where expat saw it end: at its end tag, or after the tag of an empty element.
    """
    if text[position : position + 2] != b"</":
        return position
    if start >= 0 and text[position - 2 : position] == b"/>" and end_of_tag(text, start) == position:
        return position
    return text.index(b">", position) + 1


def first_tag(root: bytes, text: bytes) -> tuple[str, dict[str, str]]:
    """Return the expanded name and the attributes of the element that ``text`` begins with.

    ``root`` is a start tag with the bindings it relies on. What follows the tag is not looked at.
    Raises SessionError.
    """
    text = without_declaration(text)
    tag = text[: max(end_of_tag(text), 0)]
    if costly_tag(tag) >= 0:
        raise long_namespace()
    parser = make_parser(root)
    seen: list[tuple[str, list[str]]] = []
    parser.StartElementHandler = lambda name, attributes: seen.append((name, attributes))
    try:
        parser.Parse(tag)
    except (expat.ExpatError, DefusedXmlException) as error:
        raise refused(error, tag, len(tag)) from None
    if not seen:
        raise not_well_formed("a message starts with its element")
    name, attributes = seen[0]
    return name, dict(zip(attributes[::2], attributes[1::2], strict=True))


def declared_prefixes(element: bytes) -> frozenset[str]:
    """Return the prefixes that the first tag of a well-formed ``element`` declares.

    The empty prefix is among them if it declares a default namespace.
    """
    parser = make_parser(namespaces=False)
    seen: list[list[str]] = []
    parser.StartElementHandler = lambda _name, attributes: seen.append(_declared(attributes[::2]))
    parser.Parse(element[: end_of_tag(element)])
    return frozenset(seen[0])


def _declared(names: list[str]) -> list[str]:
    """The prefixes that attributes of these names declare."""
    return [name.partition(":")[2] for name in names if name == "xmlns" or name.startswith("xmlns:")]


def undeclared_prefixes(element: bytes) -> frozenset[str]:
    """Return the prefixes that a well-formed ``element`` uses without declaring them.

    The empty prefix is among them if an element relies on a default namespace from outside.
    """
    parser = make_parser(namespaces=False)
    #: How often each prefix is declared around here; copies of it, one a level, would be quadratic.
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


@dataclass(frozen=True, slots=True)
class Opening:
    """A start tag read on its own: a stream header, or RFC 7395's ``<open/>``."""

    #: Expanded name, and the prefix it was written with (empty for none).
    name: str
    prefix: str
    #: (name as written, value) in order; namespace declarations are not among them.
    attributes: tuple[tuple[str, str], ...]
    #: (prefix, namespace) of every declaration; the prefix of the default namespace is empty.
    namespaces: tuple[tuple[str, str], ...]
    #: The tag's own bytes.
    tag: bytes
    #: Whether the element ended in the same message; a stream header in legacy framing may be left open.
    closed: bool

    def get(self, attribute: str) -> str:
        """Return an attribute's value, empty if it is not there."""
        return self.attribute(attribute) or ""

    def attribute(self, attribute: str) -> str | None:
        """Return an attribute's value, None if it is not there."""
        return next((value for name, value in self.attributes if name == attribute), None)


def parse_opening(text: bytes, judge: Callable[[str], None] | None = None) -> Opening:
    """Read a message that opens a stream: one element without content, self-closed or left open.

    ``text`` is what ``without_declaration`` gave. ``judge`` hears the element's expanded name, and may
    raise SessionError, before its content is looked at. Raises SessionError.
    """
    if text.startswith(b"<?xml"):
        raise restricted("a second XML declaration")
    if costly_tag(text) >= 0:
        raise long_namespace()
    parser = make_parser(prefixes=True)
    seen: list[tuple[str, list[str]]] = []
    namespaces: list[tuple[str, str]] = []

    def start(name: str, attributes: list[str]) -> None:
        if seen:
            raise not_well_formed("a stream header has no content")
        if judge is not None:
            judge(_split_prefix(name)[0])
        seen.append((name, attributes))

    def declare(prefix: str | None, uri: str | None) -> None:
        namespaces.append((prefix or "", uri or ""))

    parser.StartElementHandler = start
    parser.StartNamespaceDeclHandler = declare
    try:
        parser.Parse(text)
    except (expat.ExpatError, DefusedXmlException) as error:
        raise refused(error, text, max(parser.ErrorByteIndex - len(FIRST_LINE), 0)) from None
    end = end_of_tag(text)
    if not seen or end < 0:
        raise not_well_formed("a message starts with its element")
    rest = text[end:].strip(WHITESPACE)
    if not _is_nothing_or_end_tag(rest):
        raise not_well_formed("text after the stream header")
    name, prefix = _split_prefix(seen[0][0])
    values = iter(seen[0][1])
    attributes = tuple((_as_written(key), value) for key, value in zip(values, values, strict=True))
    return Opening(
        name, prefix, attributes, tuple(namespaces), text[:end], bool(rest) or text[:end].endswith(b"/>")
    )


def _is_nothing_or_end_tag(rest: bytes) -> bool:
    """expat has checked that an end tag matches; what is left to see is that it stands alone."""
    return not rest or (rest.startswith(b"</") and rest.find(b">") == len(rest) - 1)


def _split_prefix(triplet: str) -> tuple[str, str]:
    parts = triplet.split(SEPARATOR)
    return SEPARATOR.join(parts[:2]), parts[2] if len(parts) == 3 else ""


def _as_written(triplet: str) -> str:
    parts = triplet.split(SEPARATOR)
    return f"{parts[2]}:{parts[1]}" if len(parts) == 3 else parts[-1]
