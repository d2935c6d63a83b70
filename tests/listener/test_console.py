"""Requests for the console at a listener, next to its WebSocket."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.listener.heads import GOOD, accepts, answer, request
from tests.support.edges import StartEdge
from tests.support.gateway import Gateway
from tests.support.processes import wait_until
from tests.support.wire import SECONDS
from wsgw import __version__
from wsgw.config.command_line import DemoPages, from_arguments
from wsgw.config.model import CONSOLE as CONSOLE_MODULE
from wsgw.config.model import OWN_HANDLERS
from wsgw.errors.refusals import CONSOLE
from wsgw.listener.pages import pages_of
from wsgw.opening.pages import PageRequest
from wsgw.pages.assets import page_files, security_fields

CONFIG = """\
{{hosts, ["localhost", "example.org"]}}.
{{workers, 1}}.
{{drain_timeout, 1}}.
{{listen, [
  {{{c2s_port}, ejabberd_c2s, []}},
  {{{ws_port}, websocket_session, [
    {{ip, {{127,0,0,1}}}},
    {{max_connect_rate_per_ip, 1000}},
    {{request_handlers, [{{"/", mod_websocket}}, {{"/a/console", wsgw_console}}]}}
  ]}},
  {{{wss_port}, websocket_session, [
    {{ip, {{127,0,0,1}}}},
    {{tls, true}},
    {{certfile, "{certfile}"}},
    {{request_handlers, [{{"/console", wsgw_console}}]}}
  ]}}
]}}.
"""
FILES = page_files("console")


@pytest.fixture(scope="module")
def pages(start_edge: StartEdge) -> Gateway:
    return start_edge(config=CONFIG)


def get(gateway: Gateway, path: str, *fields: str, method: str = "GET") -> tuple[str, dict[str, str], bytes]:
    """(status line, header fields, body) of the answer."""
    lines = (f"{method} {path} HTTP/1.1", "Host: localhost", *fields)
    head, body = answer(gateway.ws_port, request(*lines)).split(b"\r\n\r\n", 1)
    status, *rest = head.decode("latin-1").split("\r\n")
    found = [(name, value) for name, _, value in (line.partition(": ") for line in rest)]
    assert len(found) == len({name for name, _ in found}), found
    return status, dict(found), body


def test_each_file_is_served_and_protected(pages: Gateway) -> None:
    for name, asset in {"": FILES["index.html"], **FILES}.items():
        status, fields, body = get(pages, f"/a/console/{name}?x")
        assert (status, body) == ("HTTP/1.1 200 OK", asset.body)
        assert fields.items() >= {*asset.fields, *security_fields()}
        assert get(pages, f"/a/console/{name}", method="HEAD") == (status, fields, b"")


def test_a_file_that_the_browser_has_is_not_sent_again(pages: Gateway) -> None:
    tag = FILES["main.js"].etag
    status, fields, body = get(pages, "/a/console/main.js", f"If-None-Match: {tag}")
    assert (status, fields["ETag"], body) == ("HTTP/1.1 304 Not Modified", tag, b"")
    assert "Content-Length" not in fields
    assert get(pages, "/a/console/main.js", 'If-None-Match: "other"')[2] == FILES["main.js"].body


@pytest.mark.parametrize(
    ("path", "location"),
    [("/a/console", "./console/"), ("/a//console?x=/", "./console/"), ("/%61/%63onsole", "./console/")],
)
def test_the_folder_without_a_slash_is_a_redirection(pages: Gateway, path: str, location: str) -> None:
    """Relative, so that a proxy may serve it under another path."""
    status, fields, _ = get(pages, path)
    assert (status, fields["Location"]) == ("HTTP/1.1 307 Temporary Redirect", location)


def test_the_settings_name_the_websocket_relative_to_the_page(pages: Gateway) -> None:
    _, fields, body = get(pages, "/a/console/settings.json")
    assert fields["Content-Type"] == "application/json"
    assert json.loads(body) == {
        "version": __version__,
        "hosts": ["localhost", "example.org"],
        "accounts": [],
        "websocket": "../../",
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/a/console/", "405 Method Not Allowed"),
        ("OPTIONS", "/a/console/main.js", "405 Method Not Allowed"),
    ],
)
def test_other_methods_are_refused(pages: Gateway, method: str, path: str, status: str) -> None:
    found, fields, body = get(pages, path, method=method)
    assert (found, fields["Allow"], body) == (f"HTTP/1.1 {status}", "GET, HEAD", b"")


def test_a_request_with_a_body_is_refused(pages: Gateway) -> None:
    assert get(pages, "/a/console/", "Content-Length: 1")[0] == "HTTP/1.1 400 Bad request: unexpected body"


def test_the_websocket_next_to_it_works(pages: Gateway) -> None:
    for path in ("/", "/a", "/a/console/unknown"):
        assert accepts(pages.ws_port, request(f"GET {path} HTTP/1.1", *GOOD[1:]))


@pytest.mark.parametrize(("modules", "websocket"), [(OWN_HANDLERS, "ws-xmpp"), ((CONSOLE_MODULE,), None)])
def test_the_settings_of_a_demo_offer_its_accounts(modules: tuple[str, ...], websocket: str | None) -> None:
    config = from_arguments("127.0.0.1:5288", ["a"], ["srv:a"], DemoPages("ws://127.0.0.1:5288/ws-xmpp"))
    (listener,) = config.listeners
    handlers = tuple(one for one in listener.request_handlers if one.module in modules)
    demo = replace(config, demo_accounts={"alice@a": "secret"})
    *_, console = pages_of(replace(listener, request_handlers=handlers), demo)
    found = console.answer(PageRequest("GET", "/settings.json", ("settings.json",), []))
    assert found.cause is CONSOLE
    settings = json.loads(found.body)
    assert settings["websocket"] == websocket
    assert settings["accounts"] == [{"jid": "alice@a", "password": "secret"}]


def test_no_request_of_the_console_is_a_line_in_the_log(start_edge: StartEdge) -> None:
    gateway = start_edge(config=CONFIG, fresh=True)
    get(gateway, "/a/console/main.js")
    answer(gateway.ws_port, request("GET /ws-xmpp HTTP/1.1", "Host: localhost", "Upgrade: websocket"))
    wait_until(lambda: "upgrade refused" in gateway.log.read_text(), SECONDS, "the line of the last request")
    assert "main.js" not in gateway.log.read_text()
