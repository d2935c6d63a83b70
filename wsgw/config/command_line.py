"""A gateway without a file: ``--listen [IP:]PORT --domain NAME --upstream URI``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wsgw.config.document import Document, Setting
from wsgw.config.interpret import interpret
from wsgw.config.model import LISTENER_MODULE, Config
from wsgw.config.terms import Atom, ListTerm, Mark, Number, Problems, Term, Text, TupleTerm

_LISTEN = re.compile(r"(?:(?P<ip>\[[^\]]+\]|[^:\[\]]+):)?(?P<port>\d{1,5})", re.ASCII)
_PATH = "ws-xmpp"


def from_arguments(listen: str, domain: Sequence[str], upstream: Sequence[str]) -> Config:
    """One listener on the path ``/ws-xmpp``, all other options at their defaults. Raises ConfigError.

    ``listen``: ``[IP:]PORT``, an IPv6 address in brackets. ``domain``: the domains to serve. ``upstream``:
    URIs as in the option of that name.
    """
    problems = Problems()
    settings = [_listen_setting(listen, upstream, problems)]
    if domain:
        mark = Mark("--domain", 0)
        settings.append(Setting("hosts", ListTerm(tuple(Text(name, mark) for name in domain), mark), mark))
    else:
        problems.add(Mark("--domain", 0), "name at least one domain to serve")
    if not upstream:
        problems.add(Mark("--upstream", 0), "name the XMPP server, as in tcp://127.0.0.1:5222")
    problems.incomplete = len(problems) > 0
    config = interpret(Document("", tuple(settings)), problems)
    problems.raise_if_any()
    return config


def _listen_setting(listen: str, upstream: Sequence[str], problems: Problems) -> Setting:
    mark = Mark("--listen", 0)
    found = _LISTEN.fullmatch(listen)
    if found is None:
        problems.add(mark, f"{listen!r} is not [IP:]PORT, an IPv6 address in brackets")
    port: Term = Number(int(found["port"]) if found else 0, mark)
    if found and found["ip"]:
        port = TupleTerm((port, Text(found["ip"], mark)), mark)
    handler = TupleTerm((Text(_PATH, mark), Atom("mod_websocket", mark)), mark)
    options: list[Term] = [_option("request_handlers", ListTerm((handler,), mark))]
    if upstream:
        at = Mark("--upstream", 0)
        options.append(_option("upstream", ListTerm(tuple(Text(uri, at) for uri in upstream), at)))
    listener = TupleTerm((port, Atom(LISTENER_MODULE, mark), ListTerm(tuple(options), mark)), mark)
    return Setting("listen", ListTerm((listener,), mark), mark)


def _option(name: str, value: Term) -> Term:
    return TupleTerm((Atom(name, value.mark), value), value.mark)
