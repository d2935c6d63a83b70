from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.snippets import document, term, write
from wsgw.config.document import read_document
from wsgw.config.listeners import RawListener, port_number, raw_listeners
from wsgw.config.terms import Problems, show


def _listeners(text: str) -> list[RawListener]:
    return list(raw_listeners(document(f"{{listen, {text}}}.")))


@pytest.mark.parametrize(
    ("text", "port", "ip", "transport"),
    [
        ("{5288, m, []}", "5288", None, "tcp"),
        ("{5288, m}", "5288", None, "tcp"),
        ('{{5288, "::"}, m, []}', "5288", '"::"', "tcp"),
        ("{{5288, {127,0,0,1}}, m, []}", "5288", "{127, 0, 0, 1}", "tcp"),
        ("{{5288, {127,0,0,1}, tcp}, m, []}", "5288", "{127, 0, 0, 1}", "tcp"),
        ("{{3478, udp}, m, []}", "3478", None, "udp"),
        ('{"5288", <<"m">>, []}', '"5288"', None, "tcp"),
    ],
)
def test_an_erlang_listener_is_read_in_every_form(
    text: str, port: str, ip: str | None, transport: str
) -> None:
    (found,) = _listeners(f"[{text}]")
    assert (found.module, show(found.port) if found.port else None) == ("m", port)
    assert (show(found.ip) if found.ip else None, found.transport) == (ip, transport)


def test_options_are_read_in_every_form(tmp_path: Path) -> None:
    (erlang,) = _listeners("[{1, m, [tls, {a, 1}, {starttls, true}, {zlib, false}]}]")
    path = write(
        tmp_path / "f.yml", "listen: [{port: 1, module: m, tls: true, a: 1, starttls: yes, zlib: no}]"
    )
    (yaml,) = raw_listeners(read_document(path, Problems()))
    for found in (erlang, yaml):
        assert found.option("a") == term("1")
        assert [found.flag(name) for name in ("tls", "starttls", "zlib", "none")] == [
            True,
            True,
            False,
            False,
        ]


def test_an_entry_that_is_no_listener_is_ignored() -> None:
    assert _listeners("[5, a, {5}, {5, 6}, [], {5, {m}, []}]") == []
    assert _listeners("none") == _listeners("{5288, m}") == []


def test_listeners_of_several_listen_options_come_in_file_order() -> None:
    found = raw_listeners(document("{listen, [{1, a, []}]}.\n{listen, [{2, b, []}]}."))
    assert [one.module for one in found] == ["a", "b"]


def test_yaml_keeps_a_key_given_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "f.yml", "listen: {port: 1, port: 2, module: m}")
    (found,) = raw_listeners(read_document(path, Problems()))
    assert [show(key) for key, _ in found.options] == ["port"]


def test_a_port_is_a_whole_number_up_to_65535() -> None:
    assert port_number(term("5222")) == 5222
    assert [port_number(term(text)) for text in ("0", "65536", "a", "1.0")] == [None] * 4
    assert port_number(None) is None
