"""The server's header, as the client gets it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from tests.xmpp.framing.examples import OLD_STROPHE, OPEN, SERVER_HEADER, framing_of
from wsgw.stanzas.parser import CLIENT, STREAMS
from wsgw.xmpp.framing import FRAMING


@pytest.mark.rule("6120-lang", "bytes-open")
def test_open_is_written_as_clients_expect_it() -> None:
    framing = framing_of(OPEN)
    message = framing.server_header(SERVER_HEADER)
    assert message == (
        b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' "
        b"id='1' version='1.0' xml:lang='en' from='example.org'/>"
    )


@pytest.mark.rule("7395-3.4-attributes")
def test_open_has_every_attribute_and_the_declarations_of_their_prefixes() -> None:
    header = SERVER_HEADER.replace(
        b" id='1'", b" id=\"&lt;'&quot;&amp;\" xmlns:x='urn:x' x:y=\"&#10;\" unknown=''"
    )
    framing = framing_of(OPEN)
    message = framing.server_header(header)
    assert message.startswith(b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' ")
    assert ElementTree.fromstring(message).attrib == {
        "id": "<'\"&",
        "{urn:x}y": "\n",
        "unknown": "",
        "version": "1.0",
        "{http://www.w3.org/XML/1998/namespace}lang": "en",
        "from": "example.org",
    }


def test_in_legacy_framing_the_servers_tag_passes_unchanged() -> None:
    framing = framing_of(OLD_STROPHE)
    assert framing.server_header(SERVER_HEADER) == SERVER_HEADER


@pytest.mark.rule("bytes-open")
def test_the_gateways_own_header_has_another_id_each_time() -> None:
    """RFC 6120 section 4.9.1.2: an error during setup still follows an opening header."""
    own = framing_of(OPEN).own_header("a&b")
    pattern = rb"<open xmlns='%s' from='a&amp;b' id='[0-9a-f]{16}' version='1.0' xml:lang='en'/>"
    assert re.fullmatch(pattern % FRAMING.encode(), own)
    own = framing_of(OLD_STROPHE).own_header("a'b")
    pattern = rb"<stream:stream xmlns='%s' xmlns:stream='%s' from='a&apos;b' id='[0-9a-f]{16}' version='1.0'"
    assert re.fullmatch(pattern % (CLIENT.encode(), STREAMS.encode()) + rb" xml:lang='en'>", own)
    for message in (OPEN, OLD_STROPHE):
        assert b" from=" not in framing_of(message).own_header("")
        assert framing_of(message).own_header("") != framing_of(message).own_header(""), "ids differ"
