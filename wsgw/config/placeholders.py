"""Placeholders that were not filled in before a file is used: ``@@HOST@@``, ``{{ host }}``, ``${HOST}``.

They are looked for in what the gateway needs only: a password of ejabberd's may look like one. Bare ones that
break the syntax of a file are found when it is read (``placeholder_syntax``).
"""

from __future__ import annotations

import re
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
_HOST: Final = re.compile("@HOST@")


def check_placeholders(document: Document, problems: Problems) -> None:
    """Note every placeholder in what the gateway takes from ``document``."""
    for name in _TOP:
        for setting in document.all(name):
            _note(setting.value, problems)
    for listener in raw_listeners(document):
        for term in _needed(listener):
            _note(term, problems)


def _needed(listener: RawListener) -> Iterator[Term]:
    """The terms of a listener that the gateway takes; of others than its own only the XMPP server's."""
    is_ours = listener.is_ours or listener.module == ADMIN_MODULE
    is_known = is_ours or listener.module in LISTENERS
    if not is_known:
        yield Text(listener.module, listener.mark)
    if is_ours or listener.module == "ejabberd_c2s":
        yield from (term for term in (listener.port, listener.ip) if term is not None)
    for key, value in listener.options:
        name = name_of(key)
        if is_ours or (listener.module == "ejabberd_c2s" and name in _OF_SERVER):
            yield key
            if value is not None:
                yield _without_host(value) if name == "see_other_uri" else value


def _without_host(term: Term) -> Term:
    """``see_other_uri`` has a placeholder that is filled in for each client."""
    text = name_of(term)
    return term if text is None else Text(_HOST.sub("", text), term.mark)


def _note(term: Term, problems: Problems) -> None:
    for mark, placeholder in _placeholders(term):
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
