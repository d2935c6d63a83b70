"""The page by which a client finds the addresses of a domain (XEP-0156): in XRD and in JSON, for each host.

    /.well-known/host-meta        XRD    (RFC 6415 section 3)
    /.well-known/host-meta.json   JSON   (RFC 6415 section 3, appendix A)

The client asks the web server of the domain on port 443. The page never has the ``xmpp`` object of XEP-0487:
clients that find it ask for no SRV records.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final, NamedTuple

from wsgw.errors import PageAnswer, refusals
from wsgw.opening.pages import PageRequest

XRD_NAME: Final = "host-meta"
JSON_NAME: Final = "host-meta.json"
XRD_TYPE: Final = "application/xrd+xml"
JSON_TYPE: Final = "application/json"
#: The folder of both pages in a URL (RFC 8615).
FOLDER: Final = ".well-known"
#: Seconds for which clients and proxies may keep a page.
MAX_AGE: Final = 3600
_NO_CACHE: Final = "no-store"
_BOSH: Final = "urn:xmpp:alt-connections:xbosh"
_WEBSOCKET: Final = "urn:xmpp:alt-connections:websocket"
_METHODS: Final = "GET, HEAD, OPTIONS"
#: The host of a Host header (RFC 9110 section 7.2), without the port.
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:]*)(?::\d*)?", re.ASCII)


class Link(NamedTuple):
    """One address: ``rel`` names the transport."""

    rel: str
    href: str


def links_of(websocket: str | None, bosh: str | None = None) -> tuple[Link, ...]:
    """The links for these URLs. The WebSocket is the last one: of several links Converse takes the last."""
    links = (bosh and Link(_BOSH, bosh), websocket and Link(_WEBSOCKET, websocket))
    return tuple(link for link in links if link)


def xrd(links: Iterable[Link]) -> str:
    """The page in XRD."""
    lines = [f'  <Link rel="{escape(rel)}" href="{escape(href)}"/>' for rel, href in links]
    begin = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0">',
    ]
    return "\n".join([*begin, *lines, "</XRD>", ""])


def json_page(links: Iterable[Link]) -> str:
    """The page in JSON."""
    return json.dumps({"links": [link._asdict() for link in links]}, indent=2) + "\n"


#: Name of the page → (media type, writer).
PAGES: Final = {XRD_NAME: (XRD_TYPE, xrd), JSON_NAME: (JSON_TYPE, json_page)}


class HostMeta:
    """The pages that one listener serves."""

    def __init__(self, paths: Iterable[tuple[str, ...]], hosts: Mapping[str, Sequence[Link]]) -> None:
        """``paths``: those of the request handlers, of a page or of a folder that then has both pages.

        ``hosts``: the links of each host, whose name is lower-case A-labels.
        """
        self._places: dict[tuple[str, ...], str] = {}
        for path in paths:
            found = [path] if path[-1:] and path[-1] in PAGES else [(*path, name) for name in PAGES]
            self._places.update((place, place[-1]) for place in found)
        self._bodies = {
            (host, name): write(links) for host, links in hosts.items() for name, (_, write) in PAGES.items()
        }

    def has(self, segments: tuple[str, ...]) -> bool:
        """Whether the decoded ``segments`` of a path are those of a page."""
        return segments in self._places

    def answer(self, request: PageRequest) -> PageAnswer:
        """The page of the requested host, or the reason why there is none."""
        hosts = request.values("host")
        if len(hosts) != 1:
            return _answer(400, "Bad request: need exactly one 'Host' header")
        if request.method == "OPTIONS":
            allowed = [("Access-Control-Allow-Methods", _METHODS), ("Access-Control-Allow-Headers", "*")]
            return _answer(200, "OK", [("Allow", _METHODS), *allowed])
        if request.method not in ("GET", "HEAD"):
            return _answer(405, "Method Not Allowed", [("Allow", _METHODS)])
        name = self._places[request.segments]
        host = _host(request.target, hosts[0])
        body = self._bodies.get((host, name))
        if body is None:
            return _answer(404, "Not found")
        # A cache may file the answer under the Host header, although an absolute target names another host.
        cache = f"public, max-age={MAX_AGE}" if host == _host("/", hosts[0]) else _NO_CACHE
        return _answer(200, "OK", [("Content-Type", PAGES[name][0])], body, cache)


def _answer(
    status: int,
    phrase: str,
    headers: Sequence[tuple[str, str]] = (),
    body: str = "",
    cache: str = _NO_CACHE,
) -> PageAnswer:
    """An answer that any web page may read, whatever it is.

    Caches may keep a 404 and a 405 unless the answer forbids it (RFC 9110 section 15.1): an odd request
    would hide the page from all clients of that cache.
    """
    common = [("Access-Control-Allow-Origin", "*"), ("Cache-Control", cache)]
    return PageAnswer(refusals.HOST_META, status, phrase, [*common, *headers], body)


def _host(target: str, header: str) -> str:
    """The requested host in lower case; that of an absolute target counts (RFC 9112 section 3.2.2)."""
    authority = header if target.startswith("/") else target.partition("://")[2].partition("/")[0]
    found = _AUTHORITY.fullmatch(authority.strip(" \t"))
    return found[1].lower().removesuffix(".") if found else ""
