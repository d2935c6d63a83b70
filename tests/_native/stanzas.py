"""Stanzas as clients and servers write them, and changes to them, for comparisons of recognisers."""

from __future__ import annotations

from hypothesis import strategies as st

_BASE64 = b"MwohBQyS3xvOZ9p0k7GmzC0yJ8E5xR1qT2aJZb4vY6NfL3sWdQ==" * 3
_OMEMO = (
    b"<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='27183'>"
    b"<key rid='31415'>%s</key><key prekey='true' rid='12321'>%s</key><iv>bm9uY2U=</iv></header>"
    b"<payload>%s</payload></encrypted><store xmlns='urn:xmpp:hints'/>" % (_BASE64, _BASE64, _BASE64)
)
_FORWARDED = (
    b"<forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2010-07-10T23:08:25Z'/>"
    b"<message xmlns='jabber:client' from='romeo@montague.example/orchard' to='juliet@capulet.example'"
    b" type='chat' id='b1'>%s</message></forwarded>"
)
_REACTIONS = (
    "<reactions id='744f6e18' xmlns='urn:xmpp:reactions:0'><reaction>👋</reaction><reaction>🐢</reaction>"
    "</reactions>".encode()
)

#: With up to seven levels, and the namespaces that they need if they stand alone.
REAL = (
    b"<message to='juliet@capulet.example' type='chat' id='1' xmlns='jabber:client'><body>Art thou &gt; a "
    b"&#10;Montague? > maybe</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
    b"<message xmlns='jabber:client' to='a@b/c'><result xmlns='urn:xmpp:mam:2' queryid='f' id='1'>%s</result>"
    b"</message>" % (_FORWARDED % _OMEMO),
    b"<message xmlns='jabber:client' to='a@b/c'><received xmlns='urn:xmpp:carbons:2'>%s</received></message>"
    % (_FORWARDED % _REACTIONS),
    b'<iq xmlns="jabber:client" type="result" id="roster"><query xmlns="jabber:iq:roster" ver="7">'
    b'<item jid="nurse@capulet.example" subscription="both"><group>Servants</group></item></query></iq>',
    "<presence xmlns='jabber:client' from='a@b/c'><show>away</show><status>schläft, 睡觉</status>"
    "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://x/?a=1&amp;b=2' ver='q0='/>"
    "</presence>".encode(),
    b"<iq xmlns='jabber:client' type='set'><bundle xmlns='urn:x'><preKeys><preKeyPublic preKeyId='1'>"
    + _BASE64
    + b"</preKeyPublic></preKeys></bundle></iq>",
    b"<r xmlns='urn:xmpp:sm:3'/>",
    b"<a h='17' xmlns='urn:xmpp:sm:3'/>",
)  # fmt: skip

#: What a change writes into a stanza.
_PIECES = st.sampled_from(
    [
        *(
            b"<",
            b">",
            b"/",
            b"'",
            b'"',
            b"&",
            b";",
            b"=",
            b" ",
            b"\n",
            b"]]>",
            b"<a>",
            b"</a>",
            b"<a/>",
            b"xmlns",
        ),
        *(
            b"&amp;",
            b"&#10;",
            b"&#1;",
            b"&#x9;",
            b"&#55296;",
            b"&#49999;",
            b"&#50000;",
            b"<!--",
            b"<![CDATA[x]]>",
        ),
        *(
            b" xmlns=''",
            b" xmlns='http://www.w3.org/XML/1998/namespace'",
            b" id='1'",
            b" a:b='c'",
            b"xml:lang",
        ),
        *(
            "ä€😀".encode(),
            b"\xff",
            b"\xc3",
            b"\xed\xa0\x80",
            b"\xef\xbf\xbe",
            b"\xef\xbf\xbd",
            b"\xf4\x90\x80\x80",
        ),
        *(b"\x00", b"\x1f", b"\x7f", b"\xc2\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"<message>", b"iq"),
    ]
)
_CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), _PIECES), max_size=3)


def _changed(stanza: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    for where, replaced, piece in changes:
        place = int(where * len(stanza))
        stanza = stanza[:place] + piece + stanza[place + replaced :]
    return stanza


#: A stanza of ``REAL`` with up to three changes.
mutated = st.builds(_changed, st.sampled_from(REAL), _CHANGES)
