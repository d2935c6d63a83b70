"""A gateway without a file: ``--listen [IP:]PORT --domain NAME --upstream URI``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from wsgw.config.document import Document, Setting
from wsgw.config.interpret import interpret
from wsgw.config.model import CONSOLE, HANDLER, HOST_META, LISTENER_MODULE, Config
from wsgw.config.terms import Atom, ListTerm, Mark, Number, Problems, Term, Text, TupleTerm

_LISTEN = re.compile(r"(?:(?P<ip>\[[^\]]+\]|[^:\[\]]+):)?(?P<port>\d{1,5})", re.ASCII)
#: The path of the WebSocket.
COMMAND_LINE_PATH: Final = "ws-xmpp"
_HOST_META_PATH: Final = ".well-known"
_LISTEN_MARK: Final = Mark("--listen", 0)


class DemoPages(NamedTuple):
    """The pages of a demo: the console at ``/``, and host-meta with the address of the WebSocket."""

    #: The address of the WebSocket for clients.
    url: str
    #: A PEM file with certificate and key for ``https://`` and ``wss://``; empty for plain HTTP.
    certfile: str = ""


def from_arguments(
    listen: str, domain: Sequence[str], upstream: Sequence[str], pages: DemoPages | None = None
) -> Config:
    """One listener on the path ``/ws-xmpp``, all other options at their defaults. Raises ConfigError.

    ``listen``: ``[IP:]PORT``, an IPv6 address in brackets. ``domain``: the domains to serve. ``upstream``:
    URIs as in the option of that name.
    """
    problems = Problems()
    settings = [_listen_setting(listen, upstream, pages, problems)]
    if pages is not None:
        settings.append(_host_meta_setting(pages.url))
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


def _host_meta_setting(url: str) -> Setting:
    """``modules`` with the URL that host-meta names."""
    mark = _LISTEN_MARK
    options = ListTerm((_option("websocket_url", Text(url, mark)),), mark)
    modules = (_option(HANDLER, ListTerm((), mark)), _option(HOST_META, options))
    return Setting("modules", ListTerm(modules, mark), mark)


def _listen_setting(
    listen: str, upstream: Sequence[str], pages: DemoPages | None, problems: Problems
) -> Setting:
    mark = _LISTEN_MARK
    found = _LISTEN.fullmatch(listen)
    if found is None:
        problems.add(mark, f"{listen!r} is not [IP:]PORT, an IPv6 address in brackets")
    port: Term = Number(int(found["port"]) if found else 0, mark)
    if found and found["ip"]:
        port = TupleTerm((port, Text(found["ip"], mark)), mark)
    handlers = [_handler(COMMAND_LINE_PATH, HANDLER)]
    options: list[Term] = []
    if pages is not None:
        handlers += [_handler(_HOST_META_PATH, HOST_META), _handler("", CONSOLE)]
        if pages.certfile:
            options += [
                _option("tls", Atom("true", mark)),
                _option("certfile", Text(pages.certfile, mark)),
            ]
    options.append(_option("request_handlers", ListTerm(tuple(handlers), mark)))
    if upstream:
        at = Mark("--upstream", 0)
        options.append(_option("upstream", ListTerm(tuple(Text(uri, at) for uri in upstream), at)))
    listener = TupleTerm((port, Atom(LISTENER_MODULE, mark), ListTerm(tuple(options), mark)), mark)
    return Setting("listen", ListTerm((listener,), mark), mark)


def _handler(path: str, module: str) -> Term:
    return TupleTerm((Text(path, _LISTEN_MARK), Atom(module, _LISTEN_MARK)), _LISTEN_MARK)


def _option(name: str, value: Term) -> Term:
    return TupleTerm((Atom(name, value.mark), value), value.mark)
