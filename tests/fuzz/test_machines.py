"""Dialogues of random steps with the two machines, for orders of events that no input has yet."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.machines import session, xmpp
from tests.fuzz.oracles import SEPARATOR, client_frame
from tests.support.wire import (
    BINARY,
    CLOSE,
    CLOSE_7395,
    END,
    OPENINGS,
    PING,
    PONG,
    SERVER_HEADER,
    SUCCESS,
    frame,
)

STANZAS = (
    b"<message xmlns='jabber:client'/>",
    b"<presence/>",
    b"<iq type='set' id='1'><query xmlns='jabber:iq:auth'><password>x</password></query></iq>",
    b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AA==</auth>",
)
WRONG = (b"<a>", b"</a>", b"<a/><b/>", b"text", b"<!-- -->", b"<?x?>", b"<a>&e;</a>", b"\xff", b"<close/>")
BROWSER_SAYS = (*OPENINGS.values(), *STANZAS, CLOSE_7395, END, b"<s:stream/>", b" ", b"")
SERVER_SAYS = (
    SERVER_HEADER,
    SUCCESS,
    b"<stream:features/>",
    b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
    b"</stream:features>",
    b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    b"<iq type='result' id='1'/>",
    b"<message from='a'><body>x</body></message>",
    END,
    b"\n",
)


def said(right: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Mostly valid steps, sometimes invalid ones."""
    return st.one_of(*[st.sampled_from(right)] * 7, st.sampled_from(WRONG))


def ticks(most: int) -> st.SearchStrategy[bytes]:
    return st.integers(0, most).filter(lambda seconds: seconds != SEPARATOR[0]).map(lambda s: b"t%c" % s)


XMPP_STEPS = st.one_of(
    *[said(BROWSER_SAYS).map(lambda text: b"b" + text)] * 3,
    *[st.lists(said(SERVER_SAYS), min_size=1, max_size=4).map(lambda parts: b"s" + b"".join(parts))] * 3,
    st.sampled_from((b"c", b"c", b"c", b"u", b"l", b"f")),
    ticks(70),
)
FRAMES = st.sampled_from(
    (
        *(
            client_frame(text, fin=fin)
            for text in (b"<a/>", b"wait", b"large", b"x" * 1001)
            for fin in (True, False)
        ),
        *(client_frame(text, 0, fin=fin) for text in (b"", b"\xe2\x82", b"\xac") for fin in (True, False)),
        *(client_frame(b"p", opcode) for opcode in (PING, PONG, BINARY, 3)),
        *(client_frame(body, CLOSE) for body in (b"", b"\x03\xe8", b"\x0b\xb9bye", b"x", b"\x03\xed")),
        client_frame(b"<a/>")[:5],
        frame(b"<a/>", masked=False),
        frame(b"", masked=False, rsv=0x40),
    )
)
SESSION_STEPS = st.one_of(
    *[st.lists(FRAMES, min_size=1, max_size=3).map(lambda frames: b"r" + b"".join(frames))] * 4,
    st.sampled_from((b"y1", b"y1", b"s<b/>", b"s" + b"y" * 300, b"cbye", b"l1")),
    ticks(255),
)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    st.sampled_from(list(OPENINGS.values())),
    st.lists(said(SERVER_SAYS), max_size=3),
    st.lists(XMPP_STEPS, max_size=25),
)
def test_random_dialogues_keep_the_contract_of_xmpp(
    opening: bytes, answer: list[bytes], steps: list[bytes]
) -> None:
    """From an open stream, as most other beginnings end at once."""
    begun = [b"b" + opening, b"c", b"s" + SERVER_HEADER + b"".join(answer)]
    xmpp(SEPARATOR.join([*begun, *steps]))


@settings(max_examples=100)
@given(st.lists(XMPP_STEPS, max_size=25))
def test_random_dialogues_from_the_start_keep_the_contract_of_xmpp(steps: list[bytes]) -> None:
    xmpp(SEPARATOR.join(steps))


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(SESSION_STEPS, max_size=10))
def test_random_dialogues_keep_the_contract_of_a_websocket(steps: list[bytes]) -> None:
    session(SEPARATOR.join(steps))
