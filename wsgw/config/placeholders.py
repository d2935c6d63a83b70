"""Placeholders that were not filled in before a file is used: ``@@HOST@@``, ``{{ host }}``, ``${HOST}``.

They are looked for in what the gateway needs only: a password of ejabberd's may look like one. Bare ones that
break the syntax of a file are found when it is read (``placeholder_syntax``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsgw.config.document import Document
from wsgw.config.ejabberd_names import LISTENERS
from wsgw.config.listeners import RawListener, raw_listeners
from wsgw.config.model import ADMIN_MODULE
from wsgw.config.options import OPTIONS, Scope
from wsgw.config.placeholder_syntax import in_text
from wsgw.config.terms import Atom, ListTerm, MapTerm, Mark, Problems, Term, Text, TupleTerm, name_of, show

_TOP: Final = (*(option.name for option in OPTIONS if option.scope is not Scope.LISTENER), "host")
#: What the gateway takes from the XMPP server's listener.
_OF_SERVER: Final = ("ip", "certfile", "max_stanza_size", "tls", "starttls_required", "use_proxy_protocol")
_OF_EJABBERD: Final = ("@HOST@", "@HOME@", "@VERSION@", "@SEMVER@")
#: Those that stay in a file for good: the gateway fills in the first, ejabberd the others.
_FILLED_IN_LATER: Final = {
    "see_other_uri": ("@HOST@",),
    **dict.fromkeys(("certfile", "certfiles", "domain_certfile"), _OF_EJABBERD),
}


def check_placeholders(document: Document, problems: Problems) -> None:
    """Note every placeholder in what the gateway takes from ``document``."""
    for name in _TOP:
        for setting in document.all(name):
            _note(name, setting.value, problems)
    for listener in raw_listeners(document):
        for name, term in _needed(listener):
            _note(name, term, problems)


def _needed(listener: RawListener) -> Iterator[tuple[str, Term]]:
    """The terms of a listener that the gateway takes, with their option's name.

    Of listeners that are not its own only the XMPP server's counts.
    """
    is_ours = listener.is_ours or listener.module == ADMIN_MODULE
    is_known = is_ours or listener.module in LISTENERS
    if not is_known:
        yield "module", Text(listener.module, listener.mark)
    if is_ours or listener.module == "ejabberd_c2s":
        yield from (("port", term) for term in (listener.port, listener.ip) if term is not None)
    for key, value in listener.options:
        name = name_of(key) or ""
        if is_ours or (listener.module == "ejabberd_c2s" and name in _OF_SERVER):
            yield name, key
            if value is not None:
                yield name, value


def _note(name: str, term: Term, problems: Problems) -> None:
    for mark, placeholder in _placeholders(term):
        if placeholder not in _FILLED_IN_LATER.get(name, ()):
            problems.add_unfilled(mark, placeholder)


def _innermost(term: Term) -> str:
    """What stands in the braces of ``{{ x }}`` or ``{{{ x }}}``, which both formats take for terms."""
    match term:
        case TupleTerm((inner,)) | MapTerm(((inner, _),)):
            return _innermost(inner)
    return name_of(term) or show(term)


def _placeholders(term: Term) -> Iterator[tuple[Mark, str]]:
    match term:
        case Atom() | Text():
            yield from ((term.mark, found) for found in in_text(name_of(term) or ""))
        case TupleTerm((TupleTerm((inner,)),)) | MapTerm(((MapTerm(((inner, _),)), _),)):
            yield term.mark, f"{{{{ {_innermost(inner)} }}}}"
        case TupleTerm(items) | ListTerm(items):
            for item in items:
                yield from _placeholders(item)
        case MapTerm(pairs):
            for key, value in pairs:
                yield from _placeholders(key)
                yield from _placeholders(value)
