"""Finds placeholders that a template still contains: ``@@HOST@@``, ``{{ host }}``, ``${HOST}``.

Only the options that wsgw reads are searched: a password of ejabberd may look like a placeholder. A bare
placeholder that breaks the syntax of a file is found when the file is read (``placeholder_syntax``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsgw.config.document import Document
from wsgw.config.ejabberd_names import LISTENERS
from wsgw.config.listeners import RawListener, raw_listeners
from wsgw.config.model import ADMIN_MODULE
from wsgw.config.option import Scope
from wsgw.config.options import OPTIONS
from wsgw.config.placeholder_syntax import in_text
from wsgw.config.terms import Atom, ListTerm, MapTerm, Mark, Problems, Term, Text, TupleTerm, name_of, show

_TOP: Final = (*(option.name for option in OPTIONS if option.scope is not Scope.LISTENER), "host")
#: The options that wsgw reads from the XMPP server's listener.
_OF_SERVER: Final = ("ip", "certfile", "max_stanza_size", "tls", "starttls_required", "use_proxy_protocol")
_OF_EJABBERD: Final = ("@HOST@", "@HOME@", "@VERSION@", "@SEMVER@")
#: Valid placeholders in the values of these options: wsgw replaces the first, ejabberd the others.
_FILLED_IN_LATER: Final = {
    "see_other_uri": ("@HOST@",),
    **dict.fromkeys(("certfile", "certfiles", "domain_certfile"), _OF_EJABBERD),
}


def check_placeholders(document: Document, problems: Problems) -> None:
    """Report every placeholder in the options of ``document`` that wsgw reads."""
    for name in _TOP:
        for setting in document.all(name):
            _note(name, setting.value, problems)
    for listener in raw_listeners(document):
        for name, term in _needed(listener):
            _note(name, term, problems)


def _needed(listener: RawListener) -> Iterator[tuple[str, Term]]:
    """(option, term) for each term of ``listener`` that wsgw reads.

    wsgw reads its own listeners, and a few options of the XMPP server's listener.
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
    """The ``x`` in ``{{ x }}`` or ``{{{ x }}}``, which both formats read as nested terms."""
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
