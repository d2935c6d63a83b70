from __future__ import annotations

from ipaddress import ip_network

import pytest

from tests.config.snippets import term, yaml_value
from wsgw.config.model import RequestHandler, Traced, UpstreamAddress
from wsgw.config.network_types import (
    Address,
    Hosts,
    Networks,
    RequestHandlers,
    SeeOtherUri,
    TraceTargets,
    Upstreams,
    WebOrigins,
    parse_upstream,
)
from wsgw.config.option_types import Context, OptionType
from wsgw.config.terms import Misfit, Term

WS = RequestHandler(("ws-xmpp",), "mod_websocket")


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Address(), term("{127,0,0,1}"), "127.0.0.1"),
        (Address(), term("{0,0,0,0,0,0,0,1}"), "::1"),
        (Address(), term("{16#2001,16#db8,0,0,0,0,0,1}"), "2001:db8::1"),
        (Address(), term('"10.0.0.1"'), "10.0.0.1"),
        (Address(), term('<<"::">>'), "::"),
        (Address(), yaml_value("::1"), "::1"),
        (Address(), yaml_value("'[::1]'"), "::1"),
        (Hosts(), term('["A.example", "b.example.", <<"a.example">>]'), ("a.example", "b.example")),
        (Hosts(), yaml_value("localhost"), ("localhost",)),
        (Networks(), term("all"), None),
        (Networks(), yaml_value("all"), None),
        (Networks(), term("[]"), ()),
        (
            Networks(),
            term('["10.0.0.1/8", {127,0,0,1}]'),
            (ip_network("10.0.0.0/8"), ip_network("127.0.0.1")),
        ),
        (Networks(), yaml_value("::ffff:10.0.0.1"), (ip_network("10.0.0.1"),)),
        (Networks(), yaml_value("[fd00::/8]"), (ip_network("fd00::/8"),)),
        (TraceTargets(), term("[]"), Traced()),
        (
            TraceTargets(),
            yaml_value("Alice@B\u00dccher.example"),
            Traced(frozenset({"alice@xn--bcher-kva.example"})),
        ),
        (
            TraceTargets(),
            term('["A@b.example/Web @/1", "10.0.0.1", "fd00::/8"]'),
            Traced(frozenset({"a@b.example/Web @/1"}), (ip_network("10.0.0.1"), ip_network("fd00::/8"))),
        ),
        (WebOrigins(), term("any"), ()),
        (WebOrigins(), yaml_value("ignore"), ()),
        (WebOrigins(), term('["https://A.example", "null"]'), ("https://a.example", "null")),
        (
            WebOrigins(),
            term('"https://a.example:443/ http://b.example:8080"'),
            ("https://a.example", "http://b.example:8080"),
        ),
        (WebOrigins(), yaml_value("https://[::1]:444"), ("https://[::1]:444",)),
        (RequestHandlers(), term('[{["ws-xmpp"], mod_websocket}]'), (WS,)),
        (RequestHandlers(), term('[{"/ws-xmpp/", mod_websocket}]'), (WS,)),
        (RequestHandlers(), term('[{<<"ws-xmpp">>, mod_websocket}]'), (WS,)),
        (RequestHandlers(), yaml_value("{/ws-xmpp: mod_websocket}"), (WS,)),
        (RequestHandlers(), yaml_value('[{"ws-xmpp": mod_websocket}]'), (WS,)),
        (RequestHandlers(), term("[]"), ()),
        (RequestHandlers(), term("[{[], mod_websocket}]"), (RequestHandler((), "mod_websocket"),)),
        (
            RequestHandlers(),
            term('[{["a","b"], mod_websocket}]'),
            (RequestHandler(("a", "b"), "mod_websocket"),),
        ),
        (Upstreams(), term('"tcp://h"'), (UpstreamAddress("tcp", "h", 5222),)),
        (
            Upstreams(),
            term('["tcp://h", "srv:d.example"]'),
            (parse_upstream("tcp://h"), parse_upstream("srv:d.example")),
        ),
        (SeeOtherUri(), term('"wss://@HOST@:5443/ws"'), "wss://@HOST@:5443/ws"),
        (SeeOtherUri(), term('"ws://a.example"'), "ws://a.example"),
    ],
)
def test_a_value_of_the_type_is_read(kind: OptionType, value: Term, expected: object) -> None:
    assert kind.parse(value, Context()) == expected


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (Address(), term("{127,0,0}"), "expected an IP address, found {127, 0, 0}"),
        (Address(), term("{127,0,0,256}"), "expected an IP address"),
        (Address(), term("{a,b,c,d}"), "expected an IP address"),
        (Address(), term('"localhost"'), "expected an IP address"),
        (Address(), term("5"), "expected an IP address, found 5"),
        (Hosts(), term('["a b"]'), '"a b": '),
        (Hosts(), term("[5]"), "expected a domain, found 5"),
        (Networks(), term('["10.0.0.0/40"]'), "is not a network"),
        (TraceTargets(), term('["@b.example"]'), "item 1 is not a JID, NAME@DOMAIN"),
        (TraceTargets(), term('["x@y.example", "a@b c/x"]'), "item 2 is not a JID, "),
        (TraceTargets(), term('["b.example"]'), "item 1 is not a JID, an IP address or a network"),
        (Networks(), term("[any]"), "expected an IP address, found any"),
        (Networks(), term("none"), "expected an IP address, found none"),
        (WebOrigins(), term('["example.org"]'), "example.org is not an origin"),
        (WebOrigins(), term('["https://a.example/path"]'), "is not an origin"),
        (WebOrigins(), term('["https://a.example:99999"]'), "is not an origin"),
        (WebOrigins(), term("[5]"), "expected an origin"),
        (RequestHandlers(), term("mod_websocket"), "expected a list of {Path, Module}, found mod_websocket"),
        (RequestHandlers(), term('["ws"]'), "expected a path and a module"),
        (
            RequestHandlers(),
            term('[{"ws", mod_websockt}]'),
            "mod_websockt is not a request handler; known: mod_websocket, mod_host_meta",
        ),
        (RequestHandlers(), term('[{"ws", true}]'), "true is not a request handler"),
        (RequestHandlers(), term('[{"ws", websocket}]'), "websocket is not a request handler"),
        (RequestHandlers(), term('[{"ws", 5}]'), "5 is not a request handler"),
        (RequestHandlers(), term("[{5, mod_websocket}]"), "expected a path"),
        (RequestHandlers(), term('[{["a", 5], mod_websocket}]'), "expected a path"),
        (RequestHandlers(), term('[{"/a/../b", mod_websocket}]'), "expected a path"),
        (
            RequestHandlers(),
            term('[{"a", mod_websocket}, {["a"], mod_websocket}]'),
            "the path /a already has a handler, in line 1",
        ),
        (Upstreams(), term("[]"), "expected one or a list of tcp://HOST:PORT"),
        (Upstreams(), term("[5]"), "expected an XMPP server"),
        (SeeOtherUri(), term('"https://a.example"'), "expected a wss:// or ws:// address"),
        (SeeOtherUri(), term('"wss:///ws"'), "expected a wss:// or ws:// address"),
        (SeeOtherUri(), term('"wss://a b"'), "expected a wss:// or ws:// address"),
        (SeeOtherUri(), term('"wss://user@a"'), "expected a wss:// or ws:// address"),
        (SeeOtherUri(), term("true"), "expected a wss:// or ws:// address"),
    ],
)
def test_a_value_of_another_type_is_an_error(kind: OptionType, value: Term, reason: str) -> None:
    with pytest.raises(Misfit) as caught:
        kind.parse(value, Context())
    ((_, told),) = caught.value.errors
    assert reason in told


def test_all_errors_of_a_list_are_reported() -> None:
    with pytest.raises(Misfit) as caught:
        Hosts().parse(term('["a b",\n "c",\n "d e"]'), Context())
    assert [mark.line for mark, _ in caught.value.errors] == [1, 3]


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("tcp://127.0.0.1:5222", UpstreamAddress("tcp", "127.0.0.1", 5222)),
        ("TCP://Xmpp.Example", UpstreamAddress("tcp", "xmpp.example", 5222)),
        ("starttls://xmpp.example", UpstreamAddress("starttls", "xmpp.example", 5222)),
        ("tls://xmpp.example", UpstreamAddress("tls", "xmpp.example", 5223)),
        ("tls://[2001:DB8::1]:443", UpstreamAddress("tls", "2001:db8::1", 443)),
        ("tcp://[::1]", UpstreamAddress("tcp", "::1", 5222)),
        ("unix:/run/x.sock", UpstreamAddress("unix", "/run/x.sock", 0)),
        ("unix:///run/x.sock", UpstreamAddress("unix", "/run/x.sock", 0)),
        ("srv:Bücher.example", UpstreamAddress("srv", "xn--bcher-kva.example", 0)),
    ],
)
def test_an_upstream_is_read(uri: str, address: UpstreamAddress) -> None:
    assert parse_upstream(uri) == address
    assert parse_upstream(str(address)) == address


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("127.0.0.1:5222", "expected tcp://HOST:PORT, starttls"),
        ("", "expected tcp://"),
        ("starttsl://h", "did you mean starttls?"),
        ("tcp:h", "expected tcp://"),
        ("tcp://", "expected tcp://HOST:PORT"),
        ("tcp://h:0", "0 is not a port: ports are 1 to 65535"),
        ("tcp://h:65536", "65536 is not a port: ports are 1 to 65535"),
        ("tcp://h:port", "expected tcp://HOST:PORT"),
        ("tcp://h/path", "expected tcp://HOST:PORT"),
        ("tcp://user@h", "expected tcp://HOST:PORT"),
        ("tcp://::1:5222", "an IPv6 address in brackets"),
        ("tcp://[nonsense]", "nonsense"),
        ("unix:relative", "absolute path"),
        ("srv:", "a domain has"),
        ("srv:a b", "not a label"),
    ],
)
def test_a_text_that_is_no_upstream_is_an_error(uri: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("?", r"\?")):
        parse_upstream(uri)
