"""Builds elements and writes them as text, with the namespaces of XMPP.

As usual in XMPP, an element has a default namespace declaration wherever the namespace changes, elements of
the stream have the prefix ``stream`` of the stream header, and only namespaced attributes get generated
prefixes. The module knows nothing of stanzas or sockets.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element

NS_BIND = "urn:ietf:params:xml:ns:xmpp-bind"
NS_CLIENT = "jabber:client"
NS_DISCO_INFO = "http://jabber.org/protocol/disco#info"
NS_DISCO_ITEMS = "http://jabber.org/protocol/disco#items"
NS_PING = "urn:xmpp:ping"
NS_REGISTER = "jabber:iq:register"
NS_REGISTER_FEATURE = "http://jabber.org/features/iq-register"
NS_ROSTER = "jabber:iq:roster"
NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
NS_SESSION = "urn:ietf:params:xml:ns:xmpp-session"
NS_SM = "urn:xmpp:sm:3"
NS_STREAM = "http://etherx.jabber.org/streams"
NS_XML = "http://www.w3.org/XML/1998/namespace"

_TEXT_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"})
_ATTRIBUTE_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;"}
)


def make(
    namespace: str,
    name: str,
    attributes: Mapping[str, str] | None = None,
    *children: Element,
    text: str | None = None,
) -> Element:
    """An element ``{namespace}name`` with ``attributes``, ``children`` and ``text``."""
    element = Element(f"{{{namespace}}}{name}", dict(attributes or {}))
    element.text = text
    element.extend(children)
    return element


def split_tag(tag: str) -> tuple[str, str]:
    """``{namespace}name`` as ``(namespace, name)``; the namespace is empty for a bare ``name``."""
    if tag.startswith("{"):
        namespace, _, name = tag[1:].partition("}")
        return namespace, name
    return "", tag


def quote_attribute(value: str) -> str:
    """``value`` escaped and in single quotes; tabs and line ends are kept as character references."""
    return f"'{value.translate(_ATTRIBUTE_ESCAPES)}'"


def serialise(element: Element, default_namespace: str = NS_CLIENT) -> str:
    """The text of ``element``, without its tail, in a stream with this ``default_namespace``."""
    out: list[str] = []
    _write(element, default_namespace, out)
    return "".join(out)


def _write(element: Element, default_namespace: str, out: list[str]) -> None:
    namespace, name = split_tag(element.tag)
    if namespace == NS_STREAM:
        name = f"stream:{name}"
        inherited = default_namespace
    else:
        inherited = namespace
    out.append(f"<{name}")
    if inherited != default_namespace:
        out.append(f" xmlns={quote_attribute(namespace)}")
    _write_attributes(element, out)
    if not element.text and len(element) == 0:
        out.append("/>")
        return
    out.append(">")
    out.append((element.text or "").translate(_TEXT_ESCAPES))
    for child in element:
        _write(child, inherited, out)
        out.append((child.tail or "").translate(_TEXT_ESCAPES))
    out.append(f"</{name}>")


def _write_attributes(element: Element, out: list[str]) -> None:
    prefixes: dict[str, str] = {NS_XML: "xml"}
    for key, value in element.attrib.items():
        namespace, name = split_tag(key)
        if namespace and namespace not in prefixes:
            prefixes[namespace] = f"ns{len(prefixes)}"
            out.append(f" xmlns:{prefixes[namespace]}={quote_attribute(namespace)}")
        prefix = f"{prefixes[namespace]}:" if namespace else ""
        out.append(f" {prefix}{name}={quote_attribute(value)}")
