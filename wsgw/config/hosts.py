"""The served domains: all ``hosts``, or only those that have ``mod_websocket``."""

from __future__ import annotations

from wsgw.config.document import Document, Setting
from wsgw.config.model import HANDLER, HANDLER_NAMES
from wsgw.config.network_types import Hosts
from wsgw.config.option_types import Context
from wsgw.config.spelling import near, nearest
from wsgw.config.terms import Misfit, Problems, Term, entries_of, name_of
from wsgw.xmpp.domain import normalise_domain


def served_hosts(document: Document, problems: Problems) -> tuple[str, ...]:
    """The served domains as lower-case A-labels, each once, in file order; none at all is an error."""
    before = len(problems)
    named: dict[str, None] = {}
    for setting in [*document.all("hosts"), *document.all("host")]:
        try:
            named.update(dict.fromkeys(Hosts().parse(setting.value, Context())))
        except Misfit as misfit:
            problems.add_misfit("hosts", misfit)
    if not named:
        if len(problems) == before:
            problems.add_missing(document.mark, "no hosts: name the domains to serve in the option hosts")
        return ()
    _check_single_hosts(document, tuple(named), problems)
    return _those_with_module(document, tuple(named), problems)


def _check_single_hosts(document: Document, named: tuple[str, ...], problems: Problems) -> None:
    """Report each ``host_config`` whose host is not in ``hosts``.

    In ejabberd's file, report it only if the name looks like a misspelled one of ``hosts``.
    """
    for setting in document.settings:
        if setting.host is None or any(_is_of(setting, host) for host in named):
            continue
        reason = f"host_config: {setting.host} is not one of the hosts{nearest(setting.host, named)}"
        if setting.mark.file in document.own_files:
            problems.add_missing(setting.mark, reason)
        elif near(setting.host, named):
            problems.warn(setting.mark, reason)


def _those_with_module(document: Document, named: tuple[str, ...], problems: Problems) -> tuple[str, ...]:
    mentions = [setting for setting in _modules(document) if _names_module(setting.value)]
    if not mentions:
        return named
    served = tuple(host for host in named if any(map(_names_module, modules_of(document, host))))
    if not served:
        problems.add_missing(mentions[0].mark, f"none of the hosts has {HANDLER} in its modules")
    return served


def _modules(document: Document) -> list[Setting]:
    return [setting for setting in document.settings if setting.name == "modules"]


def modules_of(document: Document, host: str) -> list[Term]:
    """The values of ``modules`` for a host: its own replace the global ones, and may be added to."""
    own = [setting for setting in _modules(document) if _is_of(setting, host)]
    replacing = [setting for setting in own if not setting.adds]
    adding = [setting for setting in own if setting.adds]
    return [setting.value for setting in (*(replacing or document.all("modules")), *adding)]


def _is_of(setting: Setting, host: str) -> bool:
    try:
        return setting.host is not None and normalise_domain(setting.host) == host
    except ValueError:
        return False


def _names_module(modules: Term) -> bool:
    return any(name_of(key) in HANDLER_NAMES for key, _ in entries_of(modules))
