"""Recognises the most common stanzas by one regular expression: few levels, no prefixes, nothing unusual.

That takes at most half as long as expat with its handlers. Only stanzas that expat would find well-formed
match; all others go to a parser.
"""

from __future__ import annotations

import re
from functools import lru_cache

from wsgw.stanzas.parser import CLIENT, expanded_name
from wsgw.stanzas.plain_text import is_text
from wsgw.stanzas.start_tag import first_tag

#: The most levels (an archived or carbon-copied message has five), attributes of one element, and bytes of a
#: stanza that can match: the memory that a match takes for backtracking grows with the elements.
SHALLOW_DEPTH = 5
SHALLOW_ATTRIBUTES = 6
SHALLOW_SIZE = 2048

_NAMES = {name.encode(): expanded_name(CLIENT, name) for name in ("message", "presence", "iq")}

#: A value without quotes in it: a lookahead could not tell a name from a value after such a quote. The bound
#: keeps a failure cheap.
_VALUE = rb"""(?:'[ !#-%(-;=?-\xff]{0,999}'|"[ !#-%(-;=?-\xff]{0,999}")"""
#: Namespaces of the W3C, among them those that no element may declare (Namespaces in XML 1.0 section 3).
_RESERVED = rb"""xmlns=.http://www\.w3\.org/"""
_CLIENT = rb"""xmlns=(?:'%s'|"%s")""" % (CLIENT.encode(), CLIENT.encode())
#: Text up to the next tag; because a literal follows, a failure does not try each shorter text.
_TEXT = rb"[\t\n\r -;=?-\xff]*<"
_REFERENCE = re.compile(rb"&(?:amp|lt|gt|apos|quot);")


def _attributes(group: int, but: bytes) -> bytes:
    """A pattern of up to ``SHALLOW_ATTRIBUTES`` attributes, no name twice and none that begins like ``but``.

    The names are in groups from ``group`` on.
    """
    pattern = b""
    for number in reversed(range(SHALLOW_ATTRIBUTES)):
        others = b"".join(rb"|\%d=" % (group + before) for before in range(number))
        pattern = rb"(?: (?!" + but + others + rb")(xml:lang|[a-z]+)=" + _VALUE + pattern + rb"|)"
    return pattern


def _content(level: int, group: int) -> bytes:
    """A pattern of an element on ``level`` after its attributes; its name is in ``group``."""
    end = rb"/\%d>" % group
    if level < SHALLOW_DEPTH:
        child = group + 1 + SHALLOW_ATTRIBUTES
        tag = rb"([a-zA-Z][a-zA-Z0-9_.-]{0,31})" + _attributes(child + 1, _RESERVED)
        children = rb"(?:" + tag + _content(level + 1, child) + _TEXT + rb"){1,99}"
        end = rb"(?:" + end + rb"|" + children + end + rb")"
    return rb"(?: ?/>|>" + _TEXT + end + rb")"


def _stanza(declared: bytes) -> re.Pattern[bytes]:
    tag = rb"<(message|presence|iq)" + declared + _attributes(2, rb"xmlns=(?!.%s['\"])" % CLIENT.encode())
    return re.compile(tag + _content(1, 1))


#: For streams whose default namespace is ``jabber:client``, and for stanzas that must declare it.
_inheriting = _stanza(b"")
_declaring = _stanza(rb"(?=[^>]{0,9999} " + _CLIENT + rb")")


class ShallowStanzas:
    """Recognises common stanzas inside ``root``, a start tag whose namespace bindings they inherit."""

    __slots__ = ("_match",)

    def __init__(self, root: bytes) -> None:
        name, _ = first_tag(root, b"<iq/>")
        self._match = (_inheriting if name == _NAMES[b"iq"] else _declaring).match

    def name_of(self, text: bytes) -> str | None:
        """Return the expanded name if ``text`` is one stanza that matches, otherwise None."""
        if len(text) > SHALLOW_SIZE:
            return None
        found = self._match(text)
        if found is None or found.end() != len(text) or not _is_known_text(text):
            return None
        return _NAMES[found[1]]

    def take(self, data: bytes, events: list[tuple[str, bytes]]) -> bytes:
        """Append to ``events`` (expanded name, bytes) of the stanzas that match at the start of ``data``.

        Returns the rest of ``data``.
        """
        if not _is_known_text(data):
            return data
        start = 0
        while start != len(data):
            if len(data) - start > SHALLOW_SIZE and not _may_end(data, start):
                break
            found = self._match(data, start, start + SHALLOW_SIZE)
            if found is None:
                break
            events.append((_NAMES[found[1]], found[0]))
            start = found.end()
        return data[start:] if start else data


def _is_known_text(data: bytes) -> bool:
    """Whether ``data`` is UTF-8 of XML characters, with references to XML's predefined entities only."""
    return is_text(data) and (b"&" not in data or data.count(b"&") == len(_REFERENCE.findall(data)))


def _may_end(data: bytes, start: int) -> bool:
    """Whether the stanza that begins at ``start`` seems to be short enough to match."""
    end = start + SHALLOW_SIZE
    return (
        data.find(b"</message>", start, end) >= 0
        or data.find(b"</iq>", start, end) >= 0
        or data.find(b"</presence>", start, end) >= 0
    )


#: One object for all sessions whose streams have the same bindings.
shallow_stanzas = lru_cache(maxsize=64)(ShallowStanzas)
