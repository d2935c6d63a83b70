"""The files of ``wsgw host-meta``: the pages as the gateway serves them, and the snippets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wsgw.config import from_arguments
from wsgw.config.model import Config, HostAddresses
from wsgw.errors import ConfigError
from wsgw.opening.host_meta import json_page, links_of, xrd
from wsgw.ops.host_meta_files import write_host_meta

WSS, BOSH = "wss://example.org/ws-xmpp", "https://example.org/bosh"
SNIPPETS = ["host-meta.apache", "host-meta.caddy", "host-meta.nginx"]


@pytest.fixture
def config() -> Config:
    found = from_arguments("127.0.0.1:0", ["example.org", "empty.example"], ["tcp://127.0.0.1:5222"])
    pages = (HostAddresses("example.org", WSS, BOSH), HostAddresses("empty.example", None, None))
    return replace(found, host_meta=pages)


@pytest.mark.rule("xep-0156")
def test_the_pages_are_those_that_the_gateway_serves(tmp_path: Path, config: Config) -> None:
    folder = tmp_path / "a b" / "c"
    text = write_host_meta(config, "EXAMPLE.org.", folder)
    assert text.splitlines()[0] == f"example.org: {BOSH} {WSS}"
    assert (folder / "host-meta").read_text() == xrd(links_of(WSS, BOSH))
    assert (folder / "host-meta.json").read_text() == json_page(links_of(WSS, BOSH))
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["host-meta", "host-meta.json", *SNIPPETS]
    )
    assert all(str(path) in text for path in folder.iterdir())


@pytest.mark.rule("xep-0156-cors")
@pytest.mark.parametrize("name", SNIPPETS)
def test_a_snippet_serves_each_page_with_its_headers(tmp_path: Path, config: Config, name: str) -> None:
    folder = tmp_path / "a b"
    write_host_meta(config, "example.org", folder)
    text = (folder / name).read_text()
    assert f'"{folder}' in text, "the path has a blank, so it must be quoted"
    for needed in (
        "/.well-known/host-meta {" if "apache" not in name else "<Location /.well-known/host-meta>",
        "/.well-known/host-meta.json",
        "application/xrd+xml",
        "application/json",
        "max-age=3600",
        "example.org",
    ):
        assert needed in text
    sets = [
        line for line in text.splitlines() if "Access-Control-Allow-Origin" in line and "unset" not in line
    ]
    assert len(sets) == 2, "once for each page"


@pytest.mark.parametrize(
    ("domain", "reason"),
    [
        ("other.example", "no host-meta for other.example; hosts that have it: example.org, empty.example"),
        ("not a domain", "no host-meta for not a domain; hosts that have it: example.org, empty.example"),
        (
            "empty.example",
            "host-meta for empty.example has no address: set websocket_url of mod_host_meta",
        ),
    ],
)
def test_a_domain_without_a_page_is_an_error(
    tmp_path: Path, config: Config, domain: str, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        write_host_meta(config, domain, tmp_path)
    assert str(caught.value) == f"host-meta: {reason}"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, config: Config) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as caught:
        write_host_meta(config, "example.org", tmp_path / "file")
    assert str(caught.value) == f"host-meta: {tmp_path}/file: File exists"


@pytest.mark.parametrize("name", ["$host", "a ${b}", "{path}", "back\\slash", "line\nbreak"])
def test_a_folder_that_web_servers_would_read_otherwise_is_an_error(
    tmp_path: Path, config: Config, name: str
) -> None:
    """The snippets would be valid, and the pages would be missing."""
    with pytest.raises(ConfigError, match="choose another folder"):
        write_host_meta(config, "example.org", tmp_path / name)
    assert list(tmp_path.iterdir()) == []
