from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.snippets import document, settings_in, term, write
from wsgw.config.document import read_document
from wsgw.config.terms import Problems, show


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("{a, 1}.", [("a", "1", None, False)]),
        ("override_global. override_local. {a}. {}. [b]. 5.", []),
        ("{shaper, normal, {maxrate, 1}}.", [("shaper", "{normal, {maxrate, 1}}", None, False)]),
        ("{{add, modules}, [a]}.", [("modules", "[a]", None, True)]),
        ("{{append, modules}, [a]}.", [("modules", "[a]", None, True)]),
        ('{{s2s_host, "h"}, allow}.', []),
        ('{host_config, "h", [{a, 1}, b, {c, 2}]}.', [("a", "1", "h", False), ("c", "2", "h", False)]),
        ('{host_config, "h", [{{add, a}, 1}]}.', [("a", "1", "h", True)]),
        ('{append_host_config, "h", [{a, 1}]}.', [("a", "1", "h", True)]),
        ('{host_config, "h"}. {host_config, 5, []}. {host_config, "h", 5}.', []),
        ('{host_config, [{"h", [{a, 1}]}]}.', [("a", "1", "h", False)]),
        ("{define_macro, 'A', 7}. {a, 'A'}.", [("a", "7", None, False)]),
    ],
)
def test_a_document_gives_its_settings_in_order(
    text: str, settings: list[tuple[str, str, str | None, bool]]
) -> None:
    found = document(text).settings
    assert [(one.name, show(one.value), one.host, one.adds) for one in found] == settings


def test_settings_of_a_single_host_are_not_settings_of_all() -> None:
    found = document('{a, 1}. {host_config, "h", [{a, 2}]}.')
    assert [setting.value for setting in found.all("a")] == [term("1")]


def test_host_config_of_yaml_is_for_its_host(tmp_path: Path) -> None:
    text = "host_config: {h: {a: 1}}\nappend_host_config:\n  - h:\n      - b: 2\n"
    found = read_document(write(tmp_path / "f.yml", text), Problems()).settings
    assert [(one.name, one.host, one.adds) for one in found] == [("a", "h", False), ("b", "h", True)]


def test_the_format_is_recognised_after_a_long_comment(tmp_path: Path) -> None:
    path = write(tmp_path / "f", "#" * 5000 + "\n" * 5000 + "a: 1")
    assert settings_in(path) == [("a", "1")]


def test_latin_1_is_read_in_erlang_terms(tmp_path: Path) -> None:
    path = tmp_path / "f.cfg"
    path.write_bytes('{a, "é"}. % \xe9'.encode("latin-1"))
    assert settings_in(path) == [("a", '"é"')]
    path.write_bytes("\ufeff{a, 1}.".encode())
    assert settings_in(path) == [("a", "1")]


def test_macros_that_are_too_deep_are_at_most_one_error(tmp_path: Path) -> None:
    opened, closed = "[" * 99, "]" * 99
    text = "".join(f"{{define_macro, 'A{i}', {opened}'A{i - 1}'{closed}}}.\n" for i in range(1, 60))
    path = write(tmp_path / "f.cfg", text + "{a, 'A59'}.")
    problems = Problems()
    read_document(path, problems)
    assert len(problems) <= 1
