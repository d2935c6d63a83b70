"""The static files of the pages: what a browser gets, and what the policy of the pages allows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.processes import ROOT
from wsgw.pages.assets import INDEX, MEDIA_TYPES, SHARED, Asset, page_files, security_fields

ROOM = ROOT / "wsgw/pages"
PAGES = sorted(path.parent.name for path in ROOM.glob(f"*/{INDEX}"))
FILES = [path for path in sorted(ROOM.rglob("*")) if path.is_file() and path.suffix not in (".py", ".pyc")]
#: Markup of a document that the policy forbids: scripts and styles in the document, handlers, other hosts.
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\son\w+=|(?:src|href)=[\"']?(?:\w+:|//)", re.I)
#: Statements of a module that the policy forbids, or that would make markup of a peer's text.
UNSAFE = re.compile(r"\beval\(|new Function|(?:inner|outer)HTML|insertAdjacentHTML|document\.write|\.style\b")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOM)))
def test_every_file_has_a_media_type_and_keeps_to_the_policy(path: Path) -> None:
    assert path.suffix in MEDIA_TYPES
    text = path.read_text("utf-8")
    if path.suffix == ".html":
        assert INLINE.findall(text) == []
    if path.suffix == ".js":
        assert UNSAFE.findall(text) == []
    if path.suffix == ".css":
        assert not re.search(r"@import|url\(", text)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_its_files_and_the_shared_ones(page: str) -> None:
    found = page_files(page)
    assert {INDEX, *SHARED} <= found.keys()
    assert found.keys() == {path.name for path in (ROOM / page).iterdir()} | set(SHARED)
    assert page_files(page) is found


def test_the_etag_tells_whether_a_browser_has_the_file() -> None:
    asset, other = Asset.of(b"one", "text/css"), Asset.of(b"two", "text/css")
    assert asset.etag != other.etag == Asset.of(b"two", "text/css").etag
    assert ("ETag", asset.etag) in asset.fields
    for known in (asset.etag, f"W/{asset.etag}", f"{other.etag}, {asset.etag}", "*", " * "):
        assert asset.is_known(known)
    for unknown in ("", other.etag, asset.etag.strip('"'), f"{other.etag},W/{other.etag}"):
        assert not asset.is_known(unknown)


def test_the_policy_allows_only_the_same_origin_and_nothing_inline() -> None:
    fields = dict(security_fields())
    policy = dict(rule.strip().split(" ", 1) for rule in fields["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}
    with_form = dict(security_fields(has_form=True))
    assert "form-action 'self'" in with_form["Content-Security-Policy"]
    assert (fields["Referrer-Policy"], with_form["Referrer-Policy"]) == ("no-referrer", "same-origin")
    assert fields["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".js"], ids=lambda path: path.name)
def test_a_module_imports_only_files_of_its_page(path: Path) -> None:
    named = re.findall(r"""(?:from |import\()['"`]\./([^'"`]+)""", path.read_text("utf-8"))
    expected = {name.replace("${language}", language) for name in named for language in ("en", "ru")}
    assert expected <= page_files(path.parent.name).keys()


def test_both_languages_of_the_console_have_the_same_texts() -> None:
    tables = [(ROOM / f"console/texts_{language}.js").read_text("utf-8") for language in ("en", "ru")]
    entry = re.compile(r"^    (?:'([^']+)'|(\w+)):\s+'([^']*)',$", re.MULTILINE)
    english, russian = (
        {one or other: sorted(re.findall(r"\{\w+\}", text)) for one, other, text in entry.findall(table)}
        for table in tables
    )
    assert english == russian
    assert len(english) == tables[0].count("',\n")
