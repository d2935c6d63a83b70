"""Recognises the commonest stanzas by one regular expression: few levels, no prefixes, nothing unusual.

That takes half as long as expat with its handlers, or less. Only what expat would call well-formed matches;
whatever does not is a parser's to judge.
"""

from __future__ import annotations

import re
from functools import lru_cache

from wsgw.stanzas.parser import CLIENT, expanded_name
from wsgw.stanzas.plain_text import is_text
from wsgw.stanzas.start_tag import first_tag

#: Levels of a stanza that can match (an archived or carbon-copied message has five), attributes of each of
#: its elements, and bytes of it: what a match remembers of its way grows with the elements.
SHALLOW_DEPTH = 5
SHALLOW_ATTRIBUTES = 6
SHALLOW_SIZE = 2048

_NAMES = {name.encode(): expanded_name(CLIENT, name) for name in ("message", "presence", "iq")}

#: A quote in a value would hide from a look ahead whether what follows it is a value or a name. The bound
#: keeps a failure cheap.
_VALUE = rb"""(?:'[ !#-%(-;=?-\xff]{0,999}'|"[ !#-%(-;=?-\xff]{0,999}")"""
#: Among them are those that nothing may declare (Namespaces in XML 1.0 section 3).
_RESERVED = rb"""xmlns=.http://www\.w3\.org/"""
_CLIENT = rb"""xmlns=(?:'%s'|"%s")""" % (CLIENT.encode(), CLIENT.encode())
#: Up to the next tag; as a literal follows, a failure does not try each shorter text in turn.
_TEXT = rb"[\t\n\r -;=?-\xff]*<"
_REFERENCE = re.compile(rb"&(?:amp|lt|gt|apos|quot);")


def _attributes(group: int, but: bytes) -> bytes:
    """A pattern of up to ``SHALLOW_ATTRIBUTES``, none twice and none that begins like ``but``.

    Their names are in groups from ``group`` on.
    """
    pattern = b""
    for number in reversed(range(SHALLOW_ATTRIBUTES)):
        others = b"".join(rb"|\%d=" % (group + before) for before in range(number))
        pattern = rb"(?: (?!" + but + others + rb")(xml:lang|[a-z]+)=" + _VALUE + pattern + rb"|)"
    return pattern


def _content(level: int, group: int) -> bytes:
    """A pattern of what follows the attributes of an element on ``level`` whose name is in ``group``."""
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


#: Where ``jabber:client`` is the default namespace, and where the stanza must say so itself.
_inheriting = _stanza(b"")
_declaring = _stanza(rb"(?=[^>]{0,9999} " + _CLIENT + rb")")


class ShallowStanzas:
    """Recognises them where the bindings of ``root``, a start tag, are in force."""

    __slots__ = ("_match",)

    def __init__(self, root: bytes) -> None:
        name, _ = first_tag(root, b"<iq/>")
        self._match = (_inheriting if name == _NAMES[b"iq"] else _declaring).match

    def name_of(self, text: bytes) -> str | None:
        """Return the expanded name of the shallow stanza that ``text`` is, None if it is none."""
        if len(text) > SHALLOW_SIZE:
            return None
        found = self._match(text)
        if found is None or found.end() != len(text) or not _is_known_text(text):
            return None
        return _NAMES[found[1]]

    def take(self, data: bytes, events: list[tuple[str, bytes]]) -> bytes:
        """Add (expanded name, bytes) of those that ``data`` begins with to ``events``; return the rest."""
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
    """Whether ``data`` is UTF-8 that XML knows, and has no references but XML's own."""
    return is_text(data) and (b"&" not in data or data.count(b"&") == len(_REFERENCE.findall(data)))


def _may_end(data: bytes, start: int) -> bool:
    """Whether what begins at ``start`` seems not to be longer than what can match."""
    end = start + SHALLOW_SIZE
    return (
        data.find(b"</message>", start, end) >= 0
        or data.find(b"</iq>", start, end) >= 0
        or data.find(b"</presence>", start, end) >= 0
    )


#: The same for all sessions whose streams bind the same.
shallow_stanzas = lru_cache(maxsize=64)(ShallowStanzas)
