"""The addresses that host-meta names (XEP-0156): the options of ``mod_host_meta`` in ``modules``.

As in ejabberd, ``websocket_url`` and ``bosh_service_url`` are ``auto``, ``undefined`` or a URL, in which
``@HOST@`` is the host.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from wsgw.config.cross_checks import is_loopback
from wsgw.config.document import Document
from wsgw.config.hosts import modules_of
from wsgw.config.model import HANDLER, HOST_META, HostAddresses, ListenerConfig
from wsgw.config.network_types import is_web_address
from wsgw.config.option_types import wrong_type
from wsgw.config.spelling import nearest
from wsgw.config.terms import Misfit, Problems, Term, entries_of, name_of, show, text_of

#: Option → (scheme, scheme that is accepted for loopback only).
_SCHEMES: Final = {"websocket_url": ("wss", "ws"), "bosh_service_url": ("https", "http")}
_HTTPS_PORT: Final = 443


def host_addresses(
    document: Document, hosts: Iterable[str], listeners: Iterable[ListenerConfig], problems: Problems
) -> tuple[HostAddresses, ...]:
    """The addresses for each of ``hosts`` that has host-meta.

    These are the hosts with ``mod_host_meta`` in their ``modules``; all, if no ``modules`` has it. A wrong
    option is an error in a file of wsgw's own. In ejabberd's file it gives a warning and no address.
    """
    auto = _auto_address(listeners)
    given = any(_has_module(setting.value) for setting in document.settings if setting.name == "modules")
    seen: dict[Term, dict[str, str | None]] = {}
    found = []
    for host in hosts:
        urls: dict[str, str | None] = {"websocket_url": auto, "bosh_service_url": None}
        modules = [value for value in modules_of(document, host) if _has_module(value)]
        for value in modules:
            if value not in seen:  # the same for all hosts: one message for each error
                seen[value] = _given(value, auto, document, problems)
            urls |= seen[value]
        if modules or not given:
            filled = {name: url and url.replace("@HOST@", host) for name, url in urls.items()}
            found.append(HostAddresses(host, filled["websocket_url"], filled["bosh_service_url"]))
    return tuple(found)


def _auto_address(listeners: Iterable[ListenerConfig]) -> str | None:
    """The first path of ``mod_websocket``, at a listener with TLS if one has such a path.

    A listener without TLS is behind a proxy with TLS on port 443.
    """
    for listener in sorted(listeners, key=lambda one: not one.tls):
        for path in listener.url_paths(HANDLER):
            port = f":{listener.port}" if listener.tls and listener.port != _HTTPS_PORT else ""
            return f"wss://@HOST@{port}{path}"
    return None


def _has_module(modules: Term) -> bool:
    return any(name_of(key) == HOST_META for key, _ in entries_of(modules))


def _given(modules: Term, auto: str | None, document: Document, problems: Problems) -> dict[str, str | None]:
    """The URLs that the options of ``mod_host_meta`` in ``modules`` give, by option."""
    found: dict[str, str | None] = {}
    options = [value for key, value in entries_of(modules) if name_of(key) == HOST_META and value is not None]
    for key, value in (entry for option in options for entry in entries_of(option)):
        note = problems.add if key.mark.file in document.own_files else problems.warn
        name = name_of(key)
        if name not in _SCHEMES:
            known = f"{HOST_META} has no option {name or show(key)}{nearest(name or '', tuple(_SCHEMES))}"
            note(key.mark, known)
            continue
        try:
            found[name] = _url(name, key if value is None else value, auto)
        except Misfit as misfit:
            for mark, reason in misfit.errors:
                note(mark, f"{name}: {reason}")
            found[name] = None
    return found


def _url(name: str, term: Term, auto: str | None) -> str | None:
    """The URL of an option, or None for no address. Raises Misfit."""
    word = name_of(term)
    if word == "undefined":
        return None
    if word == "auto":
        return auto if name == "websocket_url" else None  # wsgw has no BOSH
    secure, clear = _SCHEMES[name]
    text = text_of(term) or ""
    if is_web_address(text, (secure,)) or (
        is_web_address(text, (clear,)) and is_loopback(urlsplit(text).hostname or "")
    ):
        return text
    raise wrong_type(term, f"auto, undefined or a {secure}:// address, as in {secure}://@HOST@/path")
