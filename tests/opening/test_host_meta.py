"""The pages of host-meta, read by an independent XML parser and a JSON parser; the answers to requests."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from wsgw.opening.host_meta import HostMeta, json_page, links_of, xrd
from wsgw.opening.pages import PageRequest

XRD = "{http://docs.oasis-open.org/ns/xri/xrd-1.0}"
WEBSOCKET = "urn:xmpp:alt-connections:websocket"
BOSH = "urn:xmpp:alt-connections:xbosh"
WSS = "wss://example.org/ws-xmpp"
FOLDER = (".well-known",)
PAGE = (".well-known", "host-meta")
JSON = (".well-known", "host-meta.json")
BOTH = HostMeta([FOLDER], {"example.org": links_of(WSS), "xn--bcher-kva.example": links_of(None)})


@pytest.mark.rule("xep-0156", "xep-0156-order", "xep-0156-xmpp")
@pytest.mark.parametrize(
    ("websocket", "bosh", "links"),
    [
        (WSS, None, [(WEBSOCKET, WSS)]),
        (WSS, "https://example.org/bosh", [(BOSH, "https://example.org/bosh"), (WEBSOCKET, WSS)]),
        ("wss://example.org/?a=1&b='<\">", None, [(WEBSOCKET, "wss://example.org/?a=1&b='<\">")]),
        (None, None, []),
    ],
)
def test_both_pages_have_the_same_links(
    websocket: str | None, bosh: str | None, links: list[tuple[str, str]]
) -> None:
    """The WebSocket stands last, and no other member or element is there."""
    root = ElementTree.fromstring(xrd(links_of(websocket, bosh)).encode())
    assert root.tag == f"{XRD}XRD"
    assert [(one.tag, one.attrib) for one in root] == [
        (f"{XRD}Link", {"rel": rel, "href": href}) for rel, href in links
    ]
    assert json.loads(json_page(links_of(websocket, bosh))) == {
        "links": [{"rel": rel, "href": href} for rel, href in links]
    }


@pytest.mark.parametrize(
    ("paths", "served"),
    [
        ([FOLDER], {PAGE, JSON}),
        ([PAGE], {PAGE}),
        ([JSON], {JSON}),
        ([PAGE, JSON], {PAGE, JSON}),
        ([()], {("host-meta",), ("host-meta.json",)}),
        ([], set()),
    ],
)
def test_a_handler_serves_a_page_or_a_folder_of_both(
    paths: list[tuple[str, ...]], served: set[tuple[str, ...]]
) -> None:
    pages = HostMeta(paths, {})
    every = [PAGE, JSON, FOLDER, (), ("host-meta",), ("host-meta.json",), (*PAGE, "host-meta"), (*PAGE, "")]
    assert {path for path in every if pages.has(path)} == served


@pytest.mark.rule("xep-0156-host")
@pytest.mark.parametrize(
    ("target", "header", "status"),
    [
        ("/.well-known/host-meta", "example.org", 200),
        ("/.well-known/host-meta", "EXAMPLE.org.:5280", 200),
        ("/.well-known/host-meta", " xn--bcher-kva.example", 200),
        ("http://example.org/.well-known/host-meta", "other.example", 200),
        ("http://other.example/.well-known/host-meta", "example.org", 404),
        ("/.well-known/host-meta", "www.example.org", 404),
        ("/.well-known/host-meta", "127.0.0.1:5280", 404),
        ("/.well-known/host-meta", "[::1]:5280", 404),
        ("/.well-known/host-meta", "a:b:c", 404),
        ("/.well-known/host-meta", "", 404),
    ],
)
def test_the_host_chooses_the_page(target: str, header: str, status: int) -> None:
    assert BOTH.answer(PageRequest("GET", target, PAGE, [("Host", header)])).status == status


@pytest.mark.rule("xep-0156-cors")
@pytest.mark.parametrize(
    ("method", "hosts", "status"),
    [
        ("GET", ["example.org"], 200),
        ("HEAD", ["example.org"], 200),
        ("OPTIONS", ["example.org"], 200),
        ("OPTIONS", ["unknown.example"], 200),
        ("POST", ["example.org"], 405),
        ("GET", ["unknown.example"], 404),
        ("GET", [], 400),
        ("GET", ["example.org", "example.org"], 400),
    ],
)
def test_every_answer_may_be_read_by_any_page(method: str, hosts: list[str], status: int) -> None:
    fields = [("HOST", host) for host in hosts]
    found = BOTH.answer(PageRequest(method, "/.well-known/host-meta", PAGE, fields))
    assert found.status == status
    assert [value for name, value in found.headers if name == "Access-Control-Allow-Origin"] == ["*"]
    assert (("Allow", "GET, HEAD, OPTIONS") in found.headers) == (method in ("OPTIONS", "POST"))
    assert bool(found.body) == (method in ("GET", "HEAD") and status == 200)


@pytest.mark.parametrize(("path", "media"), [(PAGE, "application/xrd+xml"), (JSON, "application/json")])
def test_a_page_has_its_type_and_may_be_kept(path: tuple[str, ...], media: str) -> None:
    headers = BOTH.answer(PageRequest("GET", "/" + "/".join(path), path, [("Host", "example.org")])).headers
    assert ("Content-Type", media) in headers
    assert ("Cache-Control", "public, max-age=3600") in headers


@pytest.mark.rule("xep-0156-host")
@pytest.mark.parametrize(
    ("method", "target", "host"),
    [
        ("GET", "/.well-known/host-meta", "example.org:x"),
        ("HEAD", "/.well-known/host-meta", "example.org, example.org"),
        ("POST", "/.well-known/host-meta", "example.org"),
        ("GET", "http://example.org/.well-known/host-meta", "xn--bcher-kva.example"),
        ("GET", "http://example.org/.well-known/host-meta", "example.org:x"),
    ],
)
def test_no_odd_request_fills_a_cache(method: str, target: str, host: str) -> None:
    """A cache might give the answer to clients that ask for the page of ``host``."""
    headers = BOTH.answer(PageRequest(method, target, PAGE, [("Host", host)])).headers
    assert [value for name, value in headers if name == "Cache-Control"] == ["no-store"]
