"""A target for the pages of a listener: host-meta, the console, the files of a certificate authority."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import unquote

from tests.fuzz.wires import read_head
from wsgw.errors import PageAnswer
from wsgw.errors.refusals import ACME_CHALLENGE, HOST_META
from wsgw.listener.acme_challenge import AcmeChallenges
from wsgw.listener.console import Console
from wsgw.opening.client_address import TrustedProxies
from wsgw.opening.host_meta import HostMeta, json_page, links_of, xrd
from wsgw.opening.pages import page_answer
from wsgw.opening.request_ids import request_ids
from wsgw.opening.response import refusal_bytes

#: The directory of the tokens is that of the corpus: its files are known, and others are next to it.
_TOKENS = Path(__file__).parent / "corpus" / "pages"
_CONTENTS = {path.name: path.read_bytes() for path in _TOKENS.iterdir()}
_LINKS = links_of("wss://localhost/ws-xmpp")
_META = {xrd(_LINKS), json_page(_LINKS)}
_PAGES = (
    HostMeta([(".well-known",)], {"localhost": _LINKS}),
    Console([("console",)], "/ws-xmpp", ["localhost"], {}),
    AcmeChallenges(_TOKENS),
)
_TRUSTED = TrustedProxies([ip_network("10.0.0.0/8")])
_RESPONSE = re.compile(rb"HTTP/1\.1 [2345]\d\d [ -~]+((?:\r\n[A-Za-z-]+: [ -~]+)+)\Z")


def pages(data: bytes) -> None:
    """A request head: it gets at most one page, in one valid response, and no other file."""
    head = read_head([data])
    if not isinstance(head, tuple):
        return
    method, target, _, fields, _ = head
    _judge_ids(fields)
    found = page_answer(_PAGES, method, target, fields)
    if found is None:
        return
    assert found.status in found.cause.statuses
    _judge_response(refusal_bytes(found, method), found, method)
    if found.cause is HOST_META and found.body:
        assert found.body in _META
        assert _asked_host(target, fields) == "localhost"
    if found.cause is ACME_CHALLENGE and found.body:
        path = unquote(target.partition("?")[0].partition("#")[0])
        assert found.body in [content for name, content in _CONTENTS.items() if name in path.split("/")]


def _judge_response(response: bytes, answer: PageAnswer, method: str) -> None:
    head, _, body = response.partition(b"\r\n\r\n")
    lines = _RESPONSE.match(head)
    assert lines is not None, head
    fields = [line.partition(b": ") for line in lines[1].split(b"\r\n")[1:]]
    values = {name.lower(): value for name, _, value in fields}
    assert len(values) == len(fields), "a field that is sent twice"
    assert values[b"connection"] == b"close"
    if answer.status == 304:
        assert b"content-length" not in values
        assert not body
    else:
        content = answer.body.encode() if isinstance(answer.body, str) else answer.body
        assert int(values[b"content-length"]) == len(content)
        assert body == (b"" if method == "HEAD" else content)


def _asked_host(target: str, fields: list[tuple[str, str]]) -> str:
    (header,) = [value for name, value in fields if name.lower() == "host"]
    authority = header.strip(" \t") if target.startswith("/") else target.split("/")[2]
    return authority.lower().rpartition(":")[0].rstrip(".") or authority.lower().rstrip(".")


def _judge_ids(fields: list[tuple[str, str]]) -> None:
    assert request_ids("192.0.2.7", fields, _TRUSTED) == (None, None), "any client could write the log"
    for found, name in zip(
        request_ids("10.1.2.3", fields, _TRUSTED), ("x-request-id", "traceparent"), strict=True
    ):
        sent = [value for key, value in fields if key.lower() == name]
        if found is not None:
            assert sent == [found]
            assert 0 < len(found) <= 128
            assert found.isascii()
            assert not set(found) - set("._:/+=-") - {letter for letter in found if letter.isalnum()}
