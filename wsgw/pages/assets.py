"""The static files of the pages, as bodies of HTTP responses.

A file has a strong ETag made of its contents (RFC 9110 section 8.8.3), and a browser asks each time whether
it has changed: after an upgrade of wsgw, no visit begins with a module of the previous release.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

#: The document of a page, among its files.
INDEX: Final = "index.html"
#: The files that every page has, next to those of its folder.
SHARED: Final = ("theme.css", "icon.svg")
#: The folders with the files of a page each.
PAGES: Final = ("console", "status")
#: Suffix of the file → media type. JavaScript modules run only with this one (RFC 9239).
MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: An entity tag in a list; the weak comparison of If-None-Match ignores ``W/`` (RFC 9110 section 13.1.2).
_ENTITY_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')

Fields = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Asset:
    """One file; ``etag`` includes its quotation marks."""

    body: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, body: bytes, media_type: str) -> Asset:
        """A file with its ETag."""
        return cls(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    @property
    def fields(self) -> Fields:
        """The header fields of a response with this file; a response 304 has them too."""
        return [("Content-Type", self.media_type), ("ETag", self.etag), ("Cache-Control", "no-cache")]

    def is_known(self, if_none_match: str) -> bool:
        """Whether the field If-None-Match names this file: the response is then 304 (Not Modified)."""
        return if_none_match.strip() == "*" or self.etag in _ENTITY_TAG.findall(if_none_match)


def security_fields(*, has_form: bool = False) -> Fields:
    """The header fields that protect a page and its files; ``has_form``: its forms may post to its origin.

    A form must not have the policy ``no-referrer``: its ``Origin`` would be ``null`` (Fetch, section 3.1).
    ``connect-src 'self'`` also allows WebSockets to the same host and port (Content Security Policy Level 3).
    """
    form_action = "'self'" if has_form else "'none'"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        f" base-uri 'none'; form-action {form_action}; frame-ancestors 'none'"
    )
    return [
        ("Content-Security-Policy", policy),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Referrer-Policy", "same-origin" if has_form else "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
    ]


def page_files(page: str) -> Mapping[str, Asset]:
    """The files of the folder ``page``, one of ``PAGES``, and the shared ones, by name."""
    return _FILES[page]


def _read(page: str) -> Mapping[str, Asset]:
    room = Path(__file__).parent
    found = [one for one in (room / page).iterdir() if one.suffix in MEDIA_TYPES]
    found += [room / name for name in SHARED]
    return MappingProxyType({one.name: Asset.of(one.read_bytes(), MEDIA_TYPES[one.suffix]) for one in found})


#: Read with this module, in the parent: the account of the workers may have no right to read the package.
_FILES: Final = {page: _read(page) for page in PAGES}
