"""The stanza that a client must get for a server's stanza: an oracle that shares no code with the gateway.

A parser without namespaces reads the stanza. Where a namespace parser refuses it, the tag of each element is
checked alone, under the declarations around it: the smallest elements with an error are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

#: The attributes from which the gateway rewrites a faulty tag of a stanza.
ROUTING = ("from", "to", "id", "type", "xml:lang")
#: Elements that a server adds for one recipient or moment.
_ADDED = {"delay", "stanza-id", "archived", "x urn:xmpp:delay"}


@dataclass
class Node:
    """One element: its name as written, its attributes as written, its text and elements in order."""

    name: str
    attributes: dict[str, str]
    content: list[Node | str] = field(default_factory=list)

    @property
    def children(self) -> list[Node]:
        return [part for part in self.content if isinstance(part, Node)]

    @property
    def declarations(self) -> dict[str, str]:
        return {name: value for name, value in self.attributes.items() if name.split(":")[0] == "xmlns"}

    def find(self, name: str) -> Node | None:
        return next((child for child in self.children if child.name == name), None)

    def text(self) -> str:
        return "".join(part for part in self.content if isinstance(part, str))


def tree(stanza: str) -> Node:
    """The tree of ``text``, read by a parser without namespaces."""
    parser = expat.ParserCreate()
    top = Node("", {})
    open_nodes = [top]

    def start(name: str, attributes: dict[str, str]) -> None:
        node = Node(name, attributes)
        open_nodes[-1].content.append(node)
        open_nodes.append(node)

    def text(data: str) -> None:
        content = open_nodes[-1].content
        if content and isinstance(content[-1], str):
            content[-1] += data
        else:
            content.append(data)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _name: open_nodes.pop()
    parser.CharacterDataHandler = text
    parser.Parse(stanza, True)
    return top.children[0]


def is_namespace_well_formed(text: str) -> bool:
    """Of a well-formed document; the prefix ``stream`` need not be declared in it."""
    parser = expat.ParserCreate(namespace_separator="\x01")
    try:
        parser.Parse(text, True)
    except expat.ExpatError:
        return False
    return True


def repaired(stanza: str) -> Node:
    """The tree that a client of the gateway has to get for ``stanza``."""
    root = tree(stanza)
    if is_namespace_well_formed(stanza):
        return root
    if not _tag_is_sound(root, {}):
        root.attributes = {name: root.attributes[name] for name in ROUTING if name in root.attributes}
    had_children = bool(root.children)
    _prune(root, root.declarations)
    if root.name == "iq" and had_children and not root.children:
        _answerable(root)
    return root


def _prune(node: Node, around: dict[str, str]) -> None:
    """Remove the faulty elements below ``node`` with their content; a forwarded stanza keeps its content."""
    if node.name == "forwarded":
        for message in node.children:
            if message.name == "message" and not _tag_is_sound(message, around):
                message.attributes = {
                    name: value
                    for name, value in message.attributes.items()
                    if name in ROUTING or name == "xmlns"
                }
    node.content = [part for part in node.content if isinstance(part, str) or _tag_is_sound(part, around)]
    for child in node.children:
        _prune(child, around | child.declarations)


def _tag_is_sound(node: Node, around: dict[str, str]) -> bool:
    def written(name: str, attributes: dict[str, str]) -> str:
        return " ".join([name, *(f"{key}={quoteattr(value)}" for key, value in attributes.items())])

    return is_namespace_well_formed(f"<{written('w', around)}><{written(node.name, node.attributes)}/></w>")


def _answerable(iq: Node) -> None:
    """An iq without its child gets another one, which is not compared; a result becomes an error."""
    if iq.attributes.get("type") == "result":
        iq.attributes["type"] = "error"
    iq.content.append(Node("", {}))


def essence(node: Node) -> object:
    """The comparable parts: without the recipient, and without elements for one recipient or moment."""
    attributes = {key: value for key, value in node.attributes.items() if key not in ("to", "xmlns")}
    return (node.name, attributes, [_plain(part) for part in node.content if not _is_added(part)])


def _is_added(part: Node | str) -> bool:
    if isinstance(part, str):
        return not part.strip()
    return part.name in _ADDED or f"{part.name} {part.attributes.get('xmlns')}" in _ADDED


def _plain(part: Node | str) -> object:
    """Flat, since Python compares nested tuples by recursion."""
    if isinstance(part, str):
        return part
    flat: list[object] = []
    todo: list[Node | str] = [part]
    while todo:
        one = todo.pop()
        if isinstance(one, str):
            flat.append(one)
            continue
        flat.append((one.name, one.attributes, len(one.content)))
        todo.extend(reversed(one.content))
    return flat
