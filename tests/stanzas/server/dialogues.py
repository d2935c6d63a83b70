"""Two dialogues, as ejabberd and Prosody write them, and the events that they give."""

from __future__ import annotations

from itertools import pairwise

import pytest

from wsgw.stanzas.cutter import STREAM_END
from wsgw.stanzas.parser import STREAM, STREAMS, expanded_name
from wsgw.stanzas.server import ServerStream

Events = list[tuple[str, bytes]]

KIB = 1024
MESSAGE = expanded_name("jabber:client", "message")
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"


#: (name of the event that these bytes complete, or None, bytes)
Dialogue = list[tuple[str | None, bytes]]

XML = b"<?xml version='1.0'?>"
EJABBERD_HEADER = (
    b"<stream:stream id='17436187931018498321' version='1.0' xml:lang='en' "
    b"xmlns:stream='http://etherx.jabber.org/streams' from='localhost' xmlns='jabber:client'>"
)
EJABBERD: Dialogue = [
    (None, XML),
    (STREAM, EJABBERD_HEADER),
    (
        expanded_name(STREAMS, "features"),
        b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>"
        b"<mechanism>SCRAM-SHA-1</mechanism></mechanisms>"
        b"<register xmlns='http://jabber.org/features/iq-register'/></stream:features>",
    ),
    (
        expanded_name(SASL, "challenge"),
        b"<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj1mOGM1aQ==</challenge>",
    ),
    (
        expanded_name(SASL, "success"),
        b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj1lc2lOSQ==</success>",
    ),
    (None, XML),
    (STREAM, EJABBERD_HEADER.replace(b"17436187931018498321", b"4711")),
    (
        expanded_name(STREAMS, "features"),
        b"<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
        b"<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>"
        b"<sm xmlns='urn:xmpp:sm:3'/></stream:features>",
    ),
    (
        expanded_name("jabber:client", "iq"),
        b"<iq xml:lang='en' to='alice@localhost/1' from='alice@localhost' type='result' id='b'>"
        b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@localhost/1</jid></bind></iq>",
    ),
    (
        expanded_name("urn:xmpp:sm:3", "enabled"),
        b"<enabled id='g2gCbQ==' xmlns='urn:xmpp:sm:3' max='300' resume='true'/>",
    ),
    (
        expanded_name("jabber:client", "presence"),
        b"<presence to='alice@localhost/1' from='alice@localhost/1'/>",
    ),
    (None, b" "),
    (expanded_name("urn:xmpp:sm:3", "r"), b"<r xmlns='urn:xmpp:sm:3'/>"),
    (None, b"\n"),
    (MESSAGE, "<message from='bob@localhost'><body>€ &gt; 𝄞 &lt;b/&gt; a > b</body></message>".encode()),
    (
        expanded_name(STREAMS, "error"),
        b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
        b"<text xml:lang='en' xmlns='urn:ietf:params:xml:ns:xmpp-streams'>Replaced</text></stream:error>",
    ),
    (STREAM_END, b"</stream:stream>"),
]

PROSODY_HEADER = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
    b"xml:lang='en' version='1.0' from='localhost' id='0c2b9a4e-7d9e'>"
)
PROSODY: Dialogue = [
    (None, b'<?xml version="1.0"?>'),
    (STREAM, PROSODY_HEADER),
    (
        expanded_name(STREAMS, "features"),
        b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1"
        b"</mechanism></mechanisms><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
    ),
    (expanded_name(SASL, "success"), b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
    # No declaration this time: XML lets a server leave it out.
    (STREAM, PROSODY_HEADER),
    (
        expanded_name(STREAMS, "features"),
        b"<stream:features><sm xmlns='urn:xmpp:sm:3'><optional/></sm></stream:features>",
    ),
    (
        MESSAGE,
        b"<message type='chat' from=\"o'brien@localhost/>\"><body><![CDATA[<a href='x'>]]> </body><x"
        b"\n xmlns = 'jabber:x:oob' ><url>http://a/?b=1&amp;c='</url></x ></message>",
    ),
    (None, b" \r\n\t"),
    (MESSAGE, b"<message><body>&#x00000000000000000000000020ac;]] > &quot;\n'</body></message>"),
    (expanded_name("jabber:client", "iq"), b"<iq type='result' id='1'></iq>"),
    (expanded_name("urn:xmpp:sm:3", "a"), b"<a xmlns='urn:xmpp:sm:3' h='5'/>"),
    (STREAM_END, b"</stream:stream>"),
    (None, b"\n"),
]

DIALOGUES = pytest.mark.parametrize("dialogue", [EJABBERD, PROSODY], ids=["ejabberd", "prosody"])


def octets(dialogue: Dialogue) -> bytes:
    return b"".join(part for _, part in dialogue)


def events_by(dialogue: Dialogue, length: int) -> Events:
    """The events that the first ``length`` bytes complete."""
    events: Events = []
    end = 0
    for name, part in dialogue:
        end += len(part)
        if name is not None and end <= length:
            events.append((name, b"" if name == STREAM_END else part))
    return events


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(borders)]


LIMIT = 500


def events_of(stream: ServerStream, chunks: list[bytes]) -> Events:
    """The events that the chunks complete; a stanza under repair gets the turns that it needs."""
    events: Events = []
    for chunk in chunks:
        events += stream.feed(chunk)
        while stream.busy:
            events += stream.feed(b"")
    return events
