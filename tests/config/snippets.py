"""Parts of configurations for the tests of this room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import geteuid, seteuid
from pathlib import Path
from tempfile import TemporaryDirectory

from wsgw.config import load
from wsgw.config.document import Document, read_document
from wsgw.config.erlang_terms import read_erlang
from wsgw.config.model import Config
from wsgw.config.terms import Problems, Term, show
from wsgw.config.yaml_terms import read_yaml
from wsgw.errors import ConfigError

FIXTURES = Path(__file__).parent / "fixtures"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
_NOBODY = 65534

#: The settings that a working file needs next to those under test, in one line each.
HOSTS = '{hosts, ["example.org"]}.'
C2S = "{5222, ejabberd_c2s, []}"


def terms(text: str) -> list[Term]:
    """The terms of Erlang ``text``, which has no errors."""
    problems = Problems()
    found = read_erlang(text, "t.cfg", problems)
    problems.raise_if_any()
    return found


def term(text: str) -> Term:
    """The one term that ``text`` spells, without its dot."""
    (found,) = terms(f"{text}.")
    return found


def yaml_value(text: str) -> Term:
    """The value that ``text`` spells in YAML."""
    problems = Problems()
    (found,) = read_yaml(f"key: {text}", "t.yml", problems)
    problems.raise_if_any()
    return found.items[1]  # type: ignore[union-attr]


def document(text: str) -> Document:
    with TemporaryDirectory() as folder:
        return read_document(write(Path(folder) / "t.cfg", text), Problems())


def settings_in(path: Path) -> list[tuple[str, str]]:
    """The settings of a file and of those that it includes, as (name, shown value). Raises ConfigError."""
    problems = Problems()
    found = read_document(path, problems)
    problems.raise_if_any()
    return [(setting.name, show(setting.value)) for setting in found.settings]


def problems_in(path: Path) -> list[str]:
    """The problems of such files; empty if there are none."""
    try:
        settings_in(path)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def listener(options: str, more: str = C2S) -> str:
    """A whole file of Erlang terms in one line, with ``options`` in the websocket_session listener."""
    return f"{HOSTS} {{listen, [{more}, {{5288, websocket_session, [{options}]}}]}}. "


def load_text(directory: Path, text: str, name: str = "ejabberd.cfg") -> Config:
    return load(write(directory / name, text))


def mistakes(directory: Path, text: str, name: str = "ejabberd.cfg") -> list[str]:
    """The problems of ``text``, each as ``line: reason``; empty if there are none."""
    try:
        load_text(directory, text, name)
    except ConfigError as error:
        return [f"{problem.line}: {problem.reason}" for problem in error.problems]
    return []


@contextmanager
def unprivileged() -> Iterator[None]:
    """As an account that, unlike root, may not read every file."""
    before = geteuid()
    if before == 0:
        seteuid(_NOBODY)
    try:
        yield
    finally:
        if before == 0:
            seteuid(before)
