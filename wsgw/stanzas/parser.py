"""Makes every expat parser, behind defusedxml's guards (RFC 6120 section 11).

It also turns expat's errors into those of XMPP, and holds what all readers of XML share: expanded names, the
end of a tag, the tags that cost too much to parse. ``client`` and ``server`` check and cut stanzas.
"""

from __future__ import annotations

import re
from typing import NoReturn
from xml.parsers import expat

from defusedxml.common import DefusedXmlException
from defusedxml.expatreader import DefusedExpatParser

from wsgw.errors import SessionError, StreamError, causes

CLIENT = "jabber:client"
STREAMS = "http://etherx.jabber.org/streams"
#: Separates namespace and local name in an expanded name. No namespace can contain it: it is no XML
#: character, and expat refuses a namespace that contains its separator.
SEPARATOR = "\x01"


def expanded_name(namespace: str, local: str) -> str:
    """Return an element's name in expat's notation; without a namespace it is ``local`` alone."""
    return f"{namespace}{SEPARATOR}{local}" if namespace else local


def split_name(name: str) -> tuple[str, str]:
    """Return (namespace, local name) of an expanded name; the namespace may be empty."""
    namespace, _, local = name.rpartition(SEPARATOR)
    return namespace, local


STREAM = expanded_name(STREAMS, "stream")
IQ = expanded_name(CLIENT, "iq")
STANZAS = frozenset(expanded_name(CLIENT, name) for name in ("iq", "message", "presence"))

#: In a well-formed element, this finds the same name as the parser; a property test compares both. A tag's
#: name ends at white space, "/" or ">"; of the characters that ``\s`` matches, only the white space of XML
#: may be in a tag.
ELEMENT_NAME = re.compile(rb"<[^\s/>]+")
WHITESPACE = b" \t\r\n"
CDATA, CDATA_END = b"<![CDATA[", b"]]>"

#: Characters of a namespace up to which a parser with namespaces is used. It writes the namespace before
#: every name, so that a quarter of a megabyte, half of it one namespace and half of it empty elements, took
#: five seconds. ``namespaces`` checks the names of a document with a longer one.
MAX_NAMESPACE = 256

#: A tag of fewer bytes is cheap to parse, whatever it contains.
LONG_TAG = 4096
#: Characters of namespaces that a parser may write before the attributes' names of one tag.
_MAX_WRITTEN_OUT = 1024 * 1024

#: The characters escaped in an attribute's value, and their references.
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

#: Bytes above which pyexpat divides its input anywhere, and passes expat the pieces.
_MAX_PIECE = 1024 * 1024

#: A parser reads this first if it gets no start tag. expat would take the first bytes of a stream for
#: UTF-16 if they look like it, whatever encoding was set.
FIRST_LINE = b"\n"

_UNDEFINED_ENTITY = expat.errors.codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY]
MISPLACED_DECLARATION = expat.errors.codes[expat.errors.XML_ERROR_MISPLACED_XML_PI]

#: defusedxml's handlers keep no state, so that one instance guards every parser.
_guard = DefusedExpatParser(forbid_dtd=True)


def make_parser(
    root: bytes = FIRST_LINE, *, namespaces: bool = True, prefixes: bool = False
) -> expat.XMLParserType:
    """Return a parser that refuses DTDs, entities, comments and processing instructions (section 11.1).

    It has parsed ``root``, a start tag or an empty line, which counts in its positions. Either sets the
    encoding to UTF-8 (section 11.6); an XML declaration must not follow.

    Its handlers get expanded names. With ``prefixes``, a name with a prefix is followed by ``SEPARATOR`` and
    that prefix. Without ``namespaces``, names are as written, and ``intern`` does not keep them. Attributes
    are a flat list of names and values. ``Parse`` may raise ExpatError, DefusedXmlException or SessionError;
    ``refused`` turns any of them into a stream error.
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
    """Parse ``data``, which ends after complete markup, so that expat holds none of it back.

    expat would hold back a tag that is divided between two pieces, although its rest follows (reparse
    deferral). So ``data`` above ``_MAX_PIECE`` is divided here, before a tag if possible, into pieces of
    similar length. This works for tags of up to half a megabyte, and for all if expat can turn deferral off.
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
    return SessionError(causes.RESTRICTED_XML, what)


def long_namespace() -> SessionError:
    """The error for a namespace above ``MAX_NAMESPACE``."""
    return SessionError(causes.LONG_NAMESPACE, str(MAX_NAMESPACE))


def not_well_formed(what: str) -> SessionError:
    """The error for XML that is not well-formed (RFC 6120 section 4.9.3.13)."""
    return SessionError(causes.NOT_WELL_FORMED, what)


def refused(error: Exception, chunk: bytes | bytearray, position: int) -> StreamError:
    """The stream error for an ``error`` that a parser raised at ``position`` of ``chunk``.

    Inside an element, a DOCTYPE calls no handler: expat reports a syntax error at ``<!``.
    """
    if isinstance(error, StreamError):
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


def attribute(name: str, value: str) -> str:
    """Return `` name='value'``, escaped (the original module did not)."""
    return f" {name}='{value.translate(VALUE_ESCAPES)}'"


def end_of_tag(text: bytes | bytearray, start: int = 0) -> int:
    """Return the position after the tag that begins at ``start``, or -1 if it is not complete."""
    match = _TAG.match(text, start)
    return match.end() if match else -1


def costly_tag(text: bytes) -> int:
    """Return the start of the first tag that costs a parser with namespaces too much, -1 if there is none.

    Such a tag binds a prefix to a long namespace and has many attributes. The parser writes the namespace
    before each of their names, and no handler can stop it within a tag: half a megabyte took a minute. A tag
    contains no second ``<``, so that a long tag is found between two of them that are far apart.
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
        return False  # any parser refuses it before it resolves namespaces
    if not seen:
        return False
    names, values = seen[0][::2], seen[0][1::2]
    bound = (len(value) for name, value in zip(names, values, strict=True) if name.startswith("xmlns:"))
    longest = max(bound, default=0)
    return longest > MAX_NAMESPACE and longest * sum(":" in name for name in names) > _MAX_WRITTEN_OUT


def end_of_element(text: bytes | bytearray, start: int, position: int) -> int:
    """Return the position after an element that starts at ``start`` (-1: before ``text``).

    ``position`` is where expat reported its end: at its end tag, or after the tag of an empty element.
    """
    if text[position : position + 2] != b"</":
        return position
    if start >= 0 and text[position - 2 : position] == b"/>" and end_of_tag(text, start) == position:
        return position
    return text.index(b">", position) + 1
