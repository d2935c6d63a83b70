"""The checks of a WebSocket upgrade: the phrase of each and its place in the order (RFC 6455 section 4.2)."""

from __future__ import annotations

from typing import Any

import pytest

from wsgw.errors import HandshakeRefused
from wsgw.opening.request import UpgradeRequest, host_name, judge, path_is_served, path_segments

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 section 1.3
ORIGIN = "https://chat.example"

Headers = list[tuple[str, str]]

#: In the order of the checks.
GOOD: dict[str, str] = {
    "host": "example.org",
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec-websocket-protocol": "xmpp",
    "sec-websocket-key": KEY,
    "sec-websocket-version": "13",
    "origin": ORIGIN,
}


def is_served(segments: object) -> bool:
    return segments == ("ws-xmpp",)


def request(
    *extra: tuple[str, str],
    method: str = "GET",
    target: str = "/ws-xmpp",
    version: tuple[int, int] = (1, 1),
    without: str = "",
    **changed: str,
) -> UpgradeRequest:
    """A good request, changed; header names are written with underscores."""
    headers = GOOD | {name.replace("_", "-"): value for name, value in changed.items()}
    headers.pop(without, None)
    return UpgradeRequest(method, target, version, [*headers.items(), *extra])


def refusal(judged: UpgradeRequest, *origins: str) -> HandshakeRefused:
    with pytest.raises(HandshakeRefused) as caught:
        judge(judged, is_served, origins)
    return caught.value


ACCEPTED = {
    "as it should be": request(),
    "HTTP/2 says a higher version": request(version=(2, 0)),
    "tokens in any case": request(upgrade="WebSocket", connection="uPGRADE"),
    "'Connection: keep-alive, Upgrade', as Firefox": request(connection="keep-alive, Upgrade"),
    "the same without the space": request(connection="keep-alive,Upgrade"),
    "with spaces and empty elements (RFC 9110 5.6.1)": request(connection=" ,keep-alive ,\tUpgrade , "),
    "Connection in two lines": request(("connection", "keep-alive")),
    "Connection's token in the second line": request(("connection", "upgrade"), connection="keep-alive"),
    "several upgrades offered": request(upgrade="h2c, websocket"),
    "xmpp first of two subprotocols": request(sec_websocket_protocol="xmpp, foo"),
    "xmpp last of two subprotocols": request(sec_websocket_protocol="foo,xmpp"),
    "subprotocols in two lines": request(("sec-websocket-protocol", "xmpp"), sec_websocket_protocol="foo"),
    "spaces around key and version": request(sec_websocket_key=f" {KEY} ", sec_websocket_version=" 13 "),
    "extensions are nobody's business here": request(("sec-websocket-extensions", "permessage-deflate")),
    "no Origin: no browser": request(without="origin"),
    "a query": request(target="/ws-xmpp?x=/..&y=%00"),
    "absolute form (RFC 9112 3.2.2)": request(target="http://example.org/ws-xmpp"),
}


@pytest.mark.rule("fault-01")
@pytest.mark.parametrize("accepted", ACCEPTED.values(), ids=ACCEPTED)
def test_a_good_request_is_accepted(accepted: UpgradeRequest) -> None:
    assert judge(accepted, is_served) == KEY


BAD = "Bad request: "
NO_WEBSOCKET = BAD + "'Upgrade' header doesn't include 'websocket'"
NO_UPGRADE = BAD + "'Connection' header doesn't include 'upgrade'"
NO_XMPP = BAD + "'Sec-WebSocket-Protocol' doesn't include 'xmpp'"
ONE_HOST = BAD + "need exactly one 'Host' header"
ONE_KEY = BAD + "need exactly one 'Sec-WebSocket-Key' header"
ONE_VERSION = BAD + "need exactly one 'Sec-WebSocket-Version' header"
WRONG_VERSION = BAD + "unsupported version of WebSocket protocol"
INVALID_KEY = BAD + "invalid 'Sec-WebSocket-Key' header"

REFUSED = {
    "POST": (request(method="POST"), 400, BAD + "invalid method"),
    "a method in lower case is another one": (request(method="get"), 400, BAD + "invalid method"),
    "HTTP/1.0": (request(version=(1, 0)), 400, BAD + "need HTTP/1.1 or higher"),
    "HTTP/0.9": (request(version=(0, 9)), 400, BAD + "need HTTP/1.1 or higher"),
    "no Host": (request(without="host"), 400, ONE_HOST),
    "two Hosts": (request(("host", "example.org")), 400, ONE_HOST),
    "no Upgrade": (request(without="upgrade"), 400, NO_WEBSOCKET),
    "another upgrade": (request(upgrade="websockets"), 400, NO_WEBSOCKET),
    "no Connection": (request(without="connection"), 400, NO_UPGRADE),
    "a Connection that only looks like it": (request(connection="upgrade-insecure"), 400, NO_UPGRADE),
    "a control around upgrade": (request(connection="upgrade\x0b"), 400, NO_UPGRADE),
    "other white space around websocket": (request(upgrade="\xa0websocket"), 400, NO_WEBSOCKET),
    "other white space around the version": (request(sec_websocket_version="13\x85"), 426, WRONG_VERSION),
    "other white space around the key": (request(sec_websocket_key=f"{KEY}\x1c"), 400, INVALID_KEY),
    "no subprotocol": (request(without="sec-websocket-protocol"), 400, NO_XMPP),
    "a subprotocol that only contains it": (request(sec_websocket_protocol="xmpp-framing"), 400, NO_XMPP),
    "subprotocols are case-sensitive": (request(sec_websocket_protocol="XMPP"), 400, NO_XMPP),
    "no key": (request(without="sec-websocket-key"), 400, ONE_KEY),
    "two keys": (request(("sec-websocket-key", KEY)), 400, ONE_KEY),
    "no version": (request(without="sec-websocket-version"), 400, ONE_VERSION),
    "two versions": (request(("sec-websocket-version", "13")), 400, ONE_VERSION),
    "version 8": (request(sec_websocket_version="8"), 426, WRONG_VERSION),
    "two versions in one line": (request(sec_websocket_version="13, 8"), 426, WRONG_VERSION),
    "an empty key": (request(sec_websocket_key=""), 400, INVALID_KEY),
    "a key that is no base64": (request(sec_websocket_key="!" * 24), 400, INVALID_KEY),
    "a key without padding": (request(sec_websocket_key=KEY[:-2]), 400, INVALID_KEY),
    "a key of 15 bytes": (request(sec_websocket_key="AAAAAAAAAAAAAAAAAAAA"), 400, INVALID_KEY),
    "a key of 17 bytes": (request(sec_websocket_key="A" * 23 + "="), 400, INVALID_KEY),
    "a key that is not ASCII": (request(sec_websocket_key="é" * 24), 400, INVALID_KEY),
    "garbage inside the key": (request(sec_websocket_key=KEY[:4] + "\n" + KEY[4:]), 400, INVALID_KEY),
    "no handler": (request(target="/other"), 404, "Not found"),
    "the root": (request(target="/"), 404, "Not found"),
    "a NUL in the path": (request(target="/ws-xmpp%00"), 400, BAD + "invalid path"),
}  # fmt: skip


@pytest.mark.rule("6455-4.2.1")
@pytest.mark.parametrize(("refused", "status", "phrase"), REFUSED.values(), ids=REFUSED)
def test_a_bad_request_is_refused_with_its_phrase(refused: UpgradeRequest, status: int, phrase: str) -> None:
    error = refusal(refused)
    assert (error.status, error.phrase) == (status, phrase)
    assert phrase.isascii()
    assert "\r" not in phrase


@pytest.mark.rule("6455-4.4")
def test_a_wrong_version_is_answered_with_the_right_one() -> None:
    """RFC 6455 section 4.4; RFC 9110 section 15.5.22 wants the protocol in Upgrade."""
    error = refusal(request(sec_websocket_version="7"))
    assert error.headers == (("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket"))


def test_the_checks_have_the_original_order() -> None:
    """A request with every error gets the answer to the first; once that is corrected, to the next."""
    faults: Headers = [
        (name, "bad") for name in ("upgrade", "connection", "sec-websocket-protocol", "origin")
    ]
    faults += [("sec-websocket-key", "bad"), ("sec-websocket-key", "bad")]
    faults += [("sec-websocket-version", "8"), ("sec-websocket-version", "8")]
    mended = [
        ("host", 400, ONE_HOST),
        ("upgrade", 400, NO_WEBSOCKET),
        ("connection", 400, NO_UPGRADE),
        ("sec-websocket-protocol", 400, NO_XMPP),
        ("sec-websocket-key", 400, ONE_KEY),
        ("sec-websocket-version", 400, ONE_VERSION),
    ]
    target = "/other"
    for method, version, phrase in (
        ("PUT", (1, 0), "invalid method"),
        ("GET", (1, 0), "need HTTP/1.1 or higher"),
    ):
        error = refusal(UpgradeRequest(method, target, version, faults), ORIGIN)
        assert error.phrase == BAD + phrase
    for name, status, phrase in mended:
        error = refusal(UpgradeRequest("GET", target, (1, 1), faults), ORIGIN)
        assert (error.status, error.phrase) == (status, phrase)
        faults = [*((key, value) for key, value in faults if key != name), (name, GOOD[name])]
    last = {"version": "8", "key": "bad"}
    for changed, goal, status, phrase in (
        (last, target, 426, WRONG_VERSION),
        ({"key": "bad"}, target, 400, INVALID_KEY),
        ({}, target, 404, "Not found"),
        ({}, "/ws-xmpp", 403, "Forbidden: origin not allowed"),
    ):
        headers: dict[str, Any] = {f"sec_websocket_{name}": value for name, value in changed.items()}
        error = refusal(request(target=goal, origin="https://evil.example", **headers), ORIGIN)
        assert (error.status, error.phrase) == (status, phrase)


@pytest.mark.rule("6455-4.2.2-origin")
@pytest.mark.parametrize(
    ("origins", "allowed"),
    [
        ([ORIGIN], True),
        (["HTTPS://Chat.Example "], True),
        ([], True),
        (["https://evil.example"], False),
        (["https://chat.example.evil.example"], False),
        (["http://chat.example"], False),
        (["https://chat.example:8443"], False),
        (["null"], False),
        ([""], False),
        ([ORIGIN, "https://evil.example"], False),
    ],
)
def test_only_an_allowed_origin_is_accepted(origins: list[str], allowed: bool) -> None:
    """RFC 6455 section 4.2.2: an unwanted Origin is 403; a request without one comes from no browser."""
    asked = request(*(("origin", origin) for origin in origins), without="origin")
    assert judge(asked, is_served) == KEY, "without the option any is allowed"
    if allowed:
        assert judge(asked, is_served, [ORIGIN, "https://other.example"]) == KEY
    else:
        assert refusal(asked, ORIGIN).status == 403


@pytest.mark.parametrize(
    ("target", "segments"),
    [
        ("/", ()),
        ("/ws-xmpp", ("ws-xmpp",)),
        ("/ws-xmpp/", ("ws-xmpp",)),
        ("//ws-xmpp//a", ("ws-xmpp", "a")),
        ("/ws-xmpp?a=/b", ("ws-xmpp",)),
        ("/ws-xmpp#a/b", ("ws-xmpp",)),
        ("/ws%2Dxmpp", ("ws-xmpp",)),
        ("/%77s%2Fxmpp", ("ws/xmpp",)),
        ("/a%3Fb", ("a?b",)),
        ("/a/../b", ("b",)),
        ("/../../b", ("b",)),
        ("/a/b/%2E%2e/c", ("a", "c")),
        ("/./a/.", ("a",)),
        ("/a/..", ()),
        ("/%2e%2E%2f", ("../",)),
        ("/%E2%82%AC", ("€",)),
        ("/%ff", ("\ufffd",)),
        ("/%zz", ("%zz",)),
        ("http://example.org/ws/xmpp?q", ("ws", "xmpp")),
        ("http://example.org", ()),
        ("WSS://[::1]:5443/ws-xmpp", ("ws-xmpp",)),
        ("/a/http://b/c", ("a", "http:", "b", "c")),
    ],
)
def test_a_path_is_split_into_its_segments(target: str, segments: tuple[str, ...]) -> None:
    assert path_segments(target) == segments


@pytest.mark.rule("9112-3.2")
@pytest.mark.parametrize(
    "target",
    [
        "",
        "*",
        "ws-xmpp",
        "localhost/ws-xmpp",
        "localhost:80",
        "mailto:a@b",
        "://h/ws-xmpp",
        "http:///ws-xmpp",
    ],
)
@pytest.mark.parametrize("headers", [GOOD, {"host": "localhost"}], ids=["upgrade", "plain"])
def test_a_target_that_is_neither_path_nor_url_is_refused(target: str, headers: dict[str, str]) -> None:
    """Also where the WebSocket has all paths."""
    with pytest.raises(HandshakeRefused) as caught:
        judge(UpgradeRequest("GET", target, (1, 1), list(headers.items())), lambda segments: True)
    assert (caught.value.status, caught.value.phrase) == (400, BAD + "invalid target")
    assert not path_is_served(target, lambda segments: True)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("chat.example", "chat.example"),
        ("Chat.Example:5443", "Chat.Example"),
        ("192.0.2.1:80", "192.0.2.1"),
        (" xn--mnchen-3ya.example ", "xn--mnchen-3ya.example"),
        ("[2001:db8::1]:443", ""),
        ("", ""),
        ("a b", ""),
        ("x" * 256, ""),
        ("m\xfcnchen.example", ""),
    ],
)
def test_the_host_name_of_a_request(host: str, name: str) -> None:
    assert host_name([("Origin", "x"), ("HOST", host)]) == name
    assert host_name([]) == ""
