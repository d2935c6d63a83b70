"""Chooses the value of each option: that of the listener, or of the top level, or the default."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from wsgw.config.document import Document, Setting
from wsgw.config.ejabberd_names import LISTENER_OPTIONS
from wsgw.config.listeners import PLACE, RawListener
from wsgw.config.option import Computed, Option, Scope
from wsgw.config.option_types import Context, Flag
from wsgw.config.options import BY_NAME, LISTENER_NAMES, OPTIONS
from wsgw.config.spelling import nearest
from wsgw.config.terms import Atom, Mark, Misfit, Problems, Term, in_syntax_of, name_of, show


@dataclass(frozen=True, slots=True)
class Given:
    """A value, and the place where the configuration gives it."""

    value: Any
    mark: Mark


class Choices:
    """The options of one listener: the given values by name, and the table's defaults for all others.

    ``named``: the options that the listener names, also those whose value is an error. ``listener``: where
    the listener is in the file.
    """

    def __init__(
        self,
        given: Mapping[str, Given],
        named: Container[str],
        listener: Mark,
        ignored: Mapping[str, Mark] | None = None,
    ) -> None:
        self._given = given
        self._named = named
        self._listener = listener
        #: The options of ejabberd's own listeners that this one has, with their places.
        self.ignored: Mapping[str, Mark] = ignored or {}

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def __getitem__(self, name: str) -> Any:
        """The given value, or the table's default; an option with a computed default must be given."""
        if name in self._given:
            return self._given[name].value
        default = BY_NAME[name].default
        assert not isinstance(default, Computed), name
        return default

    @property
    def marks(self) -> dict[str, Mark]:
        """The place of each given option, by name."""
        return {name: given.mark for name, given in self._given.items()}

    def names(self, name: str) -> bool:
        """Whether the listener names the option, also if its value is an error."""
        return name in self._named

    def get(self, name: str, default: Any) -> Any:
        """The given value, or ``default``."""
        return self._given[name].value if name in self._given else default

    def mark(self, *names: str) -> Mark:
        """The place of the first of ``names`` that is given, or that of the listener."""
        return next((self._given[name].mark for name in names if name in self._given), self._listener)


def top_choices(document: Document, context: Context, problems: Problems) -> dict[str, Given]:
    """The top-level options that apply to all listeners, by name.

    The main file overrides the files that it includes, so that an included file can stay unchanged.
    """
    found: dict[str, Given] = {}
    for option in OPTIONS:
        if option.scope is not Scope.BOTH:
            continue
        settings = document.all(option.name)
        own = [setting for setting in settings if setting.mark.file == document.source]
        value = _only(own or settings[:1], option, context, problems)
        if value is not None:
            found[option.name] = value
    return found


def _only(settings: list[Setting], option: Option, context: Context, problems: Problems) -> Given | None:
    for again in settings[1:]:
        problems.add(again.mark, f"{option.name} is already given in line {settings[0].mark.line}")
    return _parse(option, settings[0].value, settings[0].mark, context, problems) if settings else None


def listener_choices(
    raw: RawListener, top: Mapping[str, Given], context: Context, problems: Problems
) -> Choices:
    """The options of one of wsgw's listeners over those of the ``top`` level; errors go to ``problems``."""
    given: dict[str, Given] = {}
    seen: dict[str, int] = {}
    ignored: dict[str, Mark] = {}
    for key, value in raw.options:
        name = name_of(key)
        if name in LISTENER_OPTIONS or (name == "shaper" and _is_rule(value, context)):
            ignored.setdefault(name, key.mark)
        elif name in seen:
            problems.add(key.mark, f"{name} is already given in line {seen[name]}")
        elif name is None or name not in LISTENER_NAMES:
            problems.add(key.mark, _unknown(key))
        else:
            seen[name] = key.mark.line
            parsed = _parse(BY_NAME[name], value, key.mark, context, problems)
            if parsed is not None:
                given[name] = parsed
    return Choices({**top, **given}, seen, raw.mark, ignored)


def _is_rule(shaper: Term | None, context: Context) -> bool:
    name = name_of(shaper)
    return name is not None and name in context.rules and name not in context.shapers


def _unknown(key: Term) -> str:
    name = name_of(key)
    if name is None:
        form = in_syntax_of(key.mark, "{name, value}", "name: value")
        return f"expected an option, {form}, found {show(key)}"
    if name in PLACE and key.mark.yaml:
        return f"{name} is given twice"
    if name in PLACE:
        return f"{name} belongs before the options: {{{{Port, IP, tcp}}, Module, [...]}}"
    if name in BY_NAME:
        return f"{name} belongs at the top level of the file, not in a listener"
    known = (*LISTENER_NAMES, *PLACE) if key.mark.yaml else LISTENER_NAMES
    return f"unknown option {name}{nearest(name, known)}"


def _parse(
    option: Option, value: Term | None, mark: Mark, context: Context, problems: Problems
) -> Given | None:
    if value is None and isinstance(option.type, Flag):
        value = Atom("true", mark)
    if value is None:
        problems.add(mark, f"{option.name} needs a value: {option.type.label}")
        return None
    try:
        return Given(option.type.parse(value, context), mark)
    except Misfit as misfit:
        problems.add_misfit(option.name, misfit)
    return None
