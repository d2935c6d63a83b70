"""Files that include other files."""

from pathlib import Path

import pytest

from tests.config.snippets import problems_in, settings_in, unprivileged, write

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
    assert [name for name, _ in settings_in(outer) if name != "define_macro"] == names


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
    assert [name for name, _ in settings_in(outer)] == names


def test_either_format_includes_the_other_from_its_directory(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    write(tmp_path / "conf" / "c.cfg", "{a, 'M'}.")
    write(tmp_path / "conf" / "b.yml", "include_config_file: c.cfg\ndefine_macro: {M: 1}")
    outer = write(tmp_path / "a.cfg", '{include_config_file, "conf/b.yml"}.')
    assert settings_in(outer) == [("a", "1")]


def test_an_include_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    outer = write(
        tmp_path / "o.cfg", '\n{include_config_file, "no.cfg"}.\n{include_config_file, "bad.yml"}.\n{b c}.'
    )
    (tmp_path / "bad.yml").write_bytes(b"a: 1\nb: \xff")
    assert problems_in(outer) == [
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
        (problem,) = problems_in(outer)
    assert problem.startswith(f"{outer}:1: the included file {inner} cannot be read: it belongs to ")


def test_allow_only_also_takes_macros(tmp_path: Path) -> None:
    write(tmp_path / "inner.yml", "define_macro: {PORT: 5}\nlisten: PORT\nother: 1\n")
    outer = write(tmp_path / "outer.yml", "include_config_file: {inner.yml: {allow_only: [listen]}}")
    assert settings_in(outer) == [("listen", "5")]


def test_a_file_that_includes_itself_is_an_error(tmp_path: Path) -> None:
    first = write(tmp_path / "a.cfg", '{include_config_file, "b.cfg"}.')
    second = write(tmp_path / "b.cfg", '\n{include_config_file, "a.cfg"}.')
    assert problems_in(first) == [f"{second}:2: the included file {first} includes itself"]


def test_more_than_100_includes_are_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.cfg", '{include_config_file, "b.cfg"}.\n' * 200)
    write(tmp_path / "b.cfg", "{a, 1}.")
    assert "is one of more than 100 included files" in problems_in(path)[0]
