from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.config.snippets import CERTIFICATE, KEY, document, write
from wsgw.config.document import read_document
from wsgw.config.server_facts import ServerFacts, server_facts
from wsgw.config.terms import Problems


def _facts(listeners: str, more: str = "") -> ServerFacts:
    return server_facts(document(f"{{listen, [{listeners}]}}. {more}"))


def _upstream(listeners: str) -> list[str]:
    return [str(address) for address in _facts(listeners).upstream]


@pytest.mark.parametrize(
    ("listeners", "upstream"),
    [
        ("{5222, ejabberd_c2s, []}", ["tcp://127.0.0.1:5222"]),
        ("{5222, ejabberd_c2s, [starttls]}", ["tcp://127.0.0.1:5222"]),
        ("{5222, ejabberd_c2s, [starttls_required]}", ["starttls://127.0.0.1:5222"]),
        ("{5222, ejabberd_c2s, [{starttls_required, true}]}", ["starttls://127.0.0.1:5222"]),
        ("{5223, ejabberd_c2s, [tls]}", ["tls://127.0.0.1:5223"]),
        ("{5223, ejabberd_c2s, [{tls, false}]}", ["tcp://127.0.0.1:5223"]),
        ('{5222, ejabberd_c2s, [{ip, "0.0.0.0"}]}', ["tcp://127.0.0.1:5222"]),
        ('{5222, ejabberd_c2s, [{ip, "::"}]}', ["tcp://127.0.0.1:5222", "tcp://[::1]:5222"]),
        ("{5222, ejabberd_c2s, [inet6]}", ["tcp://127.0.0.1:5222", "tcp://[::1]:5222"]),
        ("{5222, ejabberd_c2s, [inet6, {ip, {0,0,0,0,0,0,0,1}}]}", ["tcp://[::1]:5222"]),
        ("{{5222, {10,0,0,1}}, ejabberd_c2s, []}", ["tcp://10.0.0.1:5222"]),
        ('{5222, ejabberd_c2s, [{ip, "nonsense"}]}', ["tcp://127.0.0.1:5222"]),
        ('{"unix:/run/c2s.sock", ejabberd_c2s, []}', ["unix:/run/c2s.sock"]),
        ("{5269, ejabberd_s2s_in, []}", []),
        ("{{5222, udp}, ejabberd_c2s, []}, {'PORT', ejabberd_c2s, []}", []),
        (
            "{'PORT', ejabberd_c2s, []}, {5223, ejabberd_c2s, []}, {5222, ejabberd_c2s, []}",
            ["tcp://127.0.0.1:5223"],
        ),
    ],
)
def test_the_first_c2s_listener_is_the_upstream(listeners: str, upstream: list[str]) -> None:
    assert _upstream(listeners) == upstream


@pytest.mark.rule("6120-13.12")
@pytest.mark.parametrize(
    ("option", "size"),
    [
        ("", 262144),
        ("{max_stanza_size, 65536}", 65536),
        ("{max_stanza_size, 1000}", 10000),
        ("{max_stanza_size, infinity}", sys.maxsize),
        ("{max_stanza_size, large}", 262144),
    ],
)
def test_the_stanza_size_of_the_c2s_listener_is_taken(option: str, size: int) -> None:
    assert _facts(f"{{5222, ejabberd_c2s, [{option}]}}").max_stanza_size == size


def test_a_c2s_listener_with_use_proxy_protocol_gets_a_proxy_header() -> None:
    assert _facts("{5222, ejabberd_c2s, [{use_proxy_protocol, true}]}").upstream_proxy_protocol == "v2"
    assert _facts("{5222, ejabberd_c2s, []}").upstream_proxy_protocol == "off"


def test_the_certificates_of_the_file_are_taken(tmp_path: Path) -> None:
    both = write(tmp_path / "both.pem", CERTIFICATE + KEY)
    chain = write(tmp_path / "chain.pem", CERTIFICATE)
    own = write(tmp_path / "c2s.pem", CERTIFICATE + KEY)
    key = write(tmp_path / "key.pem", KEY)
    text = f"""
        {{listen, [{{5222, ejabberd_c2s, [{{certfile, "{own}"}}]}}]}}.
        {{certfiles, ["chain.pem", "key.pem", "no.pem", 5]}}.
        {{domain_certfile, "a.example", "both.pem"}}.
        {{host_config, "b.example", [{{domain_certfile, "chain.pem"}}]}}.
    """
    facts = server_facts(read_document(write(tmp_path / "f.cfg", text), Problems()))
    assert facts.certfiles == (chain, key, both)
    assert facts.upstream_certfiles == (own, chain, both)
    assert [why for _, why in facts.unusable] == [f"{tmp_path}/no.pem does not exist"]


@pytest.mark.parametrize("folder", ["site", "[site]"])
def test_a_wildcard_finds_its_files(tmp_path: Path, folder: str) -> None:
    """Also in a folder whose name looks like a wildcard."""
    (tmp_path / folder).mkdir()
    pems = tuple(write(tmp_path / folder / name, CERTIFICATE + KEY) for name in ("a.pem", "b.pem"))
    path = write(tmp_path / folder / "f.yml", 'certfiles: ["*.pem", "none/*.pem"]')
    assert server_facts(read_document(path, Problems())).certfiles == pems


def test_a_file_without_a_c2s_listener_gives_no_upstream() -> None:
    facts = server_facts(document(""))
    assert (facts.upstream, facts.certfiles, facts.max_stanza_size) == ((), (), 262144)
