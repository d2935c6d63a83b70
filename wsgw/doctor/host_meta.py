"""The page by which a client in a browser finds the WebSocket of a domain (XEP-0156), in both forms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from gevent import ssl

from wsgw.config.network_types import is_web_address
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.https import ORIGIN, Page, RequestFailed, get
from wsgw.doctor.inquiry import Check, Inquiry
from wsgw.doctor.names import LookupFailed, Server, is_local
from wsgw.doctor.reach import at_most, connect
from wsgw.doctor.tls import examine_tls, trusting, verifying

_NAME = "host-meta"
_HTTPS = 443
_XRD = "http://docs.oasis-open.org/ns/xri/xrd-1.0"
#: The page, its forms and its links, as XEP-0156 has them; written again, so that a mistake of wsgw is found.
XRD_NAME, JSON_NAME = "host-meta", "host-meta.json"
_FOLDER = ".well-known"
_WEBSOCKET = "urn:xmpp:alt-connections:websocket"
_TYPES = {XRD_NAME: "application/xrd+xml", JSON_NAME: "application/json"}
#: Seconds for one page with its redirects.
_TIMEOUT = 15.0
_GONE = (404, 410)
_SET_CORS = (
    'let one server send Access-Control-Allow-Origin: * (nginx: add_header Access-Control-Allow-Origin "*"'
    ' always; Caddy: header Access-Control-Allow-Origin *; Apache: Header set ... "*"; wsgw sends it itself,'
    " so a proxy in front of wsgw adds none)"
)
_SET_TYPE = (
    "send Content-Type: {media} (nginx: types {{ }} and default_type {media}; Caddy: header Content-Type"
    " {media}; Apache: ForceType {media})"
)


class Fetched(NamedTuple):
    """The request of one form: its answers, the last one last, or the error."""

    url: str
    pages: tuple[Page, ...] = ()
    error: Exception | None = None
    #: Whether the certificate is valid; otherwise another machine than that of the domain may have answered.
    is_genuine: bool = True


class Form(NamedTuple):
    """The content of one form: the WebSocket that clients take from it, empty if it has none."""

    websocket: str
    findings: tuple[Finding, ...]


def check(inquiry: Inquiry) -> Iterator[Finding]:
    """The findings about the pages of all domains."""
    for domain in inquiry.domains:
        if not is_local(domain):
            yield from _about(domain, inquiry)


def websocket_of(domain: str, inquiry: Inquiry, *, genuine: bool = False) -> str:
    """The URL of the WebSocket that clients of ``domain`` find; empty if they find none.

    ``genuine``: only one from a page that was sent with a valid certificate, as a password needs it.
    """
    fetched = [(name, fetch(domain, name, inquiry.resolver, inquiry.cafile)) for name in _TYPES]
    forms = (_form(name, one) for name, one in fetched if one.is_genuine or not genuine)
    return next((form.websocket for form in forms if form.websocket), "")


@cache
def fetch(domain: str, name: str, server: Server, cafile: Path | None) -> Fetched:
    """Ask a domain for the page ``name``; once only, though several checks need it.

    If the certificate is refused, the page is read in spite of it, for the rest of the checks.
    """
    url = f"https://{domain}/{_FOLDER}/{name}"
    way = partial(connect, server=server)
    try:
        with at_most(_TIMEOUT):
            try:
                return Fetched(url, tuple(get(url, way, verifying(cafile))))
            except ssl.SSLCertVerificationError:
                return Fetched(url, tuple(get(url, way, trusting())), is_genuine=False)
    except (LookupFailed, RequestFailed, OSError) as error:
        return Fetched(url, error=error)


def _form(name: str, fetched: Fetched) -> Form:
    return Form("", ()) if fetched.error else _judge(name, fetched)


def _about(domain: str, inquiry: Inquiry) -> Iterator[Finding]:
    fetched = fetch(domain, XRD_NAME, inquiry.resolver, inquiry.cafile)
    if isinstance(fetched.error, LookupFailed | OSError) and not isinstance(fetched.error, ssl.SSLError):
        what = f"not asked: {domain} is not reached on port {_HTTPS}"
        yield Finding(f"{_NAME}.xrd", fetched.url, Verdict.SKIPPED, what)
        return
    yield from examine_tls(domain, _HTTPS, partial(connect, server=inquiry.resolver), inquiry.cafile)
    if isinstance(fetched.error, ssl.SSLError):
        return
    if fetched.error is not None:
        yield _about_error(fetched)
        return
    if fetched.pages[-1].status in _GONE:
        yield _missing(domain, fetched, inquiry)
        return
    other = _form(JSON_NAME, fetch(domain, JSON_NAME, inquiry.resolver, inquiry.cafile))
    xrd = _form(XRD_NAME, fetched)
    yield from xrd.findings
    yield from (_without_repetition(finding, xrd) for finding in other.findings)
    if xrd.websocket and other.websocket and xrd.websocket != other.websocket:
        what = f"names {other.websocket}, and {XRD_NAME} names {xrd.websocket}"
        fix = f"let both name one address: python -m wsgw host-meta {domain} writes both"
        yield Finding(f"{_NAME}.agree", f"https://{domain}/{_FOLDER}/{JSON_NAME}", Verdict.NOTE, what, fix)


def _without_repetition(finding: Finding, other: Form) -> Finding:
    """The finding, without a fix that is in the findings of the ``other`` form."""
    if finding.fix and any((one.what, one.fix) == (finding.what, finding.fix) for one in other.findings):
        return replace(finding, fix=f"as for {XRD_NAME}")
    return finding


def _about_error(fetched: Fetched) -> Finding:
    if isinstance(fetched.error, TimeoutError):
        what, fix = f"no answer within {_TIMEOUT:g} s", "let the web server of the domain answer this path"
    else:
        what, fix = str(fetched.error), "let a web server answer this path"
    return Finding(f"{_NAME}.xrd", fetched.url, Verdict.FAILED, what, fix)


def _missing(domain: str, fetched: Fetched, inquiry: Inquiry) -> Finding:
    """There is no page; with ``--url`` the clients are said to have the address in their settings."""
    what = f"answers {fetched.pages[-1].status}: clients in a browser do not find the WebSocket by the domain"
    fix = (
        f"publish it: python -m wsgw host-meta {domain} writes the pages and the lines for nginx, Caddy and"
        " Apache; a proxy in front of wsgw can forward the path to a listener with mod_host_meta"
    )
    verdict = Verdict.NOTE if inquiry.url else Verdict.FAILED
    return Finding(f"{_NAME}.xrd", fetched.url, verdict, what, fix)


def _judge(name: str, fetched: Fetched) -> Form:
    """The findings about one form, from the answers to its request."""
    page = fetched.pages[-1]
    check_name = f"{_NAME}.{'xrd' if name == XRD_NAME else 'json'}"

    def finding(what: str, fix: str, verdict: Verdict = Verdict.FAILED) -> Finding:
        return Finding(check_name, fetched.url, verdict, what, fix)

    if name == JSON_NAME and page.status in _GONE:
        what, fix = f"answers {page.status}: some clients read this form only", "publish both forms"
        return Form("", (finding(what, fix, Verdict.NOTE),))
    if page.status != 200:
        return Form("", (finding(*_about_status(page)),))
    faults = [finding(*_CORS_FAULTS[cause]) for cause in _cors_faults(fetched.pages)]
    if page.media_type != _TYPES[name]:
        what = f"has the type {page.media_type or '(none)'} instead of {_TYPES[name]}"
        faults.append(finding(what, _SET_TYPE.format(media=_TYPES[name])))
    try:
        links = _xrd_links(page.body) if name == XRD_NAME else _json_links(page.body)
    except ValueError as error:
        faults.append(finding(str(error), "publish the page that python -m wsgw host-meta writes"))
        return Form("", tuple(faults))
    secure = [link for link in links if is_web_address(link, ("wss",))]
    if not secure:
        faults.append(finding(*_about_links(links)))
    if len(fetched.pages) > 1:
        faults.append(
            finding(f"redirects to {page.url}", "serve it here: not all clients follow", Verdict.NOTE)
        )
    if not faults:
        what = f"names {secure[-1]}, with the right type and CORS"
        faults.append(Finding(check_name, fetched.url, Verdict.OK, what))
    return Form(secure[-1] if secure else "", tuple(faults))


def _about_status(page: Page) -> tuple[str, str]:
    if page.redirect:
        scheme = urlsplit(page.redirect).scheme
        why = "browsers do not follow it to HTTP" if scheme != "https" else "the redirects do not end"
        return f"redirects to {page.redirect}: {why}", "serve the page at this address"
    fix = "let the web server send the page with the status 200, to all clients, without a login"
    return f"answers {page.status}", fix


# CORS: a browser gives the page to a script of another origin only if the answer allows it, once.

_CORS_FAULTS = {
    "missing": ("has no header Access-Control-Allow-Origin: browsers hide it from web clients", _SET_CORS),
    "twice": ("has Access-Control-Allow-Origin more than once: browsers refuse that", _SET_CORS),
    "other": ("allows some origins only (Access-Control-Allow-Origin), so other web clients fail", _SET_CORS),
}


def _cors_faults(pages: tuple[Page, ...]) -> Iterator[str]:
    """The first fault of the answers, redirects included, as a key of ``_CORS_FAULTS``."""
    for page in pages:
        allowed = page.values("access-control-allow-origin")
        if allowed not in (["*"], [ORIGIN]):
            yield "missing" if not allowed else "twice" if len(allowed) > 1 or "," in allowed[0] else "other"
            return


# The content


def _xrd_links(body: bytes) -> list[str]:
    """The addresses of WebSockets in the XRD form. Raises ValueError with a clause about its fault."""
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise ValueError("is not well-formed XML without a DTD") from error
    if root.tag != f"{{{_XRD}}}XRD":
        raise ValueError(f"is no XRD: its root must be XRD in the namespace {_XRD}")
    links = root.iterfind(f"{{{_XRD}}}Link")
    return [link.get("href", "") for link in links if link.get("rel") == _WEBSOCKET]


def _json_links(body: bytes) -> list[str]:
    """The same for the JSON form."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError("is not JSON") from error
    links = found.get("links") if isinstance(found, dict) else None
    if not isinstance(links, list) or not all(isinstance(link, dict) for link in links):
        raise ValueError("is no object with a list of links")
    if "xmpp" in found:
        raise ValueError("has the object xmpp (XEP-0487): clients that find it ask for no SRV records")
    return [str(link.get("href", "")) for link in links if link.get("rel") == _WEBSOCKET]


def _about_links(links: list[str]) -> tuple[str, str]:
    if links and not is_web_address(links[-1], ("ws",)):
        return f"names {links[-1]}, which is no address of a WebSocket", "name a wss:// address"
    if links:
        what = f"names {links[-1]}, which is not encrypted: browsers refuse it on a page with HTTPS"
        return what, "name a wss:// address (websocket_url of mod_host_meta)"
    fix = f'add a link with rel "{_WEBSOCKET}": python -m wsgw host-meta writes it'
    return "names no WebSocket", fix


HOST_META = Check(_NAME, check, seconds=120.0)
