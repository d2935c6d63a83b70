from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.snippets import document, term, unprivileged, write
from wsgw.config.document import read_document
from wsgw.config.terms import Problems, show
from wsgw.errors import ConfigError


def _settings(path: Path) -> list[tuple[str, str]]:
    problems = Problems()
    found = read_document(path, problems)
    problems.raise_if_any()
    return [(setting.name, show(setting.value)) for setting in found.settings]


def _problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _settings(path)
    return [str(problem) for problem in caught.value.problems]


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


INNER = "{a, 1}.\n{b, 2}.\n{c, 'M'}.\n"


@pytest.mark.parametrize(
    ("include", "names"),
    [
        ('{include_config_file, "inner.cfg"}.', ["x", "a", "b", "c", "y"]),
        ('{include_config_file, "inner.cfg", []}.', ["x", "a", "b", "c", "y"]),
        ('{include_config_file, "inner.cfg", [{disallow, [a, c]}]}.', ["x", "b", "y"]),
        ('{include_config_file, "inner.cfg", [{allow_only, [a, b]}, {disallow, [b]}]}.', ["x", "a", "y"]),
        ('{include_config_file, "inner.cfg", [{disallow, [define_macro]}]}.', ["x", "a", "b", "c", "y"]),
        ('{include_config_file, <<"inner.cfg">>}.', ["x", "a", "b", "c", "y"]),
        ("{include_config_file}. {include_config_file, 5}.", ["x", "y"]),
    ],
)
def test_an_erlang_include_gives_its_settings_at_its_place(
    tmp_path: Path, include: str, names: list[str]
) -> None:
    write(tmp_path / "inner.cfg", INNER)
    outer = write(tmp_path / "outer.cfg", f"{{x, 0}}.\n{include}\n{{y, 9}}.\n{{define_macro, 'M', 3}}.")
    assert [name for name, _ in _settings(outer) if name != "define_macro"] == names


@pytest.mark.parametrize(
    ("include", "names"),
    [
        ("inner.yml", ["x", "a", "b", "y"]),
        ("[inner.yml, more.yml]", ["x", "a", "b", "z", "y"]),
        ("[{inner.yml: {disallow: [a]}}, more.yml]", ["x", "b", "z", "y"]),
        ("{inner.yml: {allow_only: [a]}, more.yml: {}}", ["x", "a", "z", "y"]),
        ("{inner.yml: [{allow_only: [a]}]}", ["x", "a", "y"]),
    ],
)
def test_a_yaml_include_gives_its_settings_at_its_place(
    tmp_path: Path, include: str, names: list[str]
) -> None:
    write(tmp_path / "inner.yml", "a: 1\nb: 2\n")
    write(tmp_path / "more.yml", "z: 3\n")
    outer = write(tmp_path / "outer.yml", f"x: 0\ninclude_config_file: {include}\ny: 9\n")
    assert [name for name, _ in _settings(outer)] == names


def test_either_format_includes_the_other_from_its_directory(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    write(tmp_path / "conf" / "c.cfg", "{a, 'M'}.")
    write(tmp_path / "conf" / "b.yml", "include_config_file: c.cfg\ndefine_macro: {M: 1}")
    outer = write(tmp_path / "a.cfg", '{include_config_file, "conf/b.yml"}.')
    assert _settings(outer) == [("a", "1")]


def test_host_config_of_yaml_is_for_its_host(tmp_path: Path) -> None:
    text = "host_config: {h: {a: 1}}\nappend_host_config:\n  - h:\n      - b: 2\n"
    found = read_document(write(tmp_path / "f.yml", text), Problems()).settings
    assert [(one.name, one.host, one.adds) for one in found] == [("a", "h", False), ("b", "h", True)]


def test_an_include_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    outer = write(
        tmp_path / "o.cfg", '\n{include_config_file, "no.cfg"}.\n{include_config_file, "bad.yml"}.\n{b c}.'
    )
    (tmp_path / "bad.yml").write_bytes(b"a: 1\nb: \xff")
    assert _problems(outer) == [
        f"{outer}:2: the included file {tmp_path}/no.cfg does not exist",
        f"{outer}:3: the included file {tmp_path}/bad.yml is not UTF-8 in line 2",
        f"{outer}:4: missing ',' before c",
    ]


def test_the_error_of_an_unreadable_include_names_owner_and_mode(open_directory: Path) -> None:
    inner = write(open_directory / "i.cfg", "{a, 1}.")
    inner.chmod(0o600)
    outer = write(open_directory / "o.cfg", '{include_config_file, "i.cfg"}.')
    inner.chmod(0o000)
    with unprivileged():
        (problem,) = _problems(outer)
    assert problem.startswith(f"{outer}:1: the included file {inner} cannot be read: it belongs to ")


def test_allow_only_also_takes_macros(tmp_path: Path) -> None:
    write(tmp_path / "inner.yml", "define_macro: {PORT: 5}\nlisten: PORT\nother: 1\n")
    outer = write(tmp_path / "outer.yml", "include_config_file: {inner.yml: {allow_only: [listen]}}")
    assert _settings(outer) == [("listen", "5")]


def test_the_format_is_recognised_after_a_long_comment(tmp_path: Path) -> None:
    path = write(tmp_path / "f", "#" * 5000 + "\n" * 5000 + "a: 1")
    assert _settings(path) == [("a", "1")]


def test_a_file_that_includes_itself_is_an_error(tmp_path: Path) -> None:
    first = write(tmp_path / "a.cfg", '{include_config_file, "b.cfg"}.')
    second = write(tmp_path / "b.cfg", '\n{include_config_file, "a.cfg"}.')
    assert _problems(first) == [f"{second}:2: the included file {first} includes itself"]


def test_more_than_100_includes_are_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cfg", '{include_config_file, "b.cfg"}.\n' * 200)
    write(tmp_path / "b.cfg", "{a, 1}.")
    assert "is one of more than 100 included files" in _problems(path)[0]


def test_latin_1_is_read_in_erlang_terms(tmp_path: Path) -> None:
    path = tmp_path / "f.cfg"
    path.write_bytes('{a, "é"}. % \xe9'.encode("latin-1"))
    assert _settings(path) == [("a", '"é"')]
    path.write_bytes("\ufeff{a, 1}.".encode())
    assert _settings(path) == [("a", "1")]


def test_macros_that_are_too_deep_are_at_most_one_error(tmp_path: Path) -> None:
    opened, closed = "[" * 99, "]" * 99
    text = "".join(f"{{define_macro, 'A{i}', {opened}'A{i - 1}'{closed}}}.\n" for i in range(1, 60))
    path = write(tmp_path / "f.cfg", text + "{a, 'A59'}.")
    problems = Problems()
    read_document(path, problems)
    assert len(problems) <= 1
