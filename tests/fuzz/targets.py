"""The table of targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import documents, machines, pages, recognisers, wires

FOLDER = Path(__file__).parent

_XML = (
    b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>",
    b"<?xml version='1.0'?>",
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost'>",
    b"</stream:stream>",
    b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" />',
    b"<stream:features>",
    b"</stream:features>",
    b"<stream:error>",
    b"</stream:error>",
    b"<message>",
    b"</message>",
    b"<a>",
    b"</a>",
    b"<a/>",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"<!DOCTYPE a [",
    b"<!ENTITY e 'x'>",
    b"&amp;",
    b"&#60;",
    b" xmlns='jabber:client'",
    b" xmlns=''",
    b" xmlns:p='urn:p'",
    b"<p:a xmlns:p='urn:p'/>",
    b" p:b='c'",
    b" xml:lang='en'",
    b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    b" encoding='utf-8'",
    b"\x1e",
    b"\xc3\xa9",
)
_STANZAS = (
    b"<iq type='result'>",
    b"</iq>",
    b"<presence p:a=''>",
    b"</presence>",
    b" xmlns:p=''",
    b" xmlns='urn: '",
    b" xmlns:xml='u'",
    b" xmlns:q='http://www.w3.org/XML/1998/namespace'",
    b"<p:q:r/>",
    b"<stream:a/>",
    b" xmlns:p='%s'" % (b"u" * 300),
)
_EVENTS = (b"\x1er", b"\x1es", b"\x1ec", b"\x1et\xff", b"\x1ey", b"\x1eb", b"\x1el")
_CONFIG = (
    b"websocket_session",
    b"ejabberd_c2s",
    b"request_handlers",
    b"mod_websocket",
    b"define_macro",
    b"host_config",
    b"append_host_config",
    b"include_config_file",
    b"allow_only",
    b"infinity",
    b"hosts",
    b"listen",
    b"modules",
    b"upstream",
    b"trusted_proxies",
    b"shaper",
    b"certfiles",
    b"starttls_required",
    b"max_stanza_size",
    b"define_keyword",
    b"wsgw_admin",
    b"captcha",
    b"@@X@@",
    b"@X@",
    b"{{ x }}",
    b"{% if x %}",
    b"${X}",
)


@dataclass(frozen=True, slots=True)
class Target:
    """``run`` raises for an input that breaks the contract; the fuzzer tries to insert the ``words``."""

    name: str
    run: Callable[[bytes], None]
    words: tuple[bytes, ...]

    @property
    def inputs(self) -> list[Path]:
        """Every committed input: the corpus, and those that once failed."""
        return [
            path
            for folder in ("corpus", "regressions")
            for path in sorted((FOLDER / folder / self.name).glob("*"))
        ]


TARGETS = {
    target.name: target
    for target in (
        Target("frames", wires.frames, (b"\x81\x80", b"\x81\xfe", b"\x01\x80", b"\x88\x82", b"\x89\x80")),
        Target(
            "handshake",
            wires.handshake,
            (
                b"GET /.well-known/host-meta\n",
                b"\nHost: localhost",
                b"\nUpgrade: websocket",
                b"\nConnection: keep-alive, Upgrade",
                b"\nSec-WebSocket-Protocol: xmpp",
                b"\nSec-WebSocket-Version: 13",
                b"\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                b"\nOrigin: https://good",
                b"\nX-Forwarded-For: 10.0.0.1, 192.0.2.1",
                b'\nForwarded: for="[2001:db8::1]:47"',
                b"%2f",
                b"%2e",
                b"..",
                b"xn--",
            ),
        ),
        Target(
            "head",
            wires.head,
            (
                b"GET / HTTP/1.1\r\n",
                b"HTTP/1.0",
                b"\r\n",
                b"\r\n\r\n",
                b"Host: a\r\n",
                b"Content-Length: 0\r\n",
                b"content-length:5\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"PRI * HTTP/2.0\r\n",
                b"PROXY ",
                b"From a: b",
            ),
        ),
        Target(
            "proxy",
            wires.proxy,
            (
                b"PROXY TCP4 ",
                b"PROXY TCP6 ",
                b"PROXY UNKNOWN",
                b"\r\n",
                b"192.0.2.1 ",
                b"\r\n\r\n\0\r\nQUIT\n",
                b"\x21\x11\0\x0c",
                b"\x21\x21\0\x24",
                b"\x02\0\x09localhost",
                b"\x05\0\x02a1",
                b"\x20\0\x0f\x01\0\0\0\0\x21\0\x07TLSv1.3",
                b"\x20\0\x0b\x07\0\0\0\0\x22\0\x03Joe",
                b"\x23\0\x16TLS_AES_128_GCM_SHA256",
            ),
        ),
        Target(
            "pages",
            pages.pages,
            (
                b"GET /.well-known/host-meta HTTP/1.1\r\n",
                b"HEAD /.well-known/host-meta.json HTTP/1.1\r\n",
                b"OPTIONS ",
                b"GET http://localhost/",
                b"/.well-known/acme-challenge/acme",
                b"/console/settings.json",
                b"Host: localhost\r\n",
                b"If-None-Match: *\r\n",
                b"X-Request-ID: a1\r\n",
                b"traceparent: 00-1-2-00\r\n",
                b"%2e%2e",
                b"%2f",
                b"..",
                b"?",
                b"\r\n\r\n",
            ),
        ),
        Target("server", documents.server, _XML),
        Target("recognisers", recognisers.recognisers, (*_XML, *_STANZAS)),
        Target("stanzas", documents.stanzas, (*_XML, *_STANZAS)),
        Target("client", documents.client, _XML),
        Target("erlang", documents.erlang, (*_CONFIG, b"<<", b">>", b"{", b"}.", b"[", b"]", b"$a", b"16#")),
        Target("yaml", documents.yaml, (*_CONFIG, b": ", b"- ", b"&a", b"*a", b"<<: *a", b"|\n", b"!!int ")),
        Target("session", machines.session, (*_EVENTS, b"\x81\x80")),
        Target(
            "xmpp", machines.xmpp, (*_XML, b"\x1eb", b"\x1es", b"\x1ec", b"\x1eu", b"\x1el", b"\x1et\x0b")
        ),
    )
}
