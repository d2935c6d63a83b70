"""Writes stream headers and stream errors for both framings, and the namespace bindings of a header.

RFC 6120 sections 4.7 (attributes of a header), 4.8 (namespaces) and 4.9 (errors).
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from functools import lru_cache
from xml.sax.saxutils import escape

from wsgw.stanzas.element import read_element
from wsgw.stanzas.parser import CLIENT, ELEMENT_NAME, STREAMS, attribute, expanded_name, split_name
from wsgw.stanzas.start_tag import Opening

_CONDITIONS = "urn:ietf:params:xml:ns:xmpp-streams"
ERROR = expanded_name(STREAMS, "error")
DECLARATION = b"<?xml version='1.0'?>"


def starttls_header(domain: str) -> bytes:
    """Return the stream header for the server of ``domain`` before STARTTLS (RFC 6120 section 5.4.1)."""
    header = f"<stream:stream xmlns='{CLIENT}' xmlns:stream='{STREAMS}'"
    return DECLARATION + f"{header}{attribute('to', domain)} version='1.0'>".encode()


def stream_error(prefix: str, condition: str, text: str, declaration: str = "") -> bytes:
    """Return a stream error (RFC 6120 section 4.9.2); ``prefix`` is that of its root.

    ``condition`` is the name of a defined condition (section 4.9.3), ``declaration`` further text for the
    root tag.
    """
    root = f"{prefix}:error" if prefix else "error"
    return (
        f"<{root}{declaration}><{condition} xmlns='{_CONDITIONS}'/>"
        f"<text xmlns='{_CONDITIONS}' xml:lang='en'>{escape(text)}</text></{root}>"
    ).encode()


def header_attributes(opening: Opening, bound: str = "") -> str:
    """Return the attributes of a header and the declarations that they rely on, as text for a tag.

    The prefix ``bound`` is not declared, because the tag already declares it.
    """
    used = {name.partition(":")[0] for name, _ in opening.attributes if ":" in name}
    declared = "".join(
        attribute(f"xmlns:{prefix}", namespace)
        for prefix, namespace in opening.namespaces
        if prefix in used and prefix != bound
    )
    return declared + "".join(attribute(name, value) for name, value in opening.attributes)


def sent_to(opening: Opening, to: str) -> Opening:
    """Return the header ``opening`` with ``to`` inserted as its first attribute."""
    name = ELEMENT_NAME.match(opening.tag)
    assert name is not None
    tag = name[0] + attribute("to", to).encode() + opening.tag[name.end() :]
    return replace(opening, attributes=(("to", to), *opening.attributes), tag=tag)


@lru_cache(maxsize=64)
def bindings(namespaces: tuple[tuple[str, str], ...]) -> bytes:
    """Return a start tag that declares each (prefix, namespace). Sessions with the same ones share it."""
    declared = (attribute(f"xmlns:{prefix}" if prefix else "xmlns", name) for prefix, name in namespaces)
    return f"<root{''.join(declared)}>".encode()


def left_open(tag: bytes) -> bytes:
    """Return ``tag`` as a start tag, even if it is that of an empty element."""
    return tag[:-2].rstrip() + b">" if tag.endswith(b"/>") else tag


def stream_id() -> str:
    """Return an id that cannot be guessed (RFC 6120 section 4.7.3)."""
    return secrets.token_hex(8)


def condition_of(root: bytes, error: bytes) -> tuple[str, str]:
    """Return (condition, its character data) of a server's stream error (RFC 6120 section 4.9.2).

    ``root`` is a start tag with the bindings that ``error`` relies on. Raises StreamError if ``error`` costs
    too much to read.
    """
    for child in read_element(root, error).children:
        namespace, local = split_name(child.name)
        if namespace == _CONDITIONS and local != "text":
            return local, child.text
    return "undefined-condition", ""
