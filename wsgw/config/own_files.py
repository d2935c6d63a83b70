"""Distinguishes wsgw's own files from ejabberd's, and finds unknown names at their top level.

In a file of wsgw's own, every unknown name is an error. ejabberd's file contains many options and modules
that wsgw does not know; there, only a name that looks like a misspelled option of wsgw gives a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import PurePath
from typing import Final

from wsgw.config.ejabberd_names import TOP_LEVEL
from wsgw.config.model import ADMIN_MODULE, HANDLER_NAMES, HOST_META, LISTENER_MODULES
from wsgw.config.option import Scope
from wsgw.config.option_types import one_or_more
from wsgw.config.options import LISTENER_NAMES, OPTIONS
from wsgw.config.spelling import near, nearest
from wsgw.config.terms import (
    MapTerm,
    Mark,
    Problems,
    Term,
    TupleTerm,
    entries_of,
    in_syntax_of,
    items_of,
    name_of,
    show,
)

#: Names at the top level that the option table does not list.
_STRUCTURE: Final = ("listen", "modules", "shaper", "host", "domain_certfile")
MACROS: Final = ("define_macro", "define_keyword")
_OF_HOSTS: Final = ("host_config", "append_host_config")
INCLUDE: Final = "include_config_file"
KNOWN: Final = (
    *(option.name for option in OPTIONS if option.scope is not Scope.LISTENER),
    *(*_STRUCTURE, *MACROS, *_OF_HOSTS, INCLUDE),
)
OUR_NAMES: Final = tuple(dict.fromkeys((*KNOWN, *LISTENER_NAMES)))
#: Names at the top level that ejabberd does not have.
_ONLY_OURS: Final = frozenset(KNOWN).difference(TOP_LEVEL)
#: The modules of wsgw in ``modules``.
_MODULES: Final = (*HANDLER_NAMES, HOST_META)
_OUR_LISTENERS: Final = frozenset((*LISTENER_MODULES, ADMIN_MODULE))
#: The names that a message may propose for a misspelled one.
SUGGESTED: Final = tuple(name for name in OUR_NAMES if name not in ("host", "domain_certfile"))
#: The options in ``host_config`` that wsgw uses.
_HOST_NAMES: Final = ("modules", "certfiles", "domain_certfile")
#: Names that may appear more than once in a file of wsgw's own: each one adds to the previous ones.
_REPEATED: Final = (INCLUDE, *MACROS)
#: The same in Erlang terms only, where each term defines one name: ``{shaper, fast, ...}``.
_REPEATED_IN_ERLANG: Final = ("shaper", "domain_certfile", *_OF_HOSTS)
#: Names that may appear only once, also in ejabberd's file: ejabberd refuses a second one too.
_ONCE: Final = ("hosts",)


class Owner(Enum):
    """The program that a configuration file belongs to."""

    WSGW = "wsgw"
    EJABBERD = "ejabberd"
    UNKNOWN = "unknown"


def owner_of(path: PurePath, terms: list[Term], includer: Owner) -> Owner:
    """The owner of the file ``path``, from its name, its folder, its options, or the including file.

    ``terms``: its top-level terms. ``includer``: the owner of the file that includes it.
    """
    if path.name.startswith("wsgw"):
        return Owner.WSGW
    folders = path.parts[:-1]
    if path.name.startswith("ejabberd") or any(
        folder == "ejabberd" or folder.startswith("ejabberd-") for folder in folders
    ):
        return Owner.EJABBERD
    names = {term_name(term) for term in terms}
    if includer is Owner.EJABBERD or not names.isdisjoint(TOP_LEVEL.difference(KNOWN)):
        return Owner.EJABBERD
    if not names.isdisjoint(_ONLY_OURS) or _has_listener_of_ours(terms):
        return Owner.WSGW
    return includer


def _has_listener_of_ours(terms: list[Term]) -> bool:
    """Whether ``terms``, which may be malformed, have a listener of one of wsgw's modules."""
    return any(
        name_of(part) in _OUR_LISTENERS
        for term in terms
        if isinstance(term, TupleTerm) and len(term.items) == 2 and term_name(term) == "listen"
        for listener in one_or_more(term.items[1])
        for part in _parts(listener)
    )


def _parts(listener: Term) -> Iterable[Term]:
    if isinstance(listener, TupleTerm):
        return listener.items
    return (value for _, value in listener.pairs) if isinstance(listener, MapTerm) else ()


def term_name(term: Term) -> str | None:
    """The name of the option that a top-level term sets, or of a term that is one word."""
    return name_of(term.items[0]) if isinstance(term, TupleTerm) and term.items else name_of(term)


# The top level


def check_top_level(terms: Iterable[Term], own: frozenset[str], problems: Problems) -> None:
    """Report each unknown name at the top level. ``own``: the names of wsgw's own files."""
    seen: dict[tuple[str, str], int] = {}
    for term in terms:
        is_ours = term.mark.file in own
        _check_once(term, is_ours, seen, problems)
        if is_ours:
            _check_own(term, problems)
        else:
            _check_ejabberds(term, problems)


def _check_once(term: Term, is_ours: bool, seen: dict[tuple[str, str], int], problems: Problems) -> None:
    name = term_name(term)
    if name == "host":  # the form of ejabberd 1
        name = "hosts"
    if name is None or not isinstance(term, TupleTerm):
        return
    if name in _REPEATED or (name in _REPEATED_IN_ERLANG and not term.mark.yaml):
        return
    if name in _ONCE or (is_ours and name in KNOWN):
        if (term.mark.file, name) in seen:
            problems.add(term.mark, f"{name} is already given in line {seen[term.mark.file, name]}")
        seen.setdefault((term.mark.file, name), term.mark.line)


def _check_own(term: Term, problems: Problems) -> None:
    name = term_name(term)
    if isinstance(term, TupleTerm) and term.items and isinstance(term.items[0], TupleTerm):
        name = name_of(term.items[0].items[-1]) if term.items[0].items else None  # as {{add, modules}, [...]}
    if name is None or (name in KNOWN and (not isinstance(term, TupleTerm) or len(term.items) < 2)):
        shown = term.items[0] if isinstance(term, TupleTerm) and term.items and term.mark.yaml else term
        problems.add(term.mark, f"expected an option, {_form(term.mark)}, found {show(shown)}")
    elif name not in KNOWN:
        problems.add(term.mark, _no_option(name))
    elif isinstance(term, TupleTerm):
        _check_parts(name, term, problems)


def _form(mark: Mark) -> str:
    return in_syntax_of(mark, "{name, value}.", "name: value")


def _no_option(name: str) -> str:
    """The reason why ``name`` is no option at the top level of a file of wsgw's own."""
    if name in LISTENER_NAMES:
        return f"{name} belongs in a websocket_session listener, not at the top level"
    if name in TOP_LEVEL:
        hint = _meant(name, SUGGESTED)
        return f"{name} is ejabberd's option and has no effect in wsgw: remove it{hint}"
    if name in _OUR_LISTENERS:
        return f"{name} is the module of a listener: it belongs in listen, not at the top level"
    if name in _MODULES:
        return f"{name} belongs in modules, and in the request_handlers of a listener, not at the top level"
    return f"unknown option {name}{nearest(name, SUGGESTED)}{_place_of(name)}"


def _place_of(name: str) -> str:
    meant = near(name, SUGGESTED)
    return " It belongs in a websocket_session listener." if meant and meant not in KNOWN else ""


def _check_parts(name: str, term: TupleTerm, problems: Problems) -> None:
    value = term.items[1]
    if name == "shaper" and len(term.items) == 2 and not any(_definitions(value)):
        example = in_syntax_of(term.mark, "{shaper, fast, {maxrate, 50000}}.", "shaper: {fast: 50000}")
        reason = (
            f"shaper defines shapers by name here, as in {example}; the shaper of clients is set in listeners"
        )
        problems.add(term.mark, reason)
    elif name == "listen":
        _check_listen(value, problems)
    elif name == "modules":
        for key, _ in entries_of(value):
            module = name_of(key)
            if module is not None and _is_slip(module, _MODULES):
                problems.add(key.mark, f"modules: unknown module {module}{nearest(module, _MODULES)}")
    elif name in _OF_HOSTS:
        for key in _host_options(term):
            option = name_of(key.items[-1]) if isinstance(key, TupleTerm) and key.items else name_of(key)
            if option is None or option not in _HOST_NAMES:
                known = f"known: {', '.join(_HOST_NAMES)}{_meant(option, _HOST_NAMES)}"
                problems.add(key.mark, f"{name}: {show(key)} has no effect for a single host; {known}")


def _check_listen(value: Term, problems: Problems) -> None:
    if not isinstance(value, MapTerm) and items_of(value) is None:
        problems.add(value.mark, f"listen: expected a list of listeners, found {show(value)}")
        return
    form = in_syntax_of(value.mark, "{5288, websocket_session, [...]}", "module: websocket_session")
    for listener in one_or_more(value):
        if isinstance(listener, MapTerm):
            has_module = any(name_of(key) == "module" and name_of(module) for key, module in listener.pairs)
        else:
            has_module = isinstance(listener, TupleTerm) and name_of((*listener.items, None)[1]) is not None
        if not has_module:
            problems.add(listener.mark, f"listen: expected a listener with its module, as in {form}")


def _definitions(value: Term) -> Iterator[bool]:
    """For each part of ``shaper``, whether it defines a name: ``{fast, {maxrate, 1}}`` or ``fast: 1``."""
    if isinstance(value, TupleTerm):
        yield len(value.items) == 2
    else:
        yield from (meaning is not None for _, meaning in entries_of(value))


def _host_options(term: TupleTerm) -> Iterator[Term]:
    """The names of the options in ``{host_config, "h", [...]}`` or ``host_config: {h: {...}}``."""
    bodies = [term.items[2]] if len(term.items) > 2 else [body for _, body in entries_of(term.items[1])]
    for body in bodies:
        if body is not None:
            yield from (key for key, _ in entries_of(body))


def _meant(name: str | None, known: Iterable[str]) -> str:
    """``; did you mean X?`` if ``name`` is close to X, one of ``known``; otherwise empty."""
    meant = near(name, known) if name is not None else None
    return f"; did you mean {meant}?" if meant else ""


def _is_slip(name: str, known: Iterable[str]) -> bool:
    """Whether ``name`` looks like a misspelled one of ``known``."""
    known = tuple(known)
    return name not in known and near(name, known) is not None


# In ejabberd's file


def _check_ejabberds(term: Term, problems: Problems) -> None:
    name = term_name(term)
    if name is None or name in TOP_LEVEL or name in KNOWN:
        return
    if name in LISTENER_NAMES:
        problems.warn(
            term.mark, f"{name} has no effect at the top level; it belongs in a websocket_session listener."
        )
    elif meant := near(name, SUGGESTED):
        problems.warn(term.mark, f"{name} is not an option; did you mean {meant}?")
