"""The judgement about a page of host-meta: one fault each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.doctor.finding import Verdict
from wsgw.doctor.host_meta import JSON_NAME, XRD_NAME, Fetched, Form, _judge
from wsgw.doctor.https import ORIGIN, Page
from wsgw.opening.host_meta import json_page, links_of, xrd

URL = "https://example.org/.well-known/host-meta"
WSS = "wss://example.org/ws-xmpp"
LINKS = links_of(WSS, "https://example.org/bosh")
BODIES = {XRD_NAME: xrd(LINKS), JSON_NAME: json_page(LINKS)}
TYPES = {XRD_NAME: "application/xrd+xml", JSON_NAME: "application/json; charset=utf-8"}
CORS = ("access-control-allow-origin", "*")


def judged(
    name: str = XRD_NAME,
    body: str | bytes | None = None,
    headers: tuple[tuple[str, str], ...] | None = None,
    status: int = 200,
    before: tuple[Page, ...] = (),
) -> Form:
    if headers is None:
        headers = (CORS, ("content-type", TYPES[name]))
    text = BODIES[name] if body is None else body
    page = Page(URL, status, headers, text if isinstance(text, bytes) else text.encode())
    return _judge(name, Fetched(URL, (*before, page)))


def fault_of(form: Form) -> str:
    (finding,) = form.findings
    assert finding.verdict is Verdict.FAILED
    assert finding.fix
    return finding.what


@pytest.mark.rule("xep-0156")
@pytest.mark.parametrize("name", [XRD_NAME, JSON_NAME])
def test_a_page_of_wsgw_is_right(name: str) -> None:
    form = judged(name)
    assert [finding.verdict for finding in form.findings] == [Verdict.OK]
    assert form.websocket == WSS


def test_of_several_links_the_last_secure_one_counts() -> None:
    """As for Converse."""
    links = (*links_of("wss://first.example/ws"), *links_of(WSS), *links_of("ws://clear.example/ws"))
    assert judged(body=xrd(links)).websocket == WSS
    assert judged(JSON_NAME, json_page(links)).websocket == WSS


@pytest.mark.rule("xep-0156-cors")
@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        ([], "has no header Access-Control-Allow-Origin"),
        (["*", "*"], "more than once"),
        (["*, *"], "more than once"),
        (["https://example.org"], "some origins only"),
        (["*"], ""),
        ([ORIGIN], ""),
    ],
)
def test_the_page_must_be_readable_for_web_clients(allowed: list[str], words: str) -> None:
    headers = [("access-control-allow-origin", value) for value in allowed]
    form = judged(headers=(*headers, ("content-type", TYPES[XRD_NAME])))
    assert form.websocket == WSS, "the other checks need the address"
    if words:
        assert words in fault_of(form)
    else:
        assert [finding.verdict for finding in form.findings] == [Verdict.OK]


@pytest.mark.parametrize("media", ["text/xml", "application/octet-stream", "", "application/json"])
def test_the_type_must_be_that_of_the_form(media: str) -> None:
    headers = (CORS, ("content-type", media)) if media else (CORS,)
    assert (
        fault_of(judged(headers=headers)) == f"has the type {media or '(none)'} instead of {TYPES[XRD_NAME]}"
    )


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        (XRD_NAME, "<XRD>", "not well-formed XML"),
        (XRD_NAME, "<!DOCTYPE x [<!ENTITY y 'z'>]><x/>", "not well-formed XML without a DTD"),
        (XRD_NAME, b"<?xml version='1.0' encoding='none'?><x/>", "not well-formed XML"),
        (XRD_NAME, "<XRD/>", "is no XRD"),
        (XRD_NAME, xrd([]), "names no WebSocket"),
        (XRD_NAME, xrd(links_of("ws://example.org/ws")), "names ws://example.org/ws, which is not encrypted"),
        (XRD_NAME, xrd(links_of("https://example.org/ws")), "which is no address of a WebSocket"),
        (XRD_NAME, xrd(links_of("wss://[example/ws")), "which is no address of a WebSocket"),
        (JSON_NAME, "{", "is not JSON"),
        (JSON_NAME, "[" * 100_000, "is not JSON"),
        (JSON_NAME, "[]", "no object with a list of links"),
        (JSON_NAME, '{"links": [1]}', "no object with a list of links"),
        (JSON_NAME, '{"links": []}', "names no WebSocket"),
        (JSON_NAME, '{"xmpp": {}, "links": []}', "XEP-0487"),
    ],
)
def test_a_wrong_content_is_a_fault(name: str, body: str | bytes, words: str) -> None:
    form = judged(name, body)
    assert words in fault_of(form)
    assert form.websocket == ""


@pytest.mark.parametrize(
    ("status", "location", "words"),
    [
        (301, "http://example.org/host-meta", "redirects to http://example.org/host-meta: browsers do not"),
        (302, "/.well-known/host-meta", f"redirects to {URL}: the redirects do not end"),
        (302, None, "answers 302"),
        (302, "https://[example.org/", "answers 302"),
        (302, "https://example.org:a/", "answers 302"),
        (500, None, "answers 500"),
        (403, None, "answers 403"),
    ],
)
def test_another_status_is_a_fault(status: int, location: str | None, words: str) -> None:
    headers = (CORS,) if location is None else (CORS, ("location", location))
    assert words in fault_of(judged(headers=headers, status=status))


def test_a_redirect_is_noted_and_needs_the_header_too() -> None:
    to = ("location", "https://www.example.org/host-meta")
    form = judged(before=(Page(URL, 301, (CORS, to), b""),))
    assert [finding.verdict for finding in form.findings] == [Verdict.NOTE]
    form = judged(before=(Page(URL, 301, (to,), b""),))
    assert [finding.verdict for finding in form.findings] == [Verdict.FAILED, Verdict.NOTE]


def test_the_json_form_may_be_missing() -> None:
    (finding,) = judged(JSON_NAME, status=404).findings
    assert finding.verdict is Verdict.NOTE


@given(st.sampled_from([XRD_NAME, JSON_NAME]), st.binary() | st.text().map(str.encode), st.text(max_size=20))
def test_any_page_has_findings(name: str, body: bytes, place: str) -> None:
    assert judged(name, body).findings
    assert judged(name, body, (CORS, ("location", place)), 302).findings


@given(st.text(max_size=30))
def test_any_link_has_findings(link: str) -> None:
    form = judged(JSON_NAME, json_page(links_of(link or None)))
    assert form.findings
    assert form.websocket in ("", link)
