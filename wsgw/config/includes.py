"""Reads ``include_config_file`` in the forms of both formats, and applies its filters.

{include_config_file, "other.cfg"}.      {include_config_file, "other.cfg", [{allow_only, [hosts]}]}.
include_config_file: other.yml           include_config_file: {other.yml: {allow_only: [hosts]}}
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsgw.config.ejabberd_names import TOP_LEVEL
from wsgw.config.option_types import one_or_more
from wsgw.config.own_files import INCLUDE, MACROS, OUR_NAMES, SUGGESTED, term_name
from wsgw.config.spelling import nearest
from wsgw.config.terms import Problems, Term, TupleTerm, entries_of, name_of, show, text_of

_OPTIONS: Final = ("allow_only", "disallow")


def check_include(term: TupleTerm, is_ours: bool, problems: Problems) -> None:
    """Report a wrong ``include_config_file``: as an error in wsgw's file, otherwise as a warning."""
    if is_ours and not any(True for _ in includes(term.items[1:])):
        problems.add(term.mark, f"{INCLUDE}: expected the name of a file")
    for _, options in includes(term.items[1:]):
        for key, value in entries_of(options) if options is not None else ():
            name = name_of(key)
            if name not in _OPTIONS:
                shown = name if name is not None else show(key)
                reason = f"{INCLUDE}: unknown option {shown}{nearest(shown, _OPTIONS)}"
                problems.add(key.mark, reason) if is_ours else problems.warn(key.mark, reason)
            elif is_ours:
                _check_filter(name, key, value, problems)


def _check_filter(name: str, key: Term, value: Term | None, problems: Problems) -> None:
    if value is None:
        problems.add(key.mark, f"{INCLUDE}: {name} needs a list of options")
        return
    for item in one_or_more(value):
        option = name_of(item)
        if option is None or (option not in OUR_NAMES and option not in TOP_LEVEL):
            hint = "" if option is None else nearest(option, SUGGESTED)
            problems.add(item.mark, f"{name}: {show(item)} is not an option{hint}")


def includes(arguments: tuple[Term, ...]) -> Iterator[tuple[str, Term | None]]:
    """(name, options) of each included file; ``arguments`` has any of the forms above."""
    if not arguments:
        return
    single = text_of(arguments[0])
    if single is not None:
        yield single, arguments[1] if len(arguments) > 1 else None
        return
    for key, options in entries_of(arguments[0]):
        name = text_of(key)
        if name is not None:
            yield name, options


def filtered(terms: list[Term], options: Term | None) -> list[Term]:
    """Keep the options that ``allow_only`` names, and drop those that ``disallow`` names.

    Macros always pass ``allow_only``: an allowed option may use them.
    """
    for key, value in entries_of(options) if options is not None else ():
        names = {name_of(item) for item in one_or_more(value)} if value is not None else set()
        if name_of(key) == "allow_only":
            names.update(MACROS)
            terms = [term for term in terms if term_name(term) in names]
        elif name_of(key) == "disallow":
            terms = [term for term in terms if term_name(term) not in names]
    return terms
