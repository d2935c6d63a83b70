"""The one place where expat parsers are made, behind defusedxml's guards (RFC 6120 section 11).

It names what expat refuses in XMPP's own terms, and holds what all readers of XML share: expanded names,
where a tag ends, which tag costs too much to be read. ``client`` and ``server`` cut and check stanzas.
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
    return SessionError(causes.RESTRICTED_XML, what)


def long_namespace() -> SessionError:
    """The error for a namespace above ``MAX_NAMESPACE``."""
    return SessionError(causes.LONG_NAMESPACE, str(MAX_NAMESPACE))


def not_well_formed(what: str) -> SessionError:
    """The error for XML that breaks XML's own rules (RFC 6120 section 4.9.3.13)."""
    return SessionError(causes.NOT_WELL_FORMED, what)


def refused(error: Exception, chunk: bytes | bytearray, position: int) -> StreamError:
    """The stream error for what a parser raised at ``position`` of ``chunk``.

    Inside an element a DOCTYPE fires no handler, it is a syntax error at ``<!``.
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
