"""Stanzas by which a remote user can try to break the gateway between a server and its web user.

``Kind.sent`` is the sender's XML; a TCP client shows the tests what the server made of it.
"""

from __future__ import annotations

from dataclasses import dataclass

KEPT = "<z xmlns='urn:kept'/>"
BOTH = ("ejabberd", "prosody")


@dataclass(frozen=True)
class Kind:
    """``child`` is the hostile element, ``tag`` hostile text in the stanza's own tag.

    ``keep`` is an element next to the hostile one, which must stay. ``padding`` blanks follow the stanza: an
    expat that does not read a token again until its input has doubled would otherwise keep a large tag in the
    server.
    """

    name: str
    child: str = ""
    keep: str = ""
    tag: str = ""
    #: The servers that pass it on, and those that can read it from their stores again.
    servers: tuple[str, ...] = BOTH
    stored_by: tuple[str, ...] = BOTH
    padding: int = 0

    @property
    def is_heavy(self) -> bool:
        """Too expensive to be sent many times."""
        return len(self.child) > 10_000

    def stanza(self, name: str, attributes: str, body: str = "") -> str:
        """One stanza of this kind; ``attributes`` as XML."""
        tag = f"{name} {attributes}{f' {self.tag}' if self.tag else ''}"
        content = body + self.child + (self.keep if name != "iq" or not self.child else "")
        return f"<{tag}>{content}</{name}>{' ' * self.padding}"


def _many(count: int, one: str) -> str:
    return "".join(one.replace("{}", str(number)) for number in range(count))


KINDS = [
    Kind("blank", "<x xmlns='urn:example:thing '/>"),
    Kind(
        "blank-of-a-prefix", "<p:x xmlns:p='urn:example: thing' p:y='1'><p:z/></p:x>", stored_by=("ejabberd",)
    ),
    Kind("blank-deep-inside", "<x xmlns='urn:d'><y><z xmlns=' '/></y></x>"),
    Kind("blank-of-an-elements-prefix", "<p:x xmlns:p='urn:example: thing'><p:z/></p:x>"),
    Kind("line-break-and-tab", "<x xmlns='urn:a\nb'><y xmlns='urn:a\tb'/></x>"),
    Kind("reference-to-a-blank", "<x xmlns='urn:a&#32;b'/>"),
    Kind("reference-to-a-tab", "<x xmlns='urn:a&#9;b'><y xmlns='urn:a&#13;b'/></x>"),
    # ejabberd ends the sender's stream for it.
    Kind("reference-to-a-line-break", "<p:x xmlns:p='urn:a&#10;b' p:a='1'/>", servers=("prosody",)),
    Kind("namespace-of-1100", f"<x xmlns='urn:{'x' * 1100}'/>"),
    Kind("namespace-of-60000", f"<p:x xmlns:p='urn:{'x' * 60_000}' p:y='1'/>", padding=130_000),
    Kind("depth-1500", f"<x xmlns='urn:d'>{'<a>' * 1500}{'</a>' * 1500}</x>", stored_by=("ejabberd",)),
    # Prosody takes seconds for it.
    Kind("names-20000", f"<x xmlns='urn:d'>{_many(20_000, '<a{}/>')}</x>", servers=("ejabberd",)),
    Kind("attributes-2000", "<x xmlns='urn:d'" + _many(2000, " a{}=''") + "/>", padding=60_000),
    Kind("namespaces-1000", "<x xmlns='urn:d'>" + _many(1000, "<p:x xmlns:p='urn:{}'/>") + "</x>"),
    # Prosody writes it out as a prefix bound to the namespace of "xml", which is not namespace-well-formed.
    Kind("attribute-of-xml", "<x xmlns='urn:d' xml:foo='1'><y/></x>", KEPT),
    Kind("attribute-of-xml-inside", "<x xmlns='urn:d'><y xml:foo='1'/><z/></x>"),
    # Both servers make this the default namespace.
    Kind("element-of-xml", "<xml:x/>", KEPT),
    Kind("attribute-of-xml-in-the-stanzas-tag", keep=KEPT, tag="xml:foo='1'"),
    Kind("blank-in-the-stanzas-tag", keep=KEPT, tag="xmlns:p='a b' p:c='1'", stored_by=("ejabberd",)),
]
