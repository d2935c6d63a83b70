"""Which value each option has: the listener's own, else the top level's, else the default."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from wsgw.config.document import Document, Setting
from wsgw.config.ejabberd_names import LISTENER_OPTIONS
from wsgw.config.listeners import PLACE, RawListener
from wsgw.config.option_types import Context, Flag
from wsgw.config.options import BY_NAME, LISTENER_NAMES, OPTIONS, Computed, Option, Scope
from wsgw.config.spelling import nearest
from wsgw.config.terms import Atom, Mark, Misfit, Problems, Term, in_syntax_of, name_of, show


@dataclass(frozen=True, slots=True)
class Chosen:
    """A value and where it was given."""

    value: Any
    mark: Mark


class Choices:
    """The options of one listener: those given, by name, over the defaults of the table."""

    def __init__(
        self,
        given: Mapping[str, Chosen],
        named: Container[str],
        listener: Mark,
        ignored: Mapping[str, Mark] | None = None,
    ) -> None:
        self._given = given
        self._named = named
        self._listener = listener
        #: Options of ejabberd's own listeners, and where they stand.
        self.ignored: Mapping[str, Mark] = ignored or {}

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def __getitem__(self, name: str) -> Any:
        """The value given, or the table's default; a computed default is not the table's to give."""
        if name in self._given:
            return self._given[name].value
        default = BY_NAME[name].default
        assert not isinstance(default, Computed), name
        return default

    @property
    def marks(self) -> dict[str, Mark]:
        """Where each option was given that was."""
        return {name: chosen.mark for name, chosen in self._given.items()}

    def names(self, name: str) -> bool:
        """Whether the listener names the option at all, be its value a mistake."""
        return name in self._named

    def get(self, name: str, default: Any) -> Any:
        return self._given[name].value if name in self._given else default

    def mark(self, *names: str) -> Mark:
        """Where the first of ``names`` was given, or the listener."""
        return next((self._given[name].mark for name in names if name in self._given), self._listener)


def top_choices(document: Document, context: Context, problems: Problems) -> dict[str, Chosen]:
    """The options of ours at the top level that are for every listener.

    The main file wins over those it includes, so that an included file need not be changed.
    """
    chosen: dict[str, Chosen] = {}
    for option in OPTIONS:
        if option.scope is not Scope.BOTH:
            continue
        settings = document.all(option.name)
        own = [setting for setting in settings if setting.mark.file == document.source]
        value = _only(own or settings[:1], option, context, problems)
        if value is not None:
            chosen[option.name] = value
    return chosen


def _only(settings: list[Setting], option: Option, context: Context, problems: Problems) -> Chosen | None:
    for again in settings[1:]:
        problems.add(again.mark, f"{option.name} is given in line {settings[0].mark.line} already")
    return _parse(option, settings[0].value, settings[0].mark, context, problems) if settings else None


def listener_choices(
    raw: RawListener, top: Mapping[str, Chosen], context: Context, problems: Problems
) -> Choices:
    """The options of a listener of ours; whatever is wrong with them goes to ``problems``."""
    given: dict[str, Chosen] = {}
    seen: dict[str, int] = {}
    ignored: dict[str, Mark] = {}
    for key, value in raw.options:
        name = name_of(key)
        if name in LISTENER_OPTIONS or (name == "shaper" and _is_rule(value, context)):
            ignored.setdefault(name, key.mark)
        elif name in seen:
            problems.add(key.mark, f"{name} is given in line {seen[name]} already")
        elif name is None or name not in LISTENER_NAMES:
            problems.add(key.mark, _unknown(key))
        else:
            seen[name] = key.mark.line
            chosen = _parse(BY_NAME[name], value, key.mark, context, problems)
            if chosen is not None:
                given[name] = chosen
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
        return f"{name} stands before the options: {{{{Port, IP, tcp}}, Module, [...]}}"
    if name in BY_NAME:
        return f"{name} stands at the top level of the file, not in a listener"
    known = (*LISTENER_NAMES, *PLACE) if key.mark.yaml else LISTENER_NAMES
    return f"unknown option {name}{nearest(name, known)}"


def _parse(
    option: Option, value: Term | None, mark: Mark, context: Context, problems: Problems
) -> Chosen | None:
    if value is None and isinstance(option.kind, Flag):
        value = Atom("true", mark)
    if value is None:
        problems.add(mark, f"{option.name} needs a value: {option.kind.label}")
        return None
    try:
        return Chosen(option.kind.parse(value, context), mark)
    except Misfit as misfit:
        problems.add_misfit(option.name, misfit)
    return None
